"""What a model of the paper's kind is about: its variables, its accuracy schedule and its network's shape.

A spec is the `spec` of a model file's card. Everything here is exact arithmetic: fractions and decimals with a set
precision, so that every machine derives the same integer steps.
"""

import math
import re
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal, DivisionByZero, InvalidOperation, Overflow, localcontext
from fractions import Fraction
from typing import Any

from bfncodec.errors import CorruptFile, LimitExceeded
from bfncodec.flow.schedule import AnyStep, Dither, Draw, Step, Vector
from bfncodec.flow.sender import SHARES

UNIT = 64  # fine units of a level, of which views and deviations are whole numbers
PRECISION = 32  # bits of the accuracy of one per level
STEP_LIMIT = 4096
SEED_LIMIT = 1 << 28  # words
TIME_INPUTS = 12
TIME_ONE = 127
# Not the caller's context: what a program sets for its own sums must not change a step.
_CONTEXT = Context(
    prec=40, rounding=ROUND_HALF_EVEN, Emin=-999999, Emax=999999, traps=[DivisionByZero, InvalidOperation, Overflow]
)
_FINAL = re.compile(r"[0-9]{1,6}(\.[0-9]{1,24})?")
_SIZE_LIMIT = 1 << 14
_DEVIATION_LIMIT = 1 << PRECISION // 2 + 6  # above it an accuracy would be zero


@dataclass(frozen=True)
class Spec:
    """The variables of an item and how the network sees them."""

    kind: str  # "binary" (K = 2, sent on a line), "values" (K bins on a line) or "classes" (K symbols)
    shape: tuple[int, int, int]  # height, width, channels
    alphabet: bytes  # the byte that stands for each symbol
    final: str  # beta(1) of binary data and classes, sigma_1 of values (arXiv:2308.07037, sections 4 to 6)
    widths: tuple[int, ...]  # of the network's levels
    blocks: tuple[int, ...]  # on each level
    patch: tuple[int, int]  # pixels (down, across) that the network takes as one
    kernel: tuple[int, int]  # of its convolutions
    pool: tuple[int, int]  # between its levels
    bottom: int  # width of the layer that sees everything
    mixtures: int = 1

    @property
    def levels(self) -> int:
        """K."""
        return len(self.alphabet)

    @property
    def size(self) -> int:
        """D: variables of an item."""
        return math.prod(self.shape)

    @property
    def senders(self) -> tuple[str, ...]:
        return ("gaussian", "categorical") if self.kind == "classes" else ("gaussian", "dither")

    @property
    def inputs(self) -> int:
        """Network inputs a pixel."""
        if self.kind == "values":
            return 6 * self.shape[2] - 1
        return (1 if self.kind == "binary" else self.levels) * self.shape[2]

    @property
    def outputs(self) -> int:
        """Network outputs a pixel."""
        each = {"binary": 1, "values": 3 * self.mixtures, "classes": self.levels}[self.kind]
        return each * self.shape[2]

    def steps(self, count: int, sender: str) -> tuple[AnyStep, ...]:
        """The noisy steps of a schedule of `count`: the paper's accuracies. LimitExceeded above STEP_LIMIT."""
        if not 0 < count <= STEP_LIMIT:
            raise LimitExceeded(f"{count} noisy steps; there may be 1 to {STEP_LIMIT}")
        if sender not in self.senders:
            raise CorruptFile(f"sender {sender} is not one of {', '.join(self.senders)}")
        noisy_steps: list[AnyStep] = []
        for variance in self._variances(count):
            if sender == "categorical":
                # m = 1: accuracy w**2 = 1 / (K variance)
                share = math.isqrt(int((1 << 32) / (self.levels * variance)))
                if not 0 < share < SHARES:
                    raise CorruptFile(f"a draw of {count} has no share in the model's schedule")
                noisy_steps.append(Draw(share, self.levels))
                continue
            deviation = math.isqrt(int(variance * UNIT * UNIT))
            if not 0 < deviation < _DEVIATION_LIMIT:
                raise CorruptFile(f"a step of {count} has noise too narrow or too wide in the model's schedule")
            spacing = 1 << (deviation.bit_length() - 1)  # in (deviation / 2, deviation]: a seed of 2.1 to 3.1 bits
            step = Step(deviation, spacing, self.levels if self.kind == "values" else 2, UNIT, PRECISION)
            if sender == "dither":
                noisy_steps.append(Dither(step))
            elif self.kind == "classes":
                noisy_steps.append(Vector(step, self.levels))
            else:
                noisy_steps.append(step)
        return tuple(noisy_steps)

    def _variances(self, count: int) -> list[Fraction]:
        try:
            if self.kind == "values":
                variances = values_variances(self.final, self.levels, count)
            else:
                # K coordinates of variance 1 / (K alpha), or on a line the difference of two: 1 / (4 alpha).
                variances = class_variances(self.final, 4 if self.kind == "binary" else self.levels, count)
            if min(variances) <= 0:
                raise ValueError("a variance is negative")
            return variances
        except (ArithmeticError, ValueError) as error:
            raise CorruptFile(f"the model's schedule cannot end in {self.final}") from error


