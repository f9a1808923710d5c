"""The static part of the text model: embedding rows -> integer weights of the next byte's 256 values.

Weights are int8, activations 0 .. 255, sums proved below 2**24 (`exact.layers.Linear`); here one position at a time,
compiled. A minimal gated unit (arXiv:2410.01201) between the first two layers carries on what the rows do not reach:
each of its levels moves towards a candidate, by a share that is its gate's, and both depend on the first layer alone.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bfncodec.errors import CorruptFile
from bfncodec.exact import room as tables_room
from bfncodec.exact.compiled import compiled, room, shaped
from bfncodec.exact.kernels import ACTIVATION_MAX, SUM_LIMIT, Kernel
from bfncodec.exact.layers import INPUT_MAX, Integers, Linear, Tensors
from bfncodec.exact.products import BLOCK, packed, product, sparse_product, woven
from bfncodec.exact.tables import LOGIT_MAX, exp_negative, squash_table
from bfncodec.exact.vectors import prefetch
from bfncodec.models.text import contexts
from bfncodec.models.text.contexts import advance, rows

Array = NDArray[Any]

LOGIT_STEPS = 64  # steps per nat of the logits
ODDS_STEPS = 256  # steps per nat of the gates' log-odds
TAIL = 12 * LOGIT_STEPS  # differences to the largest logit are cut here: e**-12
FORESEEN = 258  # numbers that are told of a byte
CANDIDATE_MAX = (1 << 12) - 1  # levels are smaller than candidates: a mean over many bytes
LEVEL_BITS = 16  # of a level's fraction, and of a gate
_LIFT = 128  # of embeddings, to bytes without a sign


class Layers(NamedTuple):
    """The network's numbers, for compiled code, one thread at a time."""

    table: Array  # uint8 [ROWS, dimensions], _LIFT more than the embeddings
    dense: tuple[Array, ...]  # int8, packed: first, and the second one's part for levels
    others: tuple[Array, ...]  # int8, woven: gates and candidates, the other part, last; most of their inputs are 0
    biases: tuple[Array, ...]  # int32 [out], rounding included; the first one for inputs with _LIFT added
    shifts: tuple[Array, ...]  # int32 [out]
    squash: Array  # int32 [2 * LOGIT_MAX + 1]: gates by their log-odds
    exponentials: Array  # int32 [TAIL + 1], 2**16 + 1 and down
    values: tuple[Array, ...]  # uint8 [in and more]: room for what goes into first, second and last layer, and levels
    sums: tuple[Array, ...]  # int32 [widest]: room for what comes out, and for what levels add
    levels: Array  # int32 [units], 1 / 2**LEVEL_BITS: what is carried from byte to byte


