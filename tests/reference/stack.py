"""What the second decoder's parts for images and texts share: sections 1 and 5.1 to 5.3 of docs/format.md."""

import struct
from collections.abc import Callable, Sequence
from decimal import Context, Decimal, localcontext
from functools import cache


class FormatError(Exception):
    """The file is damaged or not of this version."""


def require(condition: object) -> None:
    """FormatError unless the condition holds."""
    if not condition:
        raise FormatError


def clip(value: int, low: int, high: int) -> int:
    return min(max(value, low), high)


# 5.1 The stack


class Stack:
    def __init__(self, data: bytes) -> None:
        require(not data.endswith(b"\0"))
        data += b"\0" * (-len(data) % 4)
        self.words = list(struct.unpack(f"<{len(data) // 4}I", data))
        self.state = 0
        while self.words and self.state < 1 << 32:
            self.state = self.state << 32 | self.words.pop()

    def pop(self, weights: Sequence[int]) -> int:
        quantile, below, symbol = self.state % 2**24, 0, 0
        while below + weights[symbol] <= quantile:
            below += weights[symbol]
            symbol += 1
        self.state = (self.state >> 24) * weights[symbol] + quantile - below
        if self.state < 1 << 32 and self.words:
            self.state = self.state << 32 | self.words.pop()
        return symbol

    def push(self, weights: Sequence[int], symbol: int) -> None:
        require(0 <= symbol < len(weights))
        weight = weights[symbol]
        if self.state >> 40 >= weight:
            self.words.append(self.state % 2**32)
            self.state >>= 32
        self.state = (self.state // weight) * 2**24 + self.state % weight + sum(weights[:symbol])

    def end(self) -> None:
        require(self.state == 0 and not self.words)


# 5.2 From sums to weights


def normalise(sums: list[int], bits: int) -> list[int]:
    count = len(sums)
    bounds = [((s >> (bits - 24)) * (2**24 - count) >> 24) + j + 1 for j, s in enumerate(sums)]
    bounds[-1] = 2**24
    return [bounds[0]] + [bounds[j] - bounds[j - 1] for j in range(1, count)]


def running_sums(masses: list[int]) -> list[int]:
    total, sums = 0, []
    for mass in masses:
        total += mass
        sums.append(total)
    return sums


# 5.3 Tables


def nearest(make: Callable[[], Decimal]) -> int:
    with localcontext(Context(prec=60)):
        return int(make().to_integral_value(rounding="ROUND_HALF_EVEN"))


@cache
def exp_factor(bit: int, divisor: int) -> int:
    return nearest(lambda: (Decimal(-(1 << bit)) / divisor).exp() * 2**30)


def exp_negative(index: int, divisor: int) -> int:
    value = 2**30
    for bit in range(index.bit_length()):
        if index >> bit & 1:
            value = (value * exp_factor(bit, divisor) + 2**29) >> 30
    return value
