"""The second decoder's part for texts, written from section 15 of docs/format.md: slow, plain, one bit at a time.

Nothing but Python's own integers, and nothing from bfncodec.
"""

import json
import struct
from bisect import bisect_left
from collections import defaultdict
from functools import cache
from operator import mul

from reference.stack import Stack, clip, exp_negative, normalise, require, running_sums

SECTION = 1 << 22
PART = 1 << 22


# 15.2 Contexts


def mix(h: int, m: int) -> int:
    h = ((h ^ m) * 0x2C9277B5 + 0x1B56C4E9) % 2**32
    return (h ^ h >> 15) * 0x3B9ACA07 % 2**32


def mixed(first: int, *more: int) -> int:
    """mix(mix(first, more_0), more_1) and so on."""
    for number in more:
        first = mix(first, number)
    return first


def byte_class(v: int) -> int:
    if v >= 128:
        return 7
    if 48 <= v <= 57:
        return 2
    if 65 <= v <= 90:
        return 3
    if 97 <= v <= 122:
        return 4
    if v in b"!),.:;>?]}":
        return 5
    return 0 if v < 32 else 1 if v == 32 else 6


class Lane:
    """A lane's state."""

    def __init__(self) -> None:
        self.near = self.far = self.word = self.previous = self.before = 0
        self.classes = self.column = self.line = 0

    def take(self, v: int) -> None:
        k = byte_class(v)
        self.far = (self.far << 8 | self.near >> 24) % 2**32
        self.near = (self.near << 8 | v) % 2**32
        self.classes = (self.classes << 3 | k) % 2**32
        if k in (3, 4, 7):
            self.word = mix(self.word, 1 + (v | 32 if k == 3 else v))
        elif self.word:
            self.before, self.previous, self.word = self.previous, self.word, 0
        if v == 10:
            self.column = self.line = 0
        else:
            if self.column < 2:
                self.line = self.line << 8 | v
            self.column = min(self.column + 1, 255)

    # 15.3 Hashes and rows

    def hashes(self) -> list[int]:
        near, far = self.near, self.far
        last, two, three = near % 2**8, near % 2**16, near % 2**24
        w = mixed(8, self.word, last)
        return [
            mix(1, last),
            mix(2, two),
            mix(3, three),
            mix(4, near),
            mixed(5, near, far % 2**8),
            mixed(6, near, far % 2**16),
            mixed(7, near, far),
            w,
            mixed(w, 9, self.previous),
            mixed(w, 10, self.previous, self.before),
            mixed(w, 11, self.before),
            mix(12, near >> 8),
            mix(13, (near >> 8) % 2**16),
            mixed(14, self.line, last),
            mixed(15, self.column, self.classes % 2**12),
            mix(16, self.classes),
        ]

    def rows(self, hashes: list[int]) -> list[int]:
        near, far = self.near, self.far
        chosen = [h >> 32 - bits for h, bits in zip(hashes, ROW_BITS, strict=False)]
        chosen[0] = near % 2**8
        chosen += [(near >> 8) % 2**8, (near >> 16) % 2**8, near >> 24, far % 2**8, (far >> 8) % 2**8]
        return [sum(1 << bits for bits in ROW_BITS[:i]) + row for i, row in enumerate(chosen)]


ROW_BITS = [8, 16, 17, 17, 17, 16, 15, 16, 17, 15, 14, 15, 14, 13, 14, 14, 8, 8, 8, 8, 8]


# 15.11 Tensors


class Tensor:
    """A tensor of a weights' file, flat."""

    def __init__(self, kind: str, shape: list[int], data: bytes) -> None:
        code = {"I8": "b", "U8": "B", "I16": "h", "U16": "H", "I32": "i"}[kind]
        self.kind, self.shape = kind, shape
        self.flat = struct.unpack(f"<{len(data) // struct.calcsize(code)}{code}", data)

    def row(self, index: int) -> list[int]:
        size = self.shape[1]
        return list(self.flat[index * size : index * size + size])

    def rows(self) -> list[list[int]]:
        return [self.row(index) for index in range(self.shape[0])]


Tensors = dict[str, Tensor]