def load(kernel: Kernel, tensors: Tensors) -> Layers:
    """The layers of a model file; CorruptFile if they do not fit or could overflow."""
    table = tensors["text.table"]
    if table.dtype != np.int8 or table.ndim != 2 or len(table) != contexts.ROWS:
        raise CorruptFile("the model's table of embeddings has the wrong shape")
    first, gates, candidates, second, last = (
        layer.integers for layer in recurrent(kernel, tensors, contexts.CONTEXTS * table.shape[1])
    )
    if len(last.bias) != 256:
        raise CorruptFile("the model's last layer does not have 256 outputs")
    both = Integers(*map(np.concatenate, zip(gates, candidates, strict=True)))
    width = len(first.bias)
    dense = [packed(first.weight), packed(second.weight[:, width:])]
    woven_ones = [woven(weight) for weight in (both.weight, second.weight[:, :width], last.weight)]
    numbers = (first._replace(bias=first.bias - _LIFT * first.weight.sum(axis=1)), both, second, last)
    inputs = [
        BLOCK * -(-first.weight.shape[1] // BLOCK),
        len(woven_ones[1]),
        len(woven_ones[2]),
        BLOCK * -(-len(gates.bias) // BLOCK),
    ]
    widest = max(BLOCK * -(-len(layer.bias) // BLOCK) for layer in numbers)
    return Layers(
        tables_room.placed(table.view(np.uint8) ^ np.uint8(_LIFT)),
        tuple(map(tables_room.placed, dense)),
        tuple(map(tables_room.placed, woven_ones)),
        tuple(layer.bias.astype(np.int32) for layer in numbers),
        tuple(layer.shift.astype(np.int32) for layer in numbers),
        squash_table().astype(np.int32),
        (exponentials() + 1).astype(np.int32),
        tuple(np.zeros(count, np.uint8) for count in inputs),
        (np.zeros(widest, np.int32), np.zeros(widest, np.int32)),
        np.zeros(len(gates.bias), np.int32),
    )


def own(layers: Layers) -> Layers:
    """The same at the beginning of a text, with room of its own."""
    return layers._replace(
        values=tuple(map(np.zeros_like, layers.values)),
        sums=tuple(map(np.zeros_like, layers.sums)),
        levels=np.zeros_like(layers.levels),
    )


def recurrent(kernel: Kernel, tensors: Tensors, inputs: int) -> list[Linear]:
    """The layers of the family "text": first, gate, candidate, second, last."""
    layers = [Linear(kernel, tensors, "text.first", np.full(inputs, INPUT_MAX + 1, np.int64))]
    width = len(layers[0].integers.bias)
    units = len(tensors["text.gate.bias"])
    sizes = {"gate": width, "candidate": width, "second": width + units, "last": len(tensors["text.second.bias"])}
    for name, size in sizes.items():
        layers.append(Linear(kernel, tensors, f"text.{name}", np.full(size, ACTIVATION_MAX, np.int64)))
    if len(layers[2].integers.bias) != units:
        raise CorruptFile("the model's gates and candidates are not as many")
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
    values, sums, width = layers.values[0], layers.sums[0], layers.table.shape[1]
    for place in range(contexts.CONTEXTS):
        prefetch(layers.table, found[place], 0)
    for place in range(contexts.CONTEXTS):
        target, source = values[place * width :], layers.table[found[place]]
        for column in range(width):
            target[column] = source[column]
    _multiply(values, layers.dense[0], sums)
    _activate(sums, layers.biases[0], layers.shifts[0], layers.values[1])
    sparse_product(layers.values[1], layers.others[0], sums)
    _carry(layers, sums, layers.values[3])
    sparse_product(layers.values[1], layers.others[1], sums)
    more = layers.sums[1]
    _multiply(layers.values[3], layers.dense[1], more)
    for index in range(len(layers.biases[2])):
        sums[index] += more[index]
    _activate(sums, layers.biases[2], layers.shifts[2], layers.values[2])
    sparse_product(layers.values[2], layers.others[2], sums)
    _sum_up(sums, layers.biases[3], layers.shifts[3], layers.exponentials, out)


@compiled
def _multiply(values: Array, weights: Array, sums: Array) -> None:
    """Sums of values times packed weights."""
    inputs, outputs = shaped(values, 0, np.uint8, (1, len(values))), BLOCK * len(weights)
    product(inputs, weights, shaped(sums, 0, np.int32, (1, outputs)))


@compiled
def _activate(sums: Array, bias: Array, shift: Array, values: Array) -> None:
    """What goes into the next layer."""
    for index in range(len(bias)):
        values[index] = min(max((sums[index] + bias[index]) >> shift[index], 0), ACTIVATION_MAX)


@compiled
def _carry(layers: Layers, sums: Array, out: Array) -> None:
    """Move the levels, by the sums of gates and candidates; what goes into the next layer of them."""
    bias, shift, units = layers.biases[1], layers.shifts[1], len(layers.levels)
    for unit in range(units):
        odds = (sums[unit] + bias[unit]) >> shift[unit]
        sums[unit] = layers.squash[min(max(odds, -LOGIT_MAX), LOGIT_MAX) + LOGIT_MAX]
    for unit in range(units):
        place = units + unit
        candidate = int(min(max((sums[place] + bias[place]) >> shift[place], 0), CANDIDATE_MAX)) << LEVEL_BITS
        level = int(layers.levels[unit])
        level += (candidate - level) * int(sums[unit]) >> LEVEL_BITS
        layers.levels[unit] = level
    for unit in range(units):
        out[unit] = min(layers.levels[unit] >> LEVEL_BITS, ACTIVATION_MAX)


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
