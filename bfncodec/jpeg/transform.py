"""The cosine transform in floating point, and the steps that coefficients were quantised with. For encoders only."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bfncodec.exact.compiled import compiled, room
from bfncodec.jpeg.rest import standard_tables

Array = NDArray[Any]

LARGEST_STEP = 255
VALUES = 512  # of a frequency that tell its step
ROUNDING = 1 / 12**0.5  # standard deviation of a number that was rounded
_CAP = 5.0  # what a value that fits no step can say against one
_HINTED = 32.0  # nats that another component's quality gets
_CHANCE = 12.0  # by which a step must be likelier than that of a standard table
_STRANGE = 4.0  # nats that it costs
_LIVELY = 6  # coefficients of a block that has something to say, and how far they are from zero
_BLOCKS, _FEW = 512, 96  # of a sample that tells, and that tells which tables have to be looked at
_FINALISTS = 6
_LOGS = np.log(np.maximum(np.arange(LARGEST_STEP + 1), 1))

_angles = (2 * np.arange(8) + 1) * np.arange(8)[:, None] * (np.pi / 16)
WAVES = np.cos(_angles) * np.where(np.arange(8) == 0, 0.125**0.5, 0.5)[:, None]  # [frequency, place]
BASIS = np.einsum("uy,vx->uvyx", WAVES, WAVES).reshape(64, 64)  # [frequencies, places], row by row


def forward(plane: Array) -> Array:
    """Coefficients float64 [rows, columns, 64] of a plane float64 of whole blocks."""
    out = np.empty((plane.shape[0] // 8, plane.shape[1] // 8, 64))
    _forward(plane, WAVES, out)
    return out


@compiled
def _forward(plane: Array, waves: Array, out: Array) -> None:
    work = room(64, np.float64)
    for row in range(out.shape[0]):
        for column in range(out.shape[1]):
            for y in range(8):
                for v in range(8):
                    total = 0.0
                    for x in range(8):
                        total += waves[v, x] * (plane[8 * row + y, 8 * column + x] - 128.0)
                    work[8 * y + v] = total
            for u in range(8):
                for v in range(8):
                    total = 0.0
                    for y in range(8):
                        total += waves[u, y] * work[8 * y + v]
                    out[row, column, 8 * u + v] = total


class Steps(NamedTuple):
    """What coefficients were quantised with."""

    table: Array  # int64 [64]
    quality: int  # of libjpeg's standard tables; 0: another table


def steps(plane: Array, values: Array, known: Array, noise: Array, colour: bool, hint: int = 0) -> Steps:
    """The likeliest steps of a plane float64 of whole blocks and its coefficients float64 [rows, columns, 64].

    known: bool [rows, columns], which blocks to look at. noise: standard deviation of each frequency [64]. hint: the
    quality of another component.
    """
    tables = standard_tables(colour)
    chosen = _sample(values, known)
    if not len(chosen):
        return Steps(tables[(hint or 75) - 1], hint or 75)
    rows, columns = np.divmod(chosen, known.shape[1])
    blocks = plane.reshape(known.shape[0], 8, known.shape[1], 8).transpose(0, 2, 1, 3)[rows, columns].reshape(-1, 64)
    own_values = np.ascontiguousarray(values[rows, columns])
    few = slice(None, None, -(-len(chosen) // _FEW))
    costs = _priced(own_values[few], blocks[few], tables)
    best = np.argsort(costs, kind="stable")[:_FINALISTS]
    best = np.append(best, [hint - 1] if hint else [])
    likely = np.zeros((64, LARGEST_STEP + 1))
    lively = known & (np.count_nonzero(np.abs(values) > _LIVELY * noise, axis=2) >= _LIVELY)
    _likelihoods(values, lively, noise, _LOGS, -np.log(noise * (2 * np.pi) ** 0.5), likely)
    every = likely[:, 1:]
    candidates = tables[best.astype(int)]
    own = candidates[0].copy()
    better = every.max(axis=1) > every[np.arange(64), own - 1] + _CHANCE
    own[better] = np.argmax(every, axis=1)[better] + 1
    costs = _priced(own_values, blocks, np.concatenate([candidates, own[None]]))
    if hint:
        costs[len(best) - 1] -= _HINTED
    costs[-1] += _STRANGE * np.count_nonzero(better)
    first = int(np.argmin(costs))
    return Steps(own, 0) if first == len(best) else Steps(candidates[first], int(best[first]) + 1)


def gain(values: Array) -> float:
    """How much likelier coefficients float64 [rows, columns, 64] are with steps than without: nats for each."""
    noise = np.full(64, ROUNDING)
    known = np.count_nonzero(np.abs(values) > _LIVELY * noise, axis=2) >= _LIVELY
    likely = np.zeros((64, LARGEST_STEP + 1))
    count = _likelihoods(values, known, noise, _LOGS, -np.log(noise * (2 * np.pi) ** 0.5), likely)
    tables = standard_tables(False)
    sums = np.take_along_axis(likely, tables.T, axis=1).sum(axis=0)
    own = float((likely[:, 1:].max(axis=1) - _CHANCE).clip(0).sum())
    return max(float(sums.max()), own) / max(count, 16)


def _sample(values: Array, known: Array) -> Array:
    """Numbers of blocks to look at: some that have much to say, and some of all."""
    every = np.flatnonzero(known)
    if len(every) <= _BLOCKS:
        return every
    energy = np.abs(values.reshape(-1, 64)[every, 1:]).sum(axis=1)
    loud = every[np.argsort(-energy, kind="stable")[: _BLOCKS // 2]]
    return np.union1d(loud, every[:: -(-len(every) // (_BLOCKS // 2))])


def _priced(values: Array, blocks: Array, tables: Array) -> Array:
    """What blocks [n, 64] of these coefficients cost with tables int64 [m, 64]: float64 [m], nats."""
    costs = np.zeros(len(tables))
    _prices(np.ascontiguousarray(values), np.ascontiguousarray(blocks), tables, BASIS, _LOGS, costs)
    return costs


@compiled
def _prices(values: Array, blocks: Array, tables: Array, basis: Array, logs: Array, costs: Array) -> None:
    work = room(64, np.float64)
    for table in range(len(tables)):
        total = 0.0
        for block in range(len(values)):
            for place in range(64):
                work[place] = 128.5
            for place in range(64):
                step = tables[table, place]
                times = np.floor(values[block, place] / step + 0.5)
                if times * times > 0.5:
                    total += 2.5 + 1.5 * logs[min(int(abs(times)), len(logs) - 1)]
                    for at in range(64):
                        work[at] += times * step * basis[place, at]
            for at in range(64):
                away = blocks[block, at] - min(max(np.floor(work[at]), 0.0), 255.0)
                total += 3.0 * min(away * away, 4.0)
        costs[table] = total


@compiled
def _likelihoods(values: Array, known: Array, noise: Array, logs: Array, sharpness: Array, likely: Array) -> int:
    """Add up logarithms of likelihoods by frequency and step; how many values there were."""
    total = 0
    for place in range(64):
        narrow, sharp = 0.5 / (noise[place] * noise[place]), sharpness[place]
        least, count = 5.8 * noise[place], 0
        for row in range(values.shape[0]):
            for column in range(values.shape[1]):
                size = abs(values[row, column, place])
                if size <= least or not known[row, column] or count == VALUES:
                    continue
                count += 1
                for step in range(1, LARGEST_STEP + 1):
                    times = np.floor(size / step + 0.5)
                    away = size - times * step
                    gain = logs[step] + sharp if times > 0.5 else 0.0
                    likely[place, step] += max(gain - away * away * narrow, -_CAP)
        total += count
    return total
