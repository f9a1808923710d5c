"""The static part of the text model: embedding rows -> integer weights of the next byte's 256 values.

Weights are int8, activations 0 .. 255, sums proved below 2**24 (`exact.layers.Linear`), so
float32 holds them exactly; here one position at a time, compiled.
"""

from __future__ import annotations

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
    weights: tuple[Array, Array, Array]  # int8 [in, out] each
    biases: tuple[Array, Array, Array]  # int32 [out], rounding included
    shifts: tuple[Array, Array, Array]  # int32 [out]
    exponentials: Array  # int64 [TAIL + 1], 2**16 and down


def load(kernel: Kernel, tensors: Tensors) -> Layers:
    """The layers of a model file; CorruptFile if they do not fit or could overflow."""
    table = tensors["text.table"]
    if table.dtype != np.int8 or table.ndim != 2 or len(table) != contexts.ROWS:
        raise CorruptFile("the model's table of embeddings has the wrong shape")
    inputs = contexts.CONTEXTS * table.shape[1]
    first = Linear(kernel, tensors, "text.first", np.full(inputs, INPUT_MAX + 1, np.int64))
    second = _after(kernel, tensors, "text.second", first)
    last = _after(kernel, tensors, "text.last", second)
    if len(last.integers.bias) != 256:
        raise CorruptFile("the model's last layer does not have 256 outputs")
    numbers = [layer.integers for layer in (first, second, last)]
    return Layers(
        np.ascontiguousarray(table),
        _three([np.ascontiguousarray(layer.weight.T.astype(np.int8)) for layer in numbers]),
        _three([layer.bias.astype(np.int32) for layer in numbers]),
        _three([layer.shift.astype(np.int32) for layer in numbers]),
        exponentials(),
    )


def exponentials() -> NDArray[np.int64]:
    """Weights of a value by its logit's distance to the largest: int64 [TAIL + 1], 2**16 and down."""
    return exp_negative(np.arange(TAIL + 1, dtype=np.int64), LOGIT_STEPS) >> 14


def _after(kernel: Kernel, tensors: Tensors, name: str, before: Linear) -> Linear:
    return Linear(kernel, tensors, name, np.full(len(before.integers.bias), ACTIVATION_MAX, np.int64))


def _three(parts: list[Array]) -> tuple[Array, Array, Array]:
    return parts[0], parts[1], parts[2]


@compiled
def _dense(values: Array, weights: Array, bias: Array, shift: Array, sums: Array, out: Array) -> None:
    """out [k] = values [m] @ weights [m, k] + bias >> shift, through sums float32 [k]; four inputs at a time."""
    size = len(out)
    sums[:size] = np.float32(0)
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


@compiled
def predict(layers: Layers, rows: Array, out: Array) -> None:
    """Weights >= 1 of the 256 values of the next byte, int64 [256], from its rows int [CONTEXTS]."""
    dimensions = layers.table.shape[1]
    width, hidden = len(layers.biases[0]), len(layers.biases[1])
    inputs = np.empty(len(rows) * dimensions, np.int32)
    for index in range(len(rows)):
        row = layers.table[rows[index]]
        for column in range(dimensions):
            inputs[index * dimensions + column] = row[column]
    sums = np.empty(max(width, hidden, 256), np.float32)
    one = np.empty(width, np.int32)
    two = np.empty(hidden, np.int32)
    logits = np.empty(256, np.int32)
    _dense(inputs, layers.weights[0], layers.biases[0], layers.shifts[0], sums, one)
    _limit(one)
    _dense(one, layers.weights[1], layers.biases[1], layers.shifts[1], sums, two)
    _limit(two)
    _dense(two, layers.weights[2], layers.biases[2], layers.shifts[2], sums, logits)
    top = logits[0]
    for value in range(256):
        top = max(top, logits[value])
    for value in range(256):
        out[value] = layers.exponentials[min(top - logits[value], TAIL)] + 1


@compiled
def _limit(values: Array) -> None:
    for index in range(len(values)):
        values[index] = min(max(values[index], 0), ACTIVATION_MAX)
