"""The static part of the text model: embedding rows -> integer weights of the next byte's 256 values.

Weights are int8, activations 0 .. 255, sums proved below 2**24 (`exact.layers.Linear`); here
one position at a time, compiled.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bfncodec.errors import CorruptFile
from bfncodec.exact.compiled import compiled, shaped
from bfncodec.exact.kernels import ACTIVATION_MAX, SUM_LIMIT, Kernel
from bfncodec.exact.layers import INPUT_MAX, Linear, Tensors
from bfncodec.exact.products import BLOCK, GROUP, packed, product
from bfncodec.exact.tables import exp_negative
from bfncodec.models.text import contexts

Array = NDArray[Any]

LOGIT_STEPS = 64  # steps per nat of the logits
TAIL = 12 * LOGIT_STEPS  # differences to the largest logit are cut here: e**-12
_LIFT = 128  # of embeddings, to bytes without a sign


class Layers(NamedTuple):
    """The network's numbers, for compiled code, one thread at a time."""

    table: Array  # int8 [ROWS, dimensions]
    weights: tuple[Array, ...]  # int8, packed
    biases: tuple[Array, ...]  # int32 [out], rounding included; the first one for inputs with _LIFT added
    shifts: tuple[Array, ...]  # int32 [out]
    exponentials: Array  # int64 [TAIL + 1], 2**16 and down
    values: Array  # uint8 [1, widest]: room for what goes into a layer
    sums: Array  # int32 [widest]: room for what comes out


def load(kernel: Kernel, tensors: Tensors) -> Layers:
    """The layers of a model file; CorruptFile if they do not fit or could overflow."""
    table = tensors["text.table"]
    if table.dtype != np.int8 or table.ndim != 2 or len(table) != contexts.ROWS:
        raise CorruptFile("the model's table of embeddings has the wrong shape")
    numbers = [layer.integers for layer in three(kernel, tensors, "text", contexts.CONTEXTS * table.shape[1])]
    if len(numbers[-1].bias) != 256:
        raise CorruptFile("the model's last layer does not have 256 outputs")
    tables = [packed(layer.weight) for layer in numbers]
    lifted = [numbers[0].bias - _LIFT * numbers[0].weight.sum(axis=1), *(layer.bias for layer in numbers[1:])]
    return Layers(
        np.ascontiguousarray(table),
        tuple(tables),
        tuple(bias.astype(np.int32) for bias in lifted),
        tuple(layer.shift.astype(np.int32) for layer in numbers),
        exponentials(),
        np.zeros((1, max(GROUP * table.shape[1] for table in tables)), np.uint8),
        np.zeros(max(BLOCK * len(table) for table in tables), np.int32),
    )


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
def weigh(layers: Layers, rows: Array, out: Array) -> None:
    """Weights >= 1 of the 256 values of the next byte, int64 [256], from its rows int [CONTEXTS]."""
    values, at = layers.values, 0
    for row in rows:
        for value in layers.table[row]:
            values[0, at] = int(value) + _LIFT
            at += 1
    top = -SUM_LIMIT
    for number in range(3):
        bias, shift, weights = layers.biases[number], layers.shifts[number], layers.weights[number]
        sums = shaped(layers.sums, 0, np.int32, (1, BLOCK * len(weights)))
        product(values, weights, sums)
        for index in range(len(bias)):
            value = (sums[0, index] + bias[index]) >> shift[index]
            if number < 2:
                values[0, index] = min(max(value, 0), ACTIVATION_MAX)
            else:
                sums[0, index], top = value, max(top, value)
    for value in range(256):
        out[value] = layers.exponentials[min(top - layers.sums[value], TAIL)] + 1