@cache
def read_weights(data: bytes) -> Tensors:
    """The tensors of a safetensors file (section 11)."""
    size = int.from_bytes(data[:8], "little")
    entries, body = json.loads(data[8 : 8 + size]), data[8 + size :]
    entries.pop("__metadata__", None)
    return {
        name: Tensor(entry["dtype"], entry["shape"], body[slice(*entry["data_offsets"])])
        for name, entry in entries.items()
    }


def table(tensors: Tensors, name: str, kind: str, shape: list[int]) -> list[list[int]]:
    """A tensor that is counted on from: a copy."""
    tensor = tensors[name]
    require(tensor.kind == kind and tensor.shape == shape)
    return tensor.rows()


# 15.4 The static network


class Layer:
    def __init__(self, tensors: Tensors, name: str, bound: int) -> None:
        self.weights = tensors[f"{name}.weight"].rows()
        shifts, biases = tensors[f"{name}.shift"].flat, tensors[f"{name}.bias"].flat
        self.ends = [(bias + (1 << shift >> 1), shift) for bias, shift in zip(biases, shifts, strict=True)]
        for weights, (bias, shift) in zip(self.weights, self.ends, strict=True):
            require(0 <= shift <= 23 and sum(map(abs, weights)) * bound + abs(bias) < 2**24)

    def __call__(self, x: list[int]) -> list[int]:
        pairs = zip(self.weights, self.ends, strict=True)
        return [sum(map(mul, weights, x)) + bias >> shift for weights, (bias, shift) in pairs]


class Network:
    """What the networks of all schedules share: the table and three layers."""

    def __init__(self, tensors: Tensors, family: str, outputs: int) -> None:
        self.table = tensors["text.table"]
        require(self.table.kind == "I8" and self.table.shape[0] == sum(1 << bits for bits in ROW_BITS))
        self.first, self.second = Layer(tensors, f"{family}.first", 128), Layer(tensors, f"{family}.second", 255)
        self.last = Layer(tensors, f"{family}.last", 255)
        require(len(self.last.weights) == outputs)

    def embedded(self, rows: list[int]) -> list[int]:
        """The first inputs."""
        return [value for row in rows for value in self.table.row(row)]

    def logits(self, x: list[int]) -> list[int]:
        for layer in (self.first, self.second):
            x = [clip(value, 0, 255) for value in layer(x)]
        return self.last(x)


class Recurrent(Network):
    """15.4: with levels that are carried from byte to byte."""

    def __init__(self, tensors: Tensors) -> None:
        super().__init__(tensors, "text", 256)
        self.gate, self.candidate = Layer(tensors, "text.gate", 255), Layer(tensors, "text.candidate", 255)
        self.levels = [0] * len(self.gate.weights)
        require(len(self.candidate.weights) == len(self.levels))

    def logits(self, x: list[int]) -> list[int]:
        x = [clip(value, 0, 255) for value in self.first(x)]
        for unit, (odds, candidate) in enumerate(zip(self.gate(x), self.candidate(x), strict=True)):
            gate, goal = squash(clip(odds, -2815, 2815)), clip(candidate, 0, 4095) * 2**16
            self.levels[unit] += (goal - self.levels[unit]) * gate >> 16
        x += [min(level >> 16, 255) for level in self.levels]
        return self.last([clip(value, 0, 255) for value in self.second(x)])


def raw_weights(logits: list[int]) -> list[int]:
    """The 256 numbers W_u."""
    top = max(logits)
    return [shares()[min(top - logit, 768)] for logit in logits]


@cache
def shares() -> list[int]:
    return [(exp_negative(i, 64) >> 14) + 1 for i in range(769)]


# 15.5 Tables


