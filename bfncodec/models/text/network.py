"""The static part of the text model: embedding rows -> integer weights of the next byte's 256 values.

Weights are int8, activations 0 .. 255, sums proved below 2**24 (`exact.layers.Linear`); here
one position at a time, compiled.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bfncodec.errors import CorruptFile
from bfncodec.exact import room as tables_room
from bfncodec.exact.compiled import compiled, room, shaped
from bfncodec.exact.kernels import ACTIVATION_MAX, SUM_LIMIT, Kernel
from bfncodec.exact.layers import INPUT_MAX, Linear, Tensors
from bfncodec.exact.products import BLOCK, packed, product, sparse_product, woven
from bfncodec.exact.tables import exp_negative
from bfncodec.exact.vectors import prefetch
from bfncodec.models.text import contexts
from bfncodec.models.text.contexts import advance, rows

Array = NDArray[Any]

LOGIT_STEPS = 64  # steps per nat of the logits
TAIL = 12 * LOGIT_STEPS  # differences to the largest logit are cut here: e**-12
FORESEEN = 258  # numbers that are told of a byte
_LIFT = 128  # of embeddings, to bytes without a sign


class Layers(NamedTuple):
    """The network's numbers, for compiled code, one thread at a time."""

    table: Array  # uint8 [ROWS, dimensions], _LIFT more than the embeddings
    first: Array  # uint8, packed
    others: tuple[Array, ...]  # int8, woven: most of their inputs are 0
    biases: tuple[Array, ...]  # int32 [out], rounding included; the first one for inputs with _LIFT added
    shifts: tuple[Array, ...]  # int32 [out]
    exponentials: Array  # int32 [TAIL + 1], 2**16 + 1 and down
    values: tuple[Array, ...]  # uint8 [in and more]: room for what goes into a layer
    sums: Array  # int32 [widest]: room for what comes out


def load(kernel: Kernel, tensors: Tensors) -> Layers:
    """The layers of a model file; CorruptFile if they do not fit or could overflow."""
    table = tensors["text.table"]
    if table.dtype != np.int8 or table.ndim != 2 or len(table) != contexts.ROWS:
        raise CorruptFile("the model's table of embeddings has the wrong shape")
    numbers = [layer.integers for layer in three(kernel, tensors, "text", contexts.CONTEXTS * table.shape[1])]
    if len(numbers[-1].bias) != 256:
        raise CorruptFile("the model's last layer does not have 256 outputs")
    first, *others = (layer.weight for layer in numbers)
    woven_ones = [woven(weight) for weight in others]
    lifted = [numbers[0].bias - _LIFT * first.sum(axis=1), *(layer.bias for layer in numbers[1:])]
    inputs = [BLOCK * -(-first.shape[1] // BLOCK), *map(len, woven_ones)]
    return Layers(
        tables_room.placed(table.view(np.uint8) ^ np.uint8(_LIFT)),
        tables_room.placed(packed(first)),
        tuple(map(tables_room.placed, woven_ones)),
        tuple(bias.astype(np.int32) for bias in lifted),
        tuple(layer.shift.astype(np.int32) for layer in numbers),
        (exponentials() + 1).astype(np.int32),
        tuple(np.zeros(count, np.uint8) for count in inputs),
        np.zeros(max(BLOCK * -(-len(layer.bias) // BLOCK) for layer in numbers), np.int32),
    )


def own(layers: Layers) -> Layers:
    """The same with room of its own: for another thread."""
    return layers._replace(values=tuple(map(np.zeros_like, layers.values)), sums=np.zeros_like(layers.sums))


def three(kernel: Kernel, tensors: Tensors, family: str, inputs: int) -> list[Linear]:
    """The layers of the family "text" or "blocks", whose inputs are embeddings and the like."""
    layers, bounds = [], np.full(inputs, INPUT_MAX + 1, np.int64)
    for name in ("first", "second", "last"):
        layers.append(Linear(kernel, tensors, f"{family}.{name}", bounds))
        bounds = np.full(len(layers[-1].integers.bias), ACTIVATION_MAX, np.int64)
    return layers


def exponentials() -> NDArray[np.int64]:
    """Weights of a value by its logit's distance to the largest: int64 [TAIL + 1], 2**16 and down."""
    return exp_negative(np.arange(TAIL + 1, dtype=np.int64), LOGIT_STEPS) >> 14


@compiled
def foretell(layers: Layers, state: Array, out: Array) -> None:
    """What `weigh` says of the byte that follows a state of the contexts."""
    found = room(contexts.CONTEXTS, np.int64)
    rows(state, found)
    weigh(layers, found, out)


@compiled
def weigh(layers: Layers, found: Array, out: Array) -> None:
    """What rows int [CONTEXTS] of the table tell of the next byte, int32 [FORESEEN].

    Sums of the weights, >= 1, of lower values than 0 .. 256, and how sure they are of the likeliest value, 0 .. 7.
    """
    values, sums, width = layers.values[0], layers.sums, layers.table.shape[1]
    for place in range(contexts.CONTEXTS):
        prefetch(layers.table, found[place], 0)
    for place in range(contexts.CONTEXTS):
        target, source = values[place * width :], layers.table[found[place]]
        for column in range(width):
            target[column] = source[column]
    count = len(layers.first)
    product(shaped(values, 0, np.uint8, (1, len(values))), layers.first, shaped(sums, 0, np.int32, (1, BLOCK * count)))
    _activate(sums, layers.biases[0], layers.shifts[0], layers.values[1])
    sparse_product(layers.values[1], layers.others[0], sums)
    _activate(sums, layers.biases[1], layers.shifts[1], layers.values[2])
    sparse_product(layers.values[2], layers.others[1], sums)
    _sum_up(sums, layers.biases[2], layers.shifts[2], layers.exponentials, out)


@compiled
def _activate(sums: Array, bias: Array, shift: Array, values: Array) -> None:
    """What goes into the next layer."""
    for index in range(len(bias)):
        values[index] = min(max((sums[index] + bias[index]) >> shift[index], 0), ACTIVATION_MAX)


@compiled
def _sum_up(logits: Array, bias: Array, shift: Array, exponentials: Array, out: Array) -> None:
    """The end of `weigh`."""
    top = -SUM_LIMIT
    for value in range(256):
        logit = (logits[value] + bias[value]) >> shift[value]
        logits[value], top = logit, max(top, logit)
    total = 0
    for value in range(256):
        out[value] = total
        total += exponentials[min(top - logits[value], TAIL)]
    out[256], out[257] = total, min(7, 8 * int(exponentials[0]) // total)


@compiled
def foresee(layers: Layers, data: Array, state: Array, first: int, out: Array) -> None:
    """What `foretell` says of bytes that are known, from the first one on, int32 [n, FORESEEN]."""
    for place in range(len(out)):
        foretell(layers, state, out[place])
        advance(state, int(data[first + place]))
