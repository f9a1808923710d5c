"""The second decoder's part for single blocks, written from section 16 of docs/format.md: slow, plain, one at a time.

Nothing but Python's own numbers, and nothing from bfncodec.
"""

import json
import math
import struct
from dataclasses import dataclass
from decimal import Context, Decimal, localcontext
from fractions import Fraction
from functools import cache, cached_property
from operator import mul
from typing import Any

from reference.stack import Stack, clip, exp_negative, nearest, normalise, require, running_sums

Weights = list[int]
Grid = list[list[list[int]]]  # rows, columns, channels
GAUSSIAN, DITHER, CATEGORICAL = 0, 1, 2


# 16.2 The model


@dataclass
class Layer:
    weight: list[list[int]]
    bias: list[int]
    shift: list[int]

    def __call__(self, inputs: list[int]) -> list[int]:
        require(len(inputs) == len(self.weight[0]))
        sums = (sum(map(mul, row, inputs)) for row in self.weight)
        return [
            value + bias + (1 << shift >> 1) >> shift
            for value, bias, shift in zip(sums, self.bias, self.shift, strict=True)
        ]


class Model:
    """A weights' file: its spec and its layers."""

    def __init__(self, data: bytes) -> None:
        size = int.from_bytes(data[:8], "little")
        self.entries, self.body = json.loads(data[8 : 8 + size]), data[8 + size :]
        card = json.loads(self.entries.pop("__metadata__", {}).get("card", "{}"))
        require("spec" in card)
        spec: dict[str, Any] = card["spec"]
        self.kind, self.alphabet, self.final = spec["kind"], bytes(spec["alphabet"]), spec["final"]
        self.height, self.width, self.channels = spec["shape"]
        self.widths, self.blocks, self.mixtures = spec["widths"], spec["blocks"], spec["mixtures"]
        self.patch, self.kernel, self.pool = spec["patch"], spec["kernel"], spec["pool"]
        self.size, self.levels = math.prod(spec["shape"]), len(self.alphabet)

    def tensor(self, name: str) -> list[int]:
        entry = self.entries[name]
        code = {"I8": "b", "I32": "i"}[entry["dtype"]]
        data = self.body[slice(*entry["data_offsets"])]
        return list(struct.unpack(f"<{len(data) // struct.calcsize(code)}{code}", data))

    @cache  # noqa: B019 - models live as long as the tests
    def layer(self, name: str) -> Layer:
        flat, bias, shift = (self.tensor(f"paper.{name}.{part}") for part in ("weight", "bias", "shift"))
        columns = len(flat) // len(bias)
        rows = [flat[i * columns : (i + 1) * columns] for i in range(len(bias))]
        timed = name in ("stem", "inner") or name.endswith("first")
        bounds = [127 if name == "stem" else 255] * (columns - 12 * timed) + [127] * 12 * timed
        for row, one, step in zip(rows, bias, shift, strict=True):
            require(0 <= step <= 23)
            require(sum(map(mul, map(abs, row), bounds)) + abs(one + (1 << step >> 1)) < 2**24)
        return Layer(rows, bias, shift)


# 16.3 Steps


