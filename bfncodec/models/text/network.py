"""The static part of the text model: embedding rows -> integer weights of the next byte's 256 values.

float32 holds its sums, proved below 2**24 (`exact.layers.Linear`), exactly; here one position at a time, compiled.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bfncodec.errors import CorruptFile
from bfncodec.exact.compiled import compiled
from bfncodec.exact.kernels import ACTIVATION_MAX, Kernel
from bfncodec.exact.layers import INPUT_MAX, Linear, Tensors
from bfncodec.exact.tables import exp_negative
from bfncodec.models.text import contexts

Array = NDArray[Any]

LOGIT_STEPS = 64  # steps per nat of the logits
TAIL = 12 * LOGIT_STEPS  # differences to the largest logit are cut here: e**-12


class Layers(NamedTuple):
    """The network's numbers, for compiled code."""

    table: Array  # int8 [ROWS, dimensions]
    weights: tuple[Array, ...]  # int8 [in, out] each
    biases: tuple[Array, ...]  # int32 [out], rounding included
    shifts: tuple[Array, ...]  # int32 [out]
    exponentials: Array  # int64 [TAIL + 1], 2**16 and down


def load(kernel: Kernel, tensors: Tensors) -> Layers:
    """The layers of a model file; CorruptFile if they do not fit or could overflow."""
    table = tensors["text.table"]
    if table.dtype != np.int8 or table.ndim != 2 or len(table) != contexts.ROWS:
        raise CorruptFile("the model's table of embeddings has the wrong shape")
    numbers = [layer.integers for layer in three(kernel, tensors, "text", contexts.CONTEXTS * table.shape[1])]
    if len(numbers[-1].bias) != 256:
        raise CorruptFile("the model's last layer does not have 256 outputs")
    return Layers(
        np.ascontiguousarray(table),
        tuple(np.ascontiguousarray(layer.weight.T.astype(np.int8)) for layer in numbers),
        tuple(layer.bias.astype(np.int32) for layer in numbers),
        tuple(layer.shift.astype(np.int32) for layer in numbers),
        exponentials(),
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
def _dense(values: Array, weights: Array, bias: Array, shift: Array) -> Array:
    """values [m] @ weights [m, k] + bias >> shift, int32 [k]; four inputs at a time."""
    size = len(bias)
    sums, out = np.zeros(size, np.float32), np.empty(size, np.int32)
    index = 0
    while index + 3 < len(values):
        one, two = np.float32(values[index]), np.float32(values[index + 1])
        three, four = np.float32(values[index + 2]), np.float32(values[index + 3])
        for column in range(size):
            sums[column] += (
                one * np.float32(weights[index, column])
                + two * np.float32(weights[index + 1, column])
                + three * np.float32(weights[index + 2, column])
                + four * np.float32(weights[index + 3, column])
            )
        index += 4
    for rest in range(index, len(values)):
        one = np.float32(values[rest])
        for column in range(size):
            sums[column] += one * np.float32(weights[rest, column])
    for column in range(size):
        out[column] = (np.int32(sums[column]) + bias[column]) >> shift[column]
    return out


@compiled
def predict(layers: Layers, rows: Array, out: Array) -> None:
    """Weights >= 1 of the 256 values of the next byte, int64 [256], from its rows int [CONTEXTS]."""
    dimensions = layers.table.shape[1]
    values = np.empty(len(rows) * dimensions, np.int32)
    for index in range(len(rows)):
        row = layers.table[rows[index]]
        for column in range(dimensions):
            values[index * dimensions + column] = row[column]
    for number in range(3):
        if number:
            for index in range(len(values)):
                values[index] = min(max(values[index], 0), ACTIVATION_MAX)
        values = _dense(values, layers.weights[number], layers.biases[number], layers.shifts[number])
    top = values.max()
    for value in range(256):
        out[value] = layers.exponentials[min(top - values[value], TAIL)] + 1