@cache
def squash_table() -> list[int]:
    """squash(x) for x = 0 .. 2815."""
    return [2**46 // (2**30 + exp_negative(x, 256)) for x in range(2816)]


def squash(x: int) -> int:
    return squash_table()[x] if x >= 0 else 2**16 - squash_table()[-x]


@cache
def stretch(p: int) -> int:
    if p >= 2**15:
        return bisect_left(range(2815), 2 * p, key=lambda x: squash(x) + squash(x + 1))
    return -stretch(2**16 - p) if p else -2815


def odds(p: int) -> int:
    return stretch(16 * (p >> 4) + 8)


History = tuple[int, int, int]
KEPT = [0, 1, 2, 2, 3, 3, 4, 4, 4, 5, 5, 5, 5, 5, 5]
MOST = [48, 30, 14, 10, 8, 7, 6, 5]


def after(history: History, y: int) -> History:
    n, z = list(history[:2]), 1 - y
    n[y] += 1
    if n[z] > 2:
        n[z] = KEPT[n[z]] if n[z] < 15 else 6
    while min(n) >= 8 or max(n) > MOST[min(n)]:
        n[y if n[y] > n[z] or n[z] <= 1 else z] -= 1
    return n[0], n[1], y if min(n) else 0


@cache
def histories() -> tuple[list[tuple[int, int]], list[int]]:
    """By number: the histories after a 0 and a 1, and the evidence."""
    found: list[History] = [(0, 0, 0)]
    follow = []
    for history in found:  # it grows on the way
        pair = (after(history, 0), after(history, 1))
        found += [new for new in dict.fromkeys(pair) if new not in found]
        follow.append((found.index(pair[0]), found.index(pair[1])))
    return follow, [n_0 + n_1 for n_0, n_1, _ in found]


class Correction:
    def __init__(self) -> None:
        start = [squash(clip(8192 * i // 45 - 2816, -2815, 2815)) for i in range(32)]
        self.rows: defaultdict[int, list[int]] = defaultdict(lambda: list(start))
        self.knots, self.near = start, 0  # the row in use and its nearest knot

    def value(self, row: int, x: int) -> int:
        i, f = divmod((x + 2816) * 45 >> 5, 256)
        self.knots, self.near = self.rows[row], i + (f >= 128)
        return self.knots[i] * (256 - f) + self.knots[i + 1] * f >> 8

    def update(self, target: int) -> None:
        self.knots[self.near] += (target - self.knots[self.near]) >> 6


# 15.6 to 15.10


def bucket_bits(size: int) -> int:
    """The number e."""
    return clip(size.bit_length() - 2, 10, 19)


MIXERS = [0, 256, 512, 576, 1088, 1600, 2112, 2624, 3136, 3392, 3904, 4160]  # their first rows
SHORTEST = (5, 11)


USED = [number for number in range(32) if number not in (9, 13)]  # contexts of schedule 0
FAST = [0, 1, 2, 3, 5, 7, 8, 14, 17]  # contexts of schedule 2


class Layout:
    """Records, lines and brackets."""

    def __init__(self) -> None:
        self.close = self.distant = self.start = self.above = self.sign = self.open = 0
        self.votes = [0] * 4096
        self.seen: dict[int, int] = {}

    def take(self, lane: Lane, v: int, place: int) -> None:
        """The byte v at a place, which the lane's state has taken."""
        position, h = place + 1, mix(31, lane.near % 2**24) >> 16
        d = position - self.seen.get(h, 0)
        self.seen[h] = position
        if 2 <= d < min(4096, position):
            self.votes[d] += 1
            if d < 32 and self.votes[d] > self.votes[self.close]:
                self.close = d
            if d >= 32 and self.votes[d] > self.votes[self.distant]:
                self.distant = d
            if self.votes[d] >= 250:
                self.votes = [count >> 1 for count in self.votes]
        if v == 10:
            self.above, self.start = self.start, position
        if byte_class(v) in (0, 5, 6):
            self.sign = v
            if v in b"(<[{":
                self.open = (self.open << 8 | v) % 2**24
            if v in b")>]}":
                self.open >>= 8

    def hashes(self, lane: Lane, data: bytearray, position: int, expected: int) -> list[int]:
        """Of the byte at a position."""

        def at(place: int) -> int:
            return data[place] if place >= 0 else 0

        left, c, d = lane.near % 2**8, max(self.close, 1), max(self.distant, 32)
        one, two = at(position - c), at(position - 2 * c)
        up, higher, highest = (at(position - k * d) for k in (1, 2, 3))
        before, after = at(position - d - 1), at(position - d + 1)
        there = self.above + position - self.start
        over = data[there] if there < self.start else 10
        beside = data[there + 1] if there + 1 < self.start else 10
        return [
            mixed(33, one << 8 | two, c),
            mixed(34, one, (position % c) << 8 | c),
            mixed(36, up << 16 | after << 8 | left, d),
            mixed(37, up << 16 | higher << 8 | left, d),
            mixed(38, up << 16 | before << 8 | after, d),
            mixed(39, up << 16 | higher << 8 | highest, d),
            mix(40, over << 8 | left),
            mix(41, over << 16 | beside << 8 | left),
            mixed(51, expected, left),
            mixed(53, lane.near % 2**24, lane.previous),
            mixed(54, self.sign, lane.word),
            mixed(55, lane.line, lane.classes % 2**24),
            mixed(56, self.open % 2**8, mix(lane.word, left)),
        ]


class Text:
    """A lane while it is decoded: its memory, and what is at hand for the byte and bit."""

    def __init__(self, tensors: Tensors, size: int, *, fast: bool = False) -> None:
        self.data = bytearray(size)
        self.lane = Lane()
        self.network = None if fast else Recurrent(tensors)
        self.used = FAST if fast else USED
        family, inputs, self.mixers, sets = ("fast", 64, 7, 2624) if fast else ("mixing", 160, 12, 4416)
        chances = table(tensors, f"{family}.chances", "U16", [len(self.used), 256])
        self.counts = table(tensors, f"{family}.counts", "U8", [len(self.used), 256])
        self.weights = table(tensors, f"{family}.weights", "I16", [sets, inputs])
        self.last = table(tensors, f"{family}.last", "I32", [256 if fast else 768, self.mixers])
        self.match_chances = table(tensors, f"{family}.match_chances", "U16", [2, 128])
        self.trusts = table(tensors, f"{family}.trusts", "U16", [2, 8192])
        require(all(1 <= q <= 65535 for row in chances + self.match_chances + self.trusts for q in row))
        require(all(r <= 127 for row in self.counts for r in row))
        require(all(abs(weight) <= 2**23 for row in self.last for weight in row))
        self.chances = [[64 * q for q in row] for row in chances]
        self.mask = (1 << bucket_bits(size)) - 1
        self.slots: list[defaultdict[int, list[int]]] = [defaultdict(lambda: [0] * 16) for _ in self.used]
        self.corrections = [Correction() for _ in range(4)]
        self.one_follower, self.two_followers = [0] * 2**8, [0] * 2**16
        self.found: list[dict[int, int]] = [{}, {}]
        self.places, self.lengths, self.missed = [0, 0], [0, 0], [0, 0]
        self.layout, self.position = Layout(), 0
        self.follow, self.evidence = histories()

    def decode_byte(self, stack: Stack, place: int) -> None:
        self.begin()
        c = 1
        for b in range(8):
            p = self.chance(c, b)
            y = stack.pop([2**24 - 256 * p, 256 * p])
            self.update(c, y)
            c = 2 * c + y
        self.data[place] = c - 256
        self.end(c - 256, place)

    def begin(self) -> None:
        """15.4 and 15.6: what holds for all bits of a byte."""
        self.hashes = self.lane.hashes()
        self.tree = [0] * 512
        if self.network:
            weights = raw_weights(self.network.logits(self.network.embedded(self.lane.rows(self.hashes))))
            self.tree[256:] = weights
            for c in range(255, 0, -1):
                self.tree[c] = self.tree[2 * c] + self.tree[2 * c + 1]
            self.sure = min(7, 8 * max(weights) // self.tree[1])
        last, two = self.lane.near % 2**8, self.lane.near % 2**16
        followers = self.two_followers[two]
        self.hashes += [
            mixed(23, self.one_follower[last], last),
            mixed(24, followers, last),
            mix(25, followers % 2**16),
        ]
        self.awaited = 0
        for m in range(2):
            if self.lengths[m] and not self.missed[m]:
                self.awaited = min(self.lengths[m], 32) // 8 * 512 + self.data[self.places[m]] + 1
        if self.network:
            self.hashes += self.layout.hashes(self.lane, self.data, self.position, self.awaited)

    def bucket(self, j: int, h: int) -> list[int]:
        first = (h >> 8) & self.mask
        check = max(h % 256, 1)
        one, other = self.slots[j][first], self.slots[j][first ^ 1]
        for bucket in (one, other):
            if bucket[0] == check:
                return bucket
        taken = other if self.evidence[other[1]] < self.evidence[one[1]] else one
        taken[:] = [check] + [0] * 15
        return taken

    def chance(self, c: int, b: int) -> int:
        """15.6 to 15.8: the number p."""
        own = [self.hashes[number] for number in self.used]
        if b == 0:
            self.buckets = [self.bucket(j, h) for j, h in enumerate(own)]
        if b == 4:
            self.buckets = [self.bucket(j, mix(h, c)) for j, h in enumerate(own)]
        self.node = c if b < 4 else 2 ** (b - 4) + c % 2 ** (b - 4)
        x = []
        rank = longest = 0
        for j, bucket in enumerate(self.buckets):
            g = bucket[self.node]
            q = self.chances[j][g]
            known = odds(q >> 6)
            x += [known, (q - 2**21) >> 11, known * min(self.evidence[g], 16) >> 4, 0] if g else [0] * 4
            rank += self.used[j] < 7 and g > 0
        self.expected = [0, 0]  # the bit, and its places in the tables
        self.match_rows, self.trust_rows = [0, 0], [0, 0]
        for m in range(2):
            if not self.lengths[m]:
                x += [0] * 4
                continue
            u, n = self.data[self.places[m]], self.lengths[m]
            z = u >> (7 - b) & 1
            self.expected[m], self.match_rows[m] = z, 2 * trusted(n, self.missed[m]) + z
            self.trust_rows[m] = 32 * u + 4 * b + (0 if self.missed[m] else 1 if n < 12 else 2 if n < 24 else 3)
            q = self.match_chances[m][self.match_rows[m]]
            x += [odds(q), (q - 2**15) >> 5, odds(self.trusts[m][self.trust_rows[m]]), 0]
            if not self.missed[m]:
                longest = 1 + min(6, n >> 2)
        x += [256, 0, 0, 0]
        last, two = self.lane.near % 2**8, self.lane.near % 2**16
        spread = c * 0x9E3B % 2**16
        if self.network:
            zeros, ones = self.tree[2 * c], self.tree[2 * c + 1]
            q = clip((ones * 2**16 + 2**15) // (zeros + ones + 1), 1, 65535)
            one = self.corrections[0].value(256 * last + c, odds(q))
            other = self.corrections[1].value(mix(21, two) >> 16 ^ spread, odds(q))
            x += [odds(q), (q - 2**15) >> 5, odds(one), odds(other)]
        else:
            self.sure = longest
        chosen = [
            c,
            last,
            8 * self.sure + b,
            64 * rank + 8 * longest + self.sure,
            8 * (self.lane.classes % 2**6) + b,
            8 * (self.lane.word % 2**6) + b,
            (self.hashes[1] ^ c * 0x9E3B5) % 2**9,
            self.awaited % 2**9,
            (self.lane.near >> 8) % 2**8,
            8 * min(self.lane.column, 63) + b,
            8 * (self.position % max(self.layout.close, 1)) + b,
            self.layout.sign,
        ]
        self.x = [(i, value) for i, value in enumerate(x) if value]  # a zero changes nothing
        pairs = list(zip(MIXERS, chosen, strict=True))[: self.mixers]
        self.sets = [self.weights[first + number] for first, number in pairs]
        self.d = [
            clip(wrapped(sum(value * weights[i] for i, value in self.x)) >> 15, -2815, 2815) for weights in self.sets
        ]
        self.rows = (c, 256 + chosen[3]) if self.network else (c,)
        both = [clip(sum(map(mul, self.d, self.last[row])) >> 16, -2815, 2815) for row in self.rows]
        self.finals = [squash(value) for value in both]
        total = sum(both) // len(both)
        corrected = self.corrections[2].value(256 * last + c, total)
        corrected += self.corrections[3].value(self.hashes[3] >> 16 ^ spread, total)
        return clip((2 * squash(total) + corrected + 2) >> 2, 4, 65532)

    def update(self, c: int, y: int) -> None:
        """15.9: the bit was y."""
        target = 65535 * y
        rate = 16 + 44 * 2**15 // (2**15 + self.position)
        last_rate = 4 + 22 * 2**13 // (2**13 + self.position)
        for k, (d, weights) in enumerate(zip(self.d, self.sets, strict=True)):
            for row, final in zip(self.rows, self.finals, strict=True):
                moved = self.last[row][k] + ((d * (target - final) * last_rate + 2**21) >> 22)
                self.last[row][k] = clip(moved, -(2**23), 2**23)
            step = (target - squash(d)) * rate >> 8
            for i, value in self.x:
                weights[i] = clip(weights[i] + ((value * step + 2**14) >> 15), -(2**15), 2**15 - 1)
        for j, bucket in enumerate(self.buckets):
            g = bucket[self.node]
            if g:
                q, r = self.chances[j][g], self.counts[j][g]
                self.chances[j][g] = q + ((64 * target - q) * (2**16 // (r + 2)) >> 16)
                self.counts[j][g] = min(r + 1, 127)
            bucket[self.node] = self.follow[g][y]
        for m in range(2):
            if self.lengths[m]:
                row = self.match_rows[m]
                q = self.match_chances[m][row]
                self.match_chances[m][row] = clip(q + ((target - q) >> 6), 1, 65535)
                q = self.trusts[m][self.trust_rows[m]]
                self.trusts[m][self.trust_rows[m]] = clip(q + ((target - q) >> 5), 1, 65535)
                if self.expected[m] != y:
                    self.lengths[m] = 0
                    self.missed[m] += 1
        for correction in self.corrections[0 if self.network else 2 :]:
            correction.update(target)

    def end(self, v: int, place: int) -> None:
        """15.10: the byte at a place was v."""
        lane = self.lane
        last, two = lane.near % 2**8, lane.near % 2**16
        self.one_follower[last] = (self.one_follower[last] << 8 | v) % 2**24
        self.two_followers[two] = (self.two_followers[two] << 8 | v) % 2**24
        lane.take(v)
        self.layout.take(lane, v, place)
        self.position = place + 1
        older = sum(self.data[place - 10 + k] << 8 * k for k in range(3)) if place >= 10 else 0
        hashes = mixed(22, lane.near, lane.far % 2**8), mixed(22, lane.near, lane.far, older)
        for m, shortest in enumerate(SHORTEST):
            if self.places[m]:
                self.lengths[m] += 1
                self.places[m] += 1
                if self.lengths[m] >= 16:
                    self.missed[m] = 0
            if place + 1 < shortest:
                continue
            h = hashes[m] >> 14
            if not self.places[m] or self.missed[m]:
                found = self.found[m].get(h, 0)
                j = 0
                while j < min(40, found) and self.data[found - 1 - j] == self.data[place - j]:
                    j += 1
                if j >= shortest:
                    self.places[m], self.lengths[m], self.missed[m] = found, j, 0
                elif self.missed[m] > 8:
                    self.places[m] = self.lengths[m] = self.missed[m] = 0
            self.found[m][h] = place + 1


def trusted(length: int, missed: int) -> int:
    """The number t of a match."""
    if missed:
        return 32 + min(length, 8) + 8 * min(missed - 1, 2)
    if length < 16:
        return length
    if length < 32:
        return 16 + (length - 16) // 4
    return 20 + (length - 32) // 8 if length < 64 else min(22 + length // 32, 31)


def wrapped(value: int) -> int:
    return (value + 2**31) % 2**32 - 2**31


# 15.1 Lanes and streams


def decode(weights: bytes, size: int, lanes: int, streams: list[bytes], *, fast: bool = False) -> bytes:
    """The bytes of a text block."""
    left, data = iter(streams), b""
    length = -(-size // lanes)
    for first in range(0, lanes * length, length):
        own = clip(size - first, 0, length)
        text = Text(read_weights(weights), own, fast=fast)
        for start in range(0, own, SECTION):
            stack = Stack(next(left))
            for place in range(start, min(start + SECTION, own)):
                text.decode_byte(stack, place)
            stack.end()
        data += text.data
    require(next(left, None) is None)
    return data


# 15.12 Schedule 1: blocks of bytes


@cache
def theta(views: tuple[int, ...]) -> list[int]:
    """The shares of a byte of which these views have been seen."""
    logs = [285 * views.count(u) for u in range(256)]
    raw = [exp_negative(min(max(logs) - log, 768), 64) >> 10 for log in logs]
    return [255 * r // sum(raw) for r in raw]


def sender(value: int) -> list[int]:
    return [49152 + (u == value) * 2**22 for u in range(256)]


def receiver(weights: list[int]) -> list[int]:
    mixed = [(weight >> 2) + 49152 for weight in weights]
    mixed[0] += 2**24 - sum(mixed)
    return mixed


class Part:
    """A part of a text while it is decoded."""

    def __init__(self, tensors: Tensors, size: int, lanes: int) -> None:
        self.data = bytearray(size)
        self.starts = [i * size // lanes for i in range(lanes + 1)]
        self.lanes = [Lane() for _ in self.starts[:-1]]
        self.views = tensors["blocks.views"].rows()
        inputs = len(tensors["text.table"].row(0)) * len(ROW_BITS)
        self.block = (tensors["blocks.first.weight"].shape[1] - inputs) // len(self.views[0])
        require(self.block >= 1 and len(self.views) == 256)
        self.network = Network(tensors, "blocks", 256 * self.block)

    def predict(self, lane: Lane, seen: list[list[int]]) -> list[list[int]]:
        """Weights of the next bytes of a lane; `seen` holds the views of each byte, in order."""
        x = self.network.embedded(lane.rows(lane.hashes()))
        for views in seen:
            h = [(u, share) for u, share in enumerate(theta(tuple(views))) if share]
            x += [sum(share * self.views[u][j] for u, share in h) >> 8 for j in range(len(self.views[0]))]
        logits = self.network.logits(x)
        raw = [raw_weights(logits[256 * k : 256 * k + 256]) for k in range(self.block)]
        return [normalise([s * 2**24 // sum(one) for s in running_sums(one)], 24) for one in raw]

    def decode_group(self, stack: Stack, first: int, count: int, steps: int) -> None:
        """The bytes `first` to `first + count - 1` of every lane that has them."""
        lanes = [i for i in range(len(self.lanes)) if self.starts[i] + first < self.starts[i + 1]]
        variables = [(i, k) for i in lanes for k in range(count)]
        seen: dict[int, list[list[int]]] = {i: [[] for _ in range(self.block)] for i in lanes}
        for _ in range(steps):
            predicted = {i: self.predict(self.lanes[i], seen[i]) for i in lanes}
            for i, k in variables:
                seen[i][k].append(stack.pop(receiver(predicted[i][k])))
        predicted = {i: self.predict(self.lanes[i], seen[i]) for i in lanes}
        for i, k in variables:
            self.data[self.starts[i] + first + k] = stack.pop(predicted[i][k])
        for step in range(steps - 1, -1, -1):
            for i, k in variables[::-1]:
                stack.push(sender(self.data[self.starts[i] + first + k]), seen[i][k][step])
        for i, k in variables:
            self.lanes[i].take(self.data[self.starts[i] + first + k])


def decode_blocks(weights: bytes, size: int, lanes: int, steps: int, quiet: int, streams: list[bytes]) -> bytes:
    """The bytes of a text block in schedule 1."""
    starts = range(0, size, PART)
    require(len(streams) == len(starts) and lanes <= size)
    data = b""
    for start, stream in zip(starts, streams, strict=True):
        length = min(PART, size - start)
        part, stack = Part(read_weights(weights), length, lanes), Stack(stream)
        blocks = max(0, length // lanes - quiet) // part.block
        for g in range(blocks):
            part.decode_group(stack, g * part.block, part.block, steps)
        for t in range(blocks * part.block, -(-length // lanes)):
            part.decode_group(stack, t, 1, 0)
        stack.end()
        data += part.data
    return data