class Step:
    """One noisy step of a model and a sender; views and deviations in 1/64."""

    def __init__(self, model: Model, sender: int, variance: Fraction) -> None:
        self.levels = model.levels
        self.top = 64 * (model.levels - 1) if model.kind == "values" else 64  # the largest value's place
        self.deviation = math.isqrt(math.floor(4096 * variance))
        self.spacing = 1 << self.deviation.bit_length() - 1
        self.accuracy = 2**44 // self.deviation**2
        self.reach = 6 * self.deviation // self.spacing + 1
        self.width = math.isqrt(12 * self.deviation**2)
        self.share = math.isqrt(math.floor(2**32 / (model.levels * variance)))
        require(sender != CATEGORICAL or self.share < 2**16)

    # 16.6 Gaussian

    @cache  # noqa: B019
    def at(self, offset: int) -> Weights:
        """The sender of a value so far from the grid."""
        masses = [
            exp_negative(((i - self.reach) * self.spacing - offset) ** 2, 2 * self.deviation**2)
            for i in range(2 * self.reach + 2)
        ]
        return normalise([s * 2**24 // sum(masses) for s in running_sums(masses)], 24)

    def sender(self, place: int) -> Weights:
        return self.at(place % self.spacing)

    def receiver(self, p: Weights) -> Weights:
        mixed = [0] * (self.top // self.spacing + 2 * self.reach + 2)
        for x, weight in enumerate(p):
            first = 64 * x // self.spacing
            for i, part in enumerate(self.sender(64 * x)):
                mixed[first + i] += weight * part
        return normalise(running_sums(mixed), 48)

    # 16.6 Gaussian, classes

    @cache  # noqa: B019
    def coordinate(self, c: int) -> Weights:
        """T_0 or T_1."""
        own, first = self.sender(64 * c), 64 * c // self.spacing
        row = [0] * (64 // self.spacing + 2 * self.reach + 2)
        row[first : first + len(own)] = own
        return normalise(running_sums(row), 24)

    @cached_property
    def ratio(self) -> list[int]:
        pairs = zip(self.coordinate(1), self.coordinate(0), strict=True)
        return [min((one << 18) // zero, 2**33) for one, zero in pairs]

    def posterior(self, p: Weights, view: list[int]) -> Weights:
        joint = running_sums([weight * self.ratio[u] for weight, u in zip(p, view, strict=True)])
        cut_by = 19 if joint[-1] >= 2**38 else 0
        sums = [(s >> cut_by) + k + 1 for k, s in enumerate(joint)]
        return normalise([s * 2**24 // sums[-1] for s in sums], 24)

    # 16.6 Dither

    @property
    def cells(self) -> int:
        return (self.top + self.width - 1) // self.width + 1

    def masses(self, p: Weights, offset: int) -> Weights:
        edges = [clip(-((offset - (c + 1) * self.width) // 64), 0, self.levels) for c in range(self.cells)]
        return normalise([sum(p[:edge]) for edge in edges], 24)

    # 16.6 Categorical

    @property
    def others(self) -> int:
        return (2**24 * (2**16 - self.share) // 2**16) // self.levels

    def drawn(self, x: int) -> Weights:
        return [2**24 - (self.levels - 1) * self.others if u == x else self.others for u in range(self.levels)]

    def averaged(self, p: Weights) -> Weights:
        own = 2**24 - self.levels * self.others
        weights = [(weight * own >> 24) + self.others for weight in p]
        weights[0] += 2**24 - sum(weights)
        return weights

    @cached_property
    def gain(self) -> int:
        return nearest(lambda: 64 * (1 + Decimal(self.levels * self.share) / (2**16 - self.share)).ln())


def steps_of(model: Model, sender: int, count: int) -> list[Step]:
    numbers = range(1, count + 1)
    if model.kind == "values":
        with localcontext(Context(prec=40)):
            ratio = Decimal(model.final) ** (Decimal(2) / count)
            accuracies = [ratio**-i * (1 - ratio) for i in numbers]
        variances = [Fraction(model.levels**2, 4) / Fraction(accuracy) for accuracy in accuracies]
    else:
        share = 4 if model.kind == "binary" else model.levels
        variances = [Fraction(count * count) / (share * Fraction(model.final) * (2 * i - 1)) for i in numbers]
    return [Step(model, sender, variance) for variance in variances]


# 16.4 The seed


def mixed(v: int) -> int:
    v = (v ^ v >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    v = (v ^ v >> 27) * 0x94D049BB133111EB % 2**64
    return v ^ v >> 31


def noise(high: int, low: int, count: int) -> list[int]:
    start = mixed(high << 32 | low)
    return [mixed((start + j * 0x9E3779B97F4A7C15) % 2**64) for j in range(1, count + 1)]


def seed_of(model: Model, sender: int, steps: int, variables: int) -> bytes:
    each = {GAUSSIAN: 4 * model.levels if model.kind == "classes" else 4, CATEGORICAL: 9}
    bits = 0 if sender == DITHER else steps * (64 + each[sender] * variables)
    require(bits <= 2**33)
    return b"".join(number.to_bytes(8, "little") for number in noise(2**32 - 1, 2**32 - 1, bits // 64 + 2)) + b"\1"


# 16.7 Predictions


@cache
def exponential(distance: int) -> int:
    return (exp_negative(distance, 64) >> 8) + 1


def softmax(logs: list[int]) -> Weights:
    sums = running_sums([exponential(min(max(logs) - one, 960)) for one in logs])
    return normalise([s * 2**24 // sums[-1] for s in sums], 24)


def time_inputs(seen: int, steps: int) -> list[int]:
    place = (2794 * seen + steps) // (2 * steps)
    return [max(0, 127 - abs(place - 127 * j)) for j in range(12)]


def cut(values: list[Any], size: int) -> list[list[Any]]:
    """A list in pieces of one size."""
    return [values[start : start + size] for start in range(0, len(values), size)]


def joined(lists: list[list[Any]]) -> list[Any]:
    return [value for one in lists for value in one]


class Belief:
    """What is known of the variables of a group."""

    def __init__(self, model: Model, size: int) -> None:
        self.model = model
        each = model.levels if model.kind == "classes" else 1
        self.sums = [[0] * each for _ in range(size)]
        self.logs = [[0] * model.levels for _ in range(size)]
        self.accuracy = self.seen = 0

    def take(self, step: Step, sender: int, views: list[Any]) -> None:
        self.seen += 1
        if sender == CATEGORICAL:
            for log, view in zip(self.logs, views, strict=True):
                log[view] += step.gain
            return
        self.accuracy += step.accuracy
        for variable, view in enumerate(views):
            places = view if isinstance(view, list) else [view]
            self.sums[variable] = [s + step.accuracy * y for s, y in zip(self.sums[variable], places, strict=True)]
            if self.model.kind == "classes":
                self.logs[variable] = [64 * s >> 38 for s in self.sums[variable]]

    def predict(self, steps: int) -> list[Weights]:
        """p of every variable, item by item."""
        time = time_inputs(self.seen, steps)
        predict_item = {"binary": self.binary, "classes": self.classes, "values": self.values}[self.model.kind]
        size = self.model.size
        return joined([predict_item(range(at, at + size), time) for at in range(0, len(self.sums), size)])

    def pixels(self, values: list[Any]) -> list[list[list[Any]]]:
        """What belongs to the variables of an item, in rows and columns of pixels."""
        return cut(cut(values, self.model.channels), self.model.width)

    def binary(self, item: range, time: list[int]) -> list[Weights]:
        odds = [(self.sums[v][0] - 32 * self.accuracy) * 64 // 2**38 for v in item]
        inputs = [clip((127 * one + 256) >> 9, -127, 127) for one in odds]
        outputs = joined(joined(run(self.model, self.pixels(inputs), time)))
        return [softmax([0, one + r]) for one, r in zip(odds, outputs, strict=True)]

    def classes(self, item: range, time: list[int]) -> list[Weights]:
        levels = self.model.levels
        logs = [[g - sum(self.logs[v]) // levels for g in self.logs[v]] for v in item]
        inputs = [[clip((one + 2) >> 2, -126, 126) for one in log] for log in logs]
        grid = [[joined(pixel) for pixel in row] for row in self.pixels(inputs)]
        outputs = cut(joined(joined(run(self.model, grid, time))), levels)
        return [softmax(list(map(sum, zip(log, r, strict=True)))) for log, r in zip(logs, outputs, strict=True)]

    def values(self, item: range, time: list[int]) -> list[Weights]:
        model, levels = self.model, self.model.levels
        q = 2**34 // levels**2 + self.accuracy
        means = [(16 * (self.sums[v][0] - 32 * (levels - 1) * self.accuracy) + q // 2) // q for v in item]
        spread = math.isqrt(2**52 // q)
        grid = self.pixels(means)

        def there(y: int, x: int) -> list[int]:
            return grid[clip(y, 0, model.height - 1)][clip(x, 0, model.width - 1)]

        def inputs(y: int, x: int) -> list[int]:
            own = grid[y][x]
            made = [(254 * mean + 512 * levels) // (1024 * levels) for mean in own]
            around = [there(y - 1, x), there(y + 1, x), there(y, x - 1), there(y, x + 1)]
            apart = [mean - other for one in around for mean, other in zip(own, one, strict=True)]
            apart += [own[c] - own[c - 1] for c in range(1, len(own))]
            return [clip(one, -126, 126) for one in made + [(8 * d + spread // 2) // spread for d in apart]]

        given = [[inputs(y, x) for x in range(model.width)] for y in range(model.height)]
        outputs = cut(joined(joined(run(model, given, time))), 3 * model.mixtures)
        return [self.mixture(mean, spread, out) for mean, out in zip(means, outputs, strict=True)]

    def mixture(self, mean: int, spread: int, outputs: list[int]) -> Weights:
        from reference.decoder import Mixture  # which imports this file

        levels, grain = self.model.levels, 256 // self.model.levels
        logits, offsets, scales = cut(outputs, self.model.mixtures)
        places = [mean + (spread * clip(o, -512, 512) >> 6) + 512 * (levels - 1) for o in offsets]
        octaves = ((spread * grain) ** 16).bit_length() - 1 - 110
        mixture = Mixture(
            [logit >> 2 for logit in logits],
            [place * grain + 512 * (grain - 1) for place in places],
            [octaves + (t * 23637 >> 16) for t in scales],
        )
        bounds = [0, *(mixture.below(k * grain) for k in range(1, levels)), 2**24]
        return [bounds[k + 1] - bounds[k] for k in range(levels)]


# 16.8 The network


def fold(grid: Grid, pair: list[int]) -> Grid:
    a, b = pair
    return [
        [joined([grid[y + dy][x + dx] for dy in range(a) for dx in range(b)]) for x in range(0, len(grid[0]), b)]
        for y in range(0, len(grid), a)
    ]


def unfold(grid: Grid, pair: list[int]) -> Grid:
    a, b = pair
    parts = [[cut(place, len(place) // (a * b)) for place in row] for row in grid]
    return [[parts[y // a][x // b][y % a * b + x % b] for x in range(len(grid[0]) * b)] for y in range(len(grid) * a)]


def around(grid: Grid, kernel: list[int]) -> Grid:
    rows, columns = kernel
    height, width, nothing = len(grid), len(grid[0]), [0] * len(grid[0][0])

    def there(y: int, x: int) -> list[int]:
        return grid[y][x] if 0 <= y < height and 0 <= x < width else nothing

    def near(y: int, x: int) -> list[int]:
        top, left = y - rows // 2, x - columns // 2
        return joined([there(top + dy, left + dx) for dy in range(rows) for dx in range(columns)])

    return [[near(y, x) for x in range(width)] for y in range(height)]


def read(grid: Grid) -> Grid:
    return [[[clip((s + 8) >> 4, 0, 255) for s in place] for place in row] for row in grid]


def clipped(grid: Grid) -> Grid:
    return [[[clip(s, 0, 255) for s in place] for place in row] for row in grid]


def added(one: Grid, other: Grid) -> Grid:
    return [
        [[a + b for a, b in zip(*places, strict=True)] for places in zip(*rows, strict=True)]
        for rows in zip(one, other, strict=True)
    ]


def run(model: Model, inputs: Grid, time: list[int]) -> Grid:
    """Outputs of an item."""

    def apply(name: str, grid: Grid, more: list[int]) -> Grid:
        layer = model.layer(name)
        return [[layer(place + more) for place in row] for row in grid]

    def blocks(kind: str, level: int, stream: Grid) -> Grid:
        for number in range(model.blocks[level]):
            name = f"{kind}.{level}.{number}"
            hidden = clipped(apply(f"{name}.first", around(read(stream), model.kernel), time))
            stream = added(stream, apply(f"{name}.second", around(hidden, model.kernel), []))
        return stream

    last = len(model.widths) - 1
    stream = apply("stem", around(fold(inputs, model.patch), model.kernel), time)
    skips = []
    for level in range(last + 1):
        stream = blocks("before", level, stream)
        if level < last:
            skips.append(stream)
            stream = apply(f"down.{level}", fold(read(stream), model.pool), [])
    seen = model.layer("inner")(joined(joined(read(stream))) + time)
    spread = model.layer("outer")([clip(s, 0, 255) for s in seen])
    stream = added(stream, cut(cut(spread, model.widths[last]), len(stream[0])))
    for level in range(last, -1, -1):
        if level < last:
            stream = added(skips[level], unfold(apply(f"up.{level}", read(stream), []), model.pool))
        stream = blocks("after", level, stream)
    return unfold(apply("out", read(stream), []), model.patch)


# 16.5 Groups


class Transmission:
    """All groups of a block."""

    def __init__(self, model: Model, sender: int, steps: int, stack: Stack) -> None:
        self.model, self.sender, self.stack = model, sender, stack
        self.steps = steps_of(model, sender, steps)

    def push_all(self, tables: list[Weights], symbols: list[int]) -> None:
        for weights, symbol in reversed(list(zip(tables, symbols, strict=True))):
            self.stack.push(weights, symbol)

    def coordinates(self, step: Step, symbols: list[int]) -> list[Weights]:
        return [step.coordinate(int(k == x)) for x in symbols for k in range(self.model.levels)]

    def receive(self, step: Step, outputs: list[Weights], name: tuple[int, int]) -> list[Any]:
        """Views; those of classes through the Gaussian sender have K coordinates."""
        pop = self.stack.pop
        if self.sender == CATEGORICAL:
            return [pop(step.averaged(p)) for p in outputs]
        if self.sender == DITHER:
            offsets = [number % step.width for number in noise(*name, len(outputs))]
            cells = [pop(step.masses(p, z)) for p, z in zip(outputs, offsets, strict=True)]
            return [c * step.width + step.width // 2 - z for c, z in zip(cells, offsets, strict=True)]
        if self.model.kind != "classes":
            return [(pop(step.receiver(p)) - step.reach) * step.spacing for p in outputs]
        latent = [pop(p) for p in outputs]
        drawn = cut([pop(table) for table in self.coordinates(step, latent)], self.model.levels)
        self.push_all([step.posterior(p, view) for p, view in zip(outputs, drawn, strict=True)], latent)
        return [[(u - step.reach) * step.spacing for u in view] for view in drawn]

    def give_back(self, step: Step, symbols: list[int], views: list[Any]) -> None:
        if self.sender == DITHER:
            return
        if self.sender == CATEGORICAL:
            self.push_all([step.drawn(x) for x in symbols], views)
        elif self.model.kind == "classes":
            places = [y // step.spacing + step.reach for view in views for y in view]
            self.push_all(self.coordinates(step, symbols), places)
        else:
            pairs = zip(symbols, views, strict=True)
            places = [y // step.spacing - 64 * x // step.spacing + step.reach for x, y in pairs]
            self.push_all([step.sender(64 * x) for x in symbols], places)

    def group(self, number: int, items: int) -> list[int]:
        belief = Belief(self.model, items * self.model.size)
        seen = []
        for index, step in enumerate(self.steps):
            seen.append(self.receive(step, belief.predict(len(self.steps)), (number, index)))
            belief.take(step, self.sender, seen[-1])
        symbols = [self.stack.pop(p) for p in belief.predict(len(self.steps))]
        for step, views in reversed(list(zip(self.steps, seen, strict=True))):
            self.give_back(step, symbols, views)
        return symbols


@dataclass
class Plan:
    """The fields of section 16.1."""

    sender: int
    steps: int
    batch: int
    before: int
    seed: int


def decode(weights: bytes, size: int, plan: Plan, rest: bytes, stream: bytes) -> bytes:
    """The content of a block; `rest` is what its frame holds."""
    model = Model(weights)
    require(plan.sender in ((GAUSSIAN, CATEGORICAL) if model.kind == "classes" else (GAUSSIAN, DITHER)))
    items, left = divmod(size - len(rest), model.size)
    require(items > 0 and not left and plan.before <= len(rest))
    require(1 <= plan.batch <= items and plan.batch * model.size <= 2**20)
    seed = seed_of(model, plan.sender, plan.steps, plan.batch * model.size)
    require(4 * plan.seed <= len(seed))
    transmission = Transmission(model, plan.sender, plan.steps, Stack(seed[: 4 * plan.seed] + stream))
    symbols: list[int] = []
    for number, at in enumerate(range(0, items, plan.batch)):
        symbols += transmission.group(number, min(plan.batch, items - at))
    end, start = transmission.stack, Stack(seed)
    require((end.state, end.words) == (start.state, start.words))
    body = bytes(model.alphabet[symbol] for symbol in symbols)
    return rest[: plan.before] + body + rest[plan.before :]