def class_variances(beta: str, share: int, count: int) -> list[Fraction]:
    """Noise of steps 1 .. count around 0 or 1: 1 / (share alpha_i), alpha_i = beta(1) (2i - 1) / n**2."""
    return [count * count / (share * Fraction(beta) * (2 * i - 1)) for i in range(1, count + 1)]


def values_variances(sigma: str, levels: int, count: int) -> list[Fraction]:
    """Noise in levels of steps 1 .. count: alpha_i = sigma_1**(-2i/n) (1 - sigma_1**(2/n)) on [-1, 1]."""
    with localcontext(_CONTEXT):
        ratio = Decimal(sigma) ** (Decimal(2) / count)
        accuracies = [ratio**-i * (1 - ratio) for i in range(1, count + 1)]
    return [Fraction(levels * levels, 4) / Fraction(accuracy) for accuracy in accuracies]


def time_inputs(step: int, count: int) -> list[int]:
    """How far a schedule has come, as hat functions of TIME_ONE at most."""
    place = (step * (TIME_INPUTS - 1) * TIME_ONE * 2 + count) // (2 * count)
    return [max(0, TIME_ONE - abs(place - TIME_ONE * at)) for at in range(TIME_INPUTS)]


def from_card(card: dict[str, Any]) -> Spec:
    """The spec in a model's card; CorruptFile if it holds none."""
    try:
        fields = dict(card["spec"])
        fields["alphabet"] = bytes(fields["alphabet"])
        for name in ("shape", "widths", "blocks", "patch", "kernel", "pool"):
            fields[name] = tuple(fields[name])
        spec = Spec(**fields)
        sound = _sound(spec)
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptFile("the model has no spec: it is one of another kind") from error
    if not sound:
        raise CorruptFile("the model's spec is one that no network has")
    return spec


def _sound(spec: Spec) -> bool:
    pairs = (spec.patch, spec.kernel, spec.pool)
    sizes = [*spec.shape, *spec.widths, *sum(pairs, ()), spec.bottom, spec.mixtures]
    return (
        all(type(size) is int and 0 < size <= _SIZE_LIMIT for size in sizes)
        and len(spec.shape) == 3
        and all(len(pair) == 2 for pair in pairs)
        and all(type(count) is int and 0 <= count <= _SIZE_LIMIT for count in spec.blocks)
        and len(spec.widths) == len(spec.blocks) > 0
        and all(size % 2 for size in spec.kernel)
        and all(spec.shape[i] % (spec.patch[i] * spec.pool[i] ** (len(spec.widths) - 1)) == 0 for i in (0, 1))
        and spec.levels
        in {"binary": (2,), "values": (2, 4, 8, 16, 32, 64, 128, 256), "classes": range(2, 257)}[spec.kind]
        and _FINAL.fullmatch(spec.final) is not None
    )
