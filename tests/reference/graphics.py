"""Exact colours of the second decoder: section 18 of docs/format.md."""

from collections.abc import Sequence
from functools import cache

import numpy as np
from reference.stack import Stack, clip, exp_negative, require
from reference.text import squash, stretch

MASK = 2**32 - 1
ONE = 2**16


def decode(stream: bytes, shape: tuple[int, int, int, int], depth: int) -> np.ndarray:
    """The values of a stream, [items, height, width, channels]."""
    require(stream)
    items, height, width, channels = shape
    mapped = [channel for channel in range(4) if stream[0] >> channel & 1]
    bits = (stream[0] >> 4) + 1
    require(all(channel < channels for channel in mapped) and bits <= depth)
    stack = Stack(stream[1:])
    found = dict(zip(mapped, maps(stack, len(mapped), depth), strict=True))
    require(all(found.values()))
    require(bits == max((max(len(found[c]) - 1, 1).bit_length() if c in found else depth) for c in range(channels)))
    if bits == 1 and channels == 1:
        places = two_colours(stack, items * height, width).reshape(shape)
    else:
        places = Picture(stack, shape, bits).decode()
    stack.end()
    values = places.copy()
    for channel, levels in found.items():
        values[..., channel] = np.array(levels)[np.minimum(places[..., channel], len(levels) - 1)]
    return values


# 18.1 Decisions


def fold(value: int, more: int) -> int:
    value = ((value ^ more) * 0x2C9277B5 + 0x1B56C4E9) & MASK
    return (value ^ value >> 15) * 0x3B9ACA07 & MASK


def chain(*numbers: int) -> int:
    value = numbers[0]
    for number in numbers[1:]:
        value = fold(value, number)
    return value


def word(value: int, pixel: int) -> int:
    return fold(fold(value, pixel & MASK), pixel >> 32 & MASK)


class Slot:
    def __init__(self) -> None:
        self.chance, self.check, self.met = 2**15, 0, 0

    def inputs(self) -> list[int]:
        trust = 64 + 192 * min(self.met, 48) // 48 if self.met else 0
        opinion = stretch(self.chance // 16 * 16 + 8)
        return [opinion * trust >> 8, (self.chance - 2**15) * trust >> 13]

    def learn(self, bit: int) -> None:
        share = 2 * ONE // (2 * min(self.met, 250) + 3)
        self.chance += (ONE - self.chance) * share >> 16 if bit else -(self.chance * share >> 16)
        self.chance, self.met = clip(self.chance, 16, ONE - 16), min(self.met + 1, 255)


class Slots:
    def __init__(self, bits: int) -> None:
        self.last, self.slots = 2**bits - 1, {}

    def find(self, key: int) -> Slot:
        slot = self.slots.setdefault(key >> 8 & self.last, Slot())
        if slot.check != key & 255:
            slot.chance, slot.check, slot.met = 2**15, key & 255, 0
        return slot


class Mixers:
    def __init__(self, count: int, first: Sequence[int], rate: int) -> None:
        self.count, self.first, self.rate = count, list(first), rate
        self.weights: dict[tuple[int, int], list[int]] = {}
        self.last: dict[int, list[int]] = {}

    def chance(self, inputs: Sequence[int], chosen: Sequence[int], end: int) -> int:
        self.inputs = inputs
        self.sets = [self.weights.setdefault(pair, list(self.first)) for pair in enumerate(chosen)]
        self.end = self.last.setdefault(end, [ONE // self.count] * self.count)
        dots = (sum(i * w for i, w in zip(inputs, weights, strict=True)) for weights in self.sets)
        self.said = [clip(dot >> 16, -2815, 2815) for dot in dots]
        total = sum(said * weight for said, weight in zip(self.said, self.end, strict=True))
        self.total = clip(total >> 16, -2815, 2815)
        return clip(squash(self.total), 3, ONE - 3)

    def learn(self, bit: int) -> None:
        error = 6 * (bit * ONE - squash(self.total))
        for number, (said, weights) in enumerate(zip(self.said, self.sets, strict=True)):
            self.end[number] = clip(self.end[number] + (said * error + 2**19 >> 20), -(2**20), 2**20)
            step = (bit * ONE - squash(said)) * self.rate
            if abs(step) >= 256:
                for place, value in enumerate(self.inputs):
                    weights[place] = clip(weights[place] + (value * step + 2**19 >> 20), -(2**20), 2**20)


def pop(stack: Stack, chance: int) -> int:
    return stack.pop([2**24 - 256 * chance, 256 * chance])


def decide(stack: Stack, mixers: Mixers, slots: Sequence[Slot], chosen: Sequence[int], end: int) -> int:
    """A decision from the opinions of slots; all learn from it."""
    inputs = [value for slot in slots for value in slot.inputs()]
    bit = pop(stack, mixers.chance([*inputs, 256], chosen, end))
    mixers.learn(bit)
    for slot in slots:
        slot.learn(bit)
    return bit


# 18.2 Maps


def maps(stack: Stack, count: int, depth: int) -> list[list[int]]:
    used = np.zeros((count, 2**depth + 3), np.int64)
    for channel in range(count):
        slots, mixers = Slots(16), Mixers(2, [20000] * 11, 12)
        run = gap = older = recent = 0
        for level in range(2**depth):
            beside = sum(int(used[channel - 1, level + k]) << k for k in range(3)) if channel else 0
            near, last, before = min(run, 31), min(gap, 31), min(older, 31)
            keys = [fold(1, near * 4 + recent % 4), fold(2, (near * 256 + last) * 256)]
            keys += [fold(3, (near * 256 + last) * 256 + before), fold(4, recent % 2**16), fold(5, near * 8 + beside)]
            bit = decide(stack, mixers, [slots.find(key) for key in keys], [recent % 64, near], 0)
            used[channel, level] = bit
            recent = (2 * recent + bit) % 2**20
            run += 1
            if bit:
                older, gap, run = gap, run, 0
    return [np.flatnonzero(row[: 2**depth]).tolist() for row in used]


# 18.3 Pixels


class Picture:
    """All that is known of pixels and learnt from them."""

    def __init__(self, stack: Stack, shape: tuple[int, int, int, int], bits: int) -> None:
        self.stack, self.shape, self.bits = stack, shape, bits
        count, height, width, self.channels = shape
        self.row = width + 5
        self.image = (height + 2) * self.row
        size = count * self.image + 3
        self.samples = [[0] * self.channels for _ in range(size)]
        self.words, self.ranks = [0] * size, [0] * size
        total = (count * height * width).bit_length()
        self.neighbourhoods = 2 ** clip(total - 1, 10, 18)
        self.tables: list[dict[int, list[int]]] = [{} for _ in range(4)]
        self.slots = Slots(clip(total - 1, 10, 18) + 1)
        self.mixers = Mixers(3, [14000] * 17, 18)
        self.gates: dict[int, int] = {}
        self.spelling = Spelling(self, clip(total + 4, 14, 22))

    def decode(self) -> np.ndarray:
        count, height, width, channels = self.shape
        values = np.zeros(self.shape, np.int64)
        for item in range(count):
            for y in range(height):
                for x in range(width):
                    at = item * self.image + (y + 2) * self.row + x + 2
                    if not self.candidate(at):
                        self.spelling.spell(at, x)
                    values[item, y, x] = self.samples[at]
                    self.remember(self.words[at])
                self.spelling.turn()
        return values

    # 18.4 Candidates

    def gather(self, at: int) -> None:
        words, row = self.words, self.row
        key = word(word(7, words[at - 1]), words[at - row])
        keys = [key]
        for offsets in ((-row - 1, -row + 1), (-2, -2 * row)):
            for offset in offsets:
                key = word(key, words[at + offset])
            keys.insert(0, key)
        for offset in (-2 * row - 2, -2 * row - 1, -2 * row + 1, -2 * row + 2, -row - 2, -row + 2):
            key = word(key, words[at + offset])
        keys.insert(0, key)
        self.keys = [key % self.neighbourhoods for key in keys]
        seen = [table.get(key, [0, 0]) for table, key in zip(self.tables, self.keys, strict=True)]
        former, self.agreed = at - self.image, 0
        if former >= 0:
            for offset in (1, row, row + 1, row - 1):
                self.agreed = 2 * self.agreed + (words[at - offset] == words[former - offset])
        steady = self.agreed.bit_count() >= 3
        order: list[tuple[int, int]] = [(9, words[former])] if former >= 0 and steady else []
        order += [(table, seen[table][0]) for table in range(4) if seen[table][1] >= 2]
        order += [(4, words[at - 1]), (5, words[at - row])]
        order += [(table, seen[table][0]) for table in range(4) if seen[table][1] == 1]
        order += [(6, words[at - row + 1]), (7, words[at - row - 1]), (8, self.gradient(at))]
        order += [(9, words[former])] if former >= 0 and not steady else []
        self.found: dict[int, int] = {}
        for source, pixel in order:
            if pixel in self.found or len(self.found) < 5:
                self.found[pixel] = self.found.get(pixel, 0) | 1 << source
        self.trusts = [seen[table][1] for table in range(4)]

    def gradient(self, at: int) -> int:
        pixel = 0
        for channel in range(self.channels):
            west, north, corner = (self.samples[at - k][channel] for k in (1, self.row, self.row + 1))
            value = west + north - corner
            if not 0 <= value < 2**self.bits:
                return self.words[at - 1]
            pixel += value << 16 * channel
        return pixel

    def candidate(self, at: int) -> bool:
        """Whether the pixel is a candidate; then it is known."""
        self.gather(at)
        words, ranks, row = self.words, self.ranks, self.row
        w, n, nw, ne = words[at - 1], words[at - row], words[at - row - 1], words[at - row + 1]
        equal = (w == n, n == ne, w == nw, n == nw, w == words[at - 2], n == words[at - 2 * row])
        pattern = sum(bit << place for place, bit in enumerate(equal))
        grades = [0 if trust == 0 else 1 if trust == 1 else 2 if trust < 15 else 3 for trust in self.trusts[:2]]
        trusted = 4 * grades[0] + grades[1]
        past = ranks[at - 1] + 8 * ranks[at - row] + 64 * ranks[at - row + 1]
        before = past + 512 * ranks[at - 2] + 4096 * ranks[at - row - 1] + 32768 * ranks[at - 2 * row]
        self.gate = (pattern * 16 + trusted) * 4 + (ranks[at - 1] == 7) + 2 * (ranks[at - row] == 7)
        ranks[at] = 7
        if self.gates.get(self.gate, 62000) < 52000:
            return False
        for asked, (pixel, mask) in enumerate(self.found.items()):
            base = fold(11, (self.agreed * 1024 + mask) * 8 + asked)
            keys = [
                fold(base, 2**24),
                fold(base, 2 * 2**24 + pattern * 16 + trusted),
                fold(word(word(word(12, pixel), w), n), asked),
                fold(word(13, pixel), self.keys[1] * 8 + asked),
                fold(14, before * 8 + asked),
                fold(base, 5 * 2**24 + past),
                fold(word(fold(15, mask), pixel), asked),
                fold(fold(16, self.keys[0]), asked),
            ]
            chosen = [asked * 64 + pattern, mask, asked * 64 + trusted * 4 + past % 8 // 2]
            if decide(self.stack, self.mixers, [self.slots.find(key) for key in keys], chosen, asked):
                ranks[at], words[at] = asked, pixel
                self.samples[at] = [pixel >> 16 * channel & 0xFFFF for channel in range(self.channels)]
                self.spelling.skip(at)
                return True
        return False

    def remember(self, pixel: int) -> None:
        gate = self.gates.get(self.gate, 62000)
        self.gates[self.gate] = gate + ((pixel in self.found) * ONE - gate >> 5)
        for table, key in zip(self.tables, self.keys, strict=True):
            entry = table.setdefault(key, [0, 0])
            if entry[1] and entry[0] == pixel:
                entry[1] = min(entry[1] + 1, 15)
            else:
                entry[:] = [pixel, 1]


# 18.5 Samples

ORDERS = {1: [0], 2: [1, 0], 3: [2, 1, 0], 4: [3, 1, 0, 2]}


def length(value: int, most: int) -> int:
    return min(value.bit_length(), most) if value > 0 else 0


class Spelling:
    def __init__(self, picture: Picture, bits: int) -> None:
        self.picture, self.order = picture, ORDERS[picture.channels]
        self.slots = Slots(bits)
        first = [5000] * (2 * 23) + [8000] * 7 + [20000] + [5000] * 4
        self.mixers, self.spelled = Mixers(4, first, 0), 0
        self.exact = 14 if picture.bits <= 8 else 1
        self.views = Views(picture.channels, picture.row)
        width, row = picture.shape[2], picture.row
        self.squares = [Squares(self.order, width, row, fading) for fading in (184, 225)]

    def spell(self, at: int, x: int) -> None:
        picture = self.picture
        for squares in self.squares:
            squares.look(picture.samples, at, x)
        self.spelled += 1
        self.mixers.rate = 10 + 28 * 8192 // (8192 + self.spelled)
        known, values = 0, list(picture.samples[at])
        for number, channel in enumerate(self.order):
            value = self.sample(at, number, known)
            values[channel] = picture.samples[at][channel] = value
            known = fold(known, value)
            self.views.learn(at, number, value)
            for squares in self.squares:
                squares.tell(number, value)
        picture.words[at] = sum(value << 16 * channel for channel, value in enumerate(values))
        for squares in self.squares:
            squares.advance(x)

    def sample(self, at: int, number: int, known: int) -> int:
        picture, views, bits = self.picture, self.views, self.picture.bits
        keys, near, contrast = self.prepare(at, number, known)
        ends = [(views.edge(view, -8), views.edge(view, (16 << bits) - 8)) for view in range(11)]
        noise = max(2**24 // views.inverse[7] >> 4, 16)
        value = 0
        for done in range(bits):
            place = bits - 1 - done
            node, point = 2**done + (value >> place + 1), value + 2**place
            middles = [views.edge(view, 16 * point - 8) for view in range(11)]
            more = [clip(low - high, -2815, 2815) for low, high in ends]
            slots = [self.slots.find(fold(key, node)) for key in keys]
            for which, guess in enumerate(near):
                away = clip((point - guess) * 16 // noise, -40, 40) + 40
                slots.append(self.slots.find(fold(((which * 4 + number) * 16 + place) * 8 + contrast, away)))
            inputs = [one for slot in slots[: len(keys)] for one in slot.inputs()] + [0] * (2 * (14 - len(keys)))
            inputs += [one for slot in slots[len(keys) :] for one in slot.inputs()]
            width = length(views.inverse[7] << place + 4 >> 16, 15)
            z = (16 * point - 8 - views.said[7]) * views.inverse[7] >> 16
            which = number * 16 + width
            chosen = [
                which * 8 + contrast,
                number * 256 + (node if bits <= 8 else done * 16 + contrast),
                which * 16 + clip(z // 32, -8, 7) + 8,
                which * 32 + min(views.octaves[7] // 3, 31),
            ]
            bit = pop(picture.stack, self.mixers.chance([*inputs, *more, 256], chosen, which))
            self.mixers.learn(bit)
            for slot in slots:
                slot.learn(bit)
            value += bit << place
            ends = [(m, high) if bit else (low, m) for m, (low, high) in zip(middles, ends, strict=True)]
        return value

    def prepare(self, at: int, number: int, known: int) -> tuple[list[int], list[int], int]:
        picture, row, channel = self.picture, self.picture.row, self.order[number]
        most = 2**picture.bits - 1

        def sample(offset: int, of: int = channel) -> int:
            return picture.samples[at - offset][of]

        w, n, nw, ne, ww, nn = (sample(offset) for offset in (1, row, row + 1, row - 1, 2, 2 * row))
        lean = other = to_west = to_north = 0
        if number and self.order[number - 1] != 3:
            before = self.order[number - 1]
            value = sample(0, before)
            to_west, to_north = value - sample(1, before), value - sample(row, before)
            lean = value - (sample(1, before) + sample(row, before)) // 2
            other = to_west + to_north - (value - sample(row + 1, before))
        steep = 3 * (w + n) + ne - nw
        simple = [w + n - nw + other, w + to_west, n + to_north, (w + n) // 2 + lean, w + n - nw, steep // 6 + lean]
        said = [squares.said(number, most) for squares in self.squares]
        said += [clip(guess, 0, most) * 16 for guess in simple[:4]]
        said.append(clip(steep * 16 // 6 + 16 * lean, 0, 16 * most))
        contrast = abs(w - nw) + abs(n - nw) + abs(n - ne) + abs(w - ww)
        self.views.prepare(at, number, said, 16 * (contrast + abs(n - nn)))
        near = [clip(guess, 0, most) for guess in simple]
        near += [clip(self.views.said[view] + 8 >> 4, 0, most) for view in (0, 1, 7)]
        seed = fold(31, number)
        left, above = (
            chain(seed, words & MASK, words >> 32) for words in (picture.words[at - 1], picture.words[at - row])
        )
        keys = [
            fold(seed, known),
            chain(left, known, 1),
            chain(above, known, 2),
            chain(left, above, 3),
            chain(left, above, known, 4),
            chain(seed, w, n, 5),
            chain(seed, w, n, nw, 6),
            chain(seed, near[0], min(abs(w - n), 63), 7),
            chain(seed, near[1], near[2], 8),
            chain(seed, near[3], known & 255, 9),
            chain(seed, n, ne, 10),
            chain(seed, w, ww, 11),
            fold(seed, 12),
            chain(seed, n, nn, 13),
        ]
        return keys[: self.exact], near, length(contrast * 255 // most if most > 255 else contrast, 7)

    def skip(self, at: int) -> None:
        self.views.skip(at)
        for squares in self.squares:
            squares.weights[(at - 2) % self.picture.row] = 0

    def turn(self) -> None:
        for squares in self.squares:
            squares.turn()


# 18.6 Predictions


@cache
def softplus() -> list[int]:
    upper = [2**18 - 2**48 // (2**30 + exp_negative(i, 1024)) for i in range(2**14)]
    sums = np.cumsum(upper[::-1])[::-1]
    return [int(sums[16 * z]) * 256 // 1024 + 2**17 >> 18 for z in range(769)]


def octave(value: int) -> int:
    if value < 4:
        return 2 * value if value > 1 else 0
    bits = max(value.bit_length() - 3, 0)
    return 4 * bits + (value >> bits) + 4


class Views:
    """Eight predictions and three other views of their mean."""

    def __init__(self, channels: int, row: int) -> None:
        self.row = row
        self.ring = [[[0] * 8 for _ in range(channels)] for _ in range(2 * row + 8)]
        centres = [((4 + octave % 4) << octave // 4) // 4 for octave in range(96)]
        self.scales = {
            (number, view, octave, grade): [(centres[octave] << 12) // 11, 0]
            for number in range(channels) for view in range(11) for octave in range(96) for grade in range(8)
        }  # fmt: skip

    def errors(self, at: int) -> list[list[int]]:
        return self.ring[at % len(self.ring)]

    def prepare(self, at: int, number: int, said: list[int], contrast: int) -> None:
        row = self.row
        self.said, self.octaves, self.grades, self.inverse = [*said], [], [], []
        places = ((1, 3), (row, 3), (row - 1, 2), (row + 1, 1), (2, 1), (2 * row, 1))
        total = shares = 0
        for view in range(8):
            near = 5 + sum(times * self.errors(at - offset)[number][view] for offset, times in places)
            grade = 0
            if number:
                wrong = self.errors(at)[number - 1][view]
                usual = self.errors(at - 1)[number - 1][view] + self.errors(at - row)[number - 1][view]
                grade = 1
                for least, more in ((usual // 2, 2 * wrong), (usual, 2 * wrong), (usual, wrong), (2 * usual, wrong)):
                    grade += more > least
                grade += wrong > 4 * usual
            if view == 7:
                self.said.append(total // shares)
            else:
                share = max(2**40 // (near * near), 1)
                total, shares = total + share * said[view], shares + share
            self.octaves.append(min(octave(near), 95))
            self.grades.append(grade)
            self.inverse.append(self.inverse_of(number, view))
        self.said += [self.said[7]] * 3
        self.octaves += [0, 0, min(octave(contrast), 95)]
        self.grades += [0, 0, self.grades[7]]
        self.inverse += [2 * self.inverse[7], self.inverse[7] // 2, self.inverse_of(number, 10)]

    def scale(self, number: int, view: int) -> list[int]:
        return self.scales[number, view, self.octaves[view], self.grades[view]]

    def inverse_of(self, number: int, view: int) -> int:
        return 2**34 // (self.scale(number, view)[0] * 3 // 4 + 4096)

    def edge(self, view: int, value: int) -> int:
        z = abs(value - self.said[view]) * self.inverse[view] >> 16
        return 2 * z + (softplus()[z] if z < 768 else 0)

    def learn(self, at: int, number: int, value: int) -> None:
        for view in range(11):
            wrong = abs(16 * value - self.said[view])
            if view < 8:
                self.errors(at)[number][view] = wrong
            if view in (8, 9):
                continue
            scale = self.scale(number, view)
            scale[1] = min(scale[1] + 1, 250)
            scale[0] += (4096 * wrong - scale[0]) // (scale[1] + 2)

    def skip(self, at: int) -> None:
        for errors in self.errors(at):
            errors[:] = [0] * 8


# 18.7 Least squares

NEAREST = [(0, -1), (-1, 0), (-1, -1), (-1, 1), (0, -2), (-2, 0)]
FURTHER = [(-1, -2), (-1, 2), (-2, -1), (-2, 1), (-2, -2), (-2, 2)]


class Squares:
    """Normal equations of neighbours and the pixel's own samples."""

    def __init__(self, order: list[int], width: int, row: int, fading: int) -> None:
        self.order, self.fading = order, fading
        neighbours = NEAREST + FURTHER if len(order) <= 2 else NEAREST
        self.offsets = [down * row + right for down, right in neighbours]
        self.row, self.inputs = row, len(order) * len(neighbours)
        self.size = self.inputs + len(order)
        self.pairs = [(one, other) for one in range(self.size) for other in range(one, self.size)]
        self.sums = [dict.fromkeys(self.pairs, 0) for _ in range(width)]
        self.left = dict.fromkeys(self.pairs, 0)
        self.seen, self.weights = [[0] * self.size for _ in range(width)], [0] * width

    def look(self, samples: list[list[int]], at: int, x: int) -> None:
        row, seen, total = self.row, self.seen[x], self.inputs * 12 // 5
        self.base, self.x = [], x
        for number, channel in enumerate(self.order):
            w, n, nw, ne = (samples[at - offset][channel] for offset in (1, row, row + 1, row - 1))
            base = 3 * (w + n) + nw + ne
            self.base.append(base)
            for place, offset in enumerate(self.offsets):
                value = 8 * samples[at + offset][channel] - base
                seen[len(self.order) * place + number] = value
                total += abs(value)
        self.weights[x] = (self.inputs << 44) // total
        self.factorise({pair: self.sums[x][pair] + self.left[pair] for pair in self.pairs})
        turned = [(seen[one] << 20) >> self.scales[one] for one in range(self.inputs)]
        self.common = max(max(map(abs, turned)).bit_length() - 26, 0)
        self.turned = [value >> self.common for value in turned] + [0] * len(self.order)
        for one in range(self.inputs):
            self.act(one, self.turned[one])

    def factorise(self, sums: dict[tuple[int, int], int]) -> None:
        size, self.scales = self.size, []
        diagonal = [sums[one, one] for one in range(size)]
        for one, value in enumerate(diagonal):
            whole = value + (value >> 12) + (value >> 14) + 50332
            self.scales.append(max(whole.bit_length() - 25 >> 1, 0))
            diagonal[one] = whole >> 2 * self.scales[one]
        m = [[0] * size for _ in range(size)]
        self.factors = [[0] * size for _ in range(size)]
        for one, other in self.pairs:
            m[one][other] = clip(sums[one, other] >> self.scales[one] + self.scales[other], -(2**26), 2**26)

        def share(pivot: int) -> None:
            inverse = 2**42 // max(diagonal[pivot], 2**10)
            for one in range(pivot + 1, size):
                part = clip(m[pivot][one] * inverse >> 20, -(2**30), 2**30)
                if part * m[pivot][one] < diagonal[one] << 22:
                    diagonal[one] -= part * m[pivot][one] >> 22
                    self.factors[pivot][one] = part
                else:
                    m[pivot][one] = 0

        for pivot in range(0, size - 1, 2):
            share(pivot)
            first, second = self.factors[pivot : pivot + 2]
            for other in range(pivot + 2, size):
                m[pivot + 1][other] -= first[pivot + 1] * m[pivot][other] >> 22
            share(pivot + 1)
            for one in range(pivot + 2, size):
                for other in range(one + 1, size):
                    both = first[one] * m[pivot][other] + second[one] * m[pivot + 1][other]
                    m[one][other] -= both >> 22

    def act(self, place: int, known: int) -> None:
        known = clip(known, -(2**32), 2**32)
        for other in range(place + 1, self.size):
            self.turned[other] -= self.factors[place][other] * known >> 22

    def said(self, number: int, most: int) -> int:
        place = self.inputs + number
        scale = self.scales[place] + self.common - 19
        value = -self.turned[place]
        value = value << scale if scale >= 0 else (value + (1 << -scale - 1)) >> -scale
        return clip(2 * self.base[number] + value, 0, 16 * most)

    def tell(self, number: int, value: int) -> None:
        place = self.inputs + number
        differs = 8 * value - self.base[number]
        self.seen[self.x][place] = differs
        self.weights[self.x] = min(self.weights[self.x], 3 * 2**44 // max(abs(differs), 1))
        self.act(place, (differs << 20 >> self.scales[place] + self.common) + self.turned[place])

    def products(self, x: int) -> dict[tuple[int, int], int]:
        """What the pixel at a column adds to sums."""
        seen = self.seen[x]
        shares = [value * self.weights[x] >> 23 for value in seen]
        return {(one, other): shares[one] * seen[other] for one, other in self.pairs}

    def advance(self, x: int) -> None:
        sums, left = self.sums[x], self.left
        for pair, product in self.products(x).items():
            left[pair] = (left[pair] + product) * self.fading >> 8
            sums[pair] += left[pair]

    def turn(self) -> None:
        left = dict.fromkeys(self.pairs, 0)
        for x in range(len(self.weights) - 1, -1, -1):
            if self.weights[x]:
                sums = self.sums[x]
                for pair, product in self.products(x).items():
                    sums[pair] = (sums[pair] + left[pair]) * self.fading >> 8
                    left[pair] = (left[pair] + product) * self.fading >> 8
        self.left = dict.fromkeys(self.pairs, 0)


# 18.8 Two colours

KNOTS = [clip(256 * knot - 3072, -2815, 2815) for knot in range(25)]


def two_colours(stack: Stack, height: int, width: int) -> np.ndarray:
    page = Page(stack, height, width)
    for y in range(height):
        page.code_row(y)
    return np.array([[page.pixel(y, x) for x in range(width)] for y in range(height)])


def run(window: Sequence[int], most: int) -> int:
    """How many at the start of a window are alike, at most so many."""
    length = 1
    while length < most and window[length] == window[0]:
        length += 1
    return length


class Page:
    def __init__(self, stack: Stack, height: int, width: int) -> None:
        self.stack, self.width = stack, width
        self.rows = {y: [1] * (width + 64) for y in range(-6, 0)}
        bits = clip((height * width).bit_length() - 3, 10, 18)
        self.tables = [Slots(bits) for _ in range(12)]
        self.matches: list[dict[int, tuple[int, int]]] = [{}, {}]
        self.most = 2**bits
        self.found: list[tuple[int, int] | None] = [None, None]
        self.right = [0, 0]
        self.sure = [[Slot() for _ in range(128)] for _ in range(2)]
        self.mixers = Mixers(3, [6000] * 29, 20)
        self.corrections: list[dict[int, list[int]]] = [{}, {}]
        self.stretches = [[[Slot() for _ in range(64)] for _ in range(2)] for _ in range(3)]

    def pixel(self, y: int, x: int) -> int:
        return self.rows[y][x + 32]

    def window(self, y: int, first: int, last: int) -> int:
        """Pixels as a number, the last one in the lowest bit."""
        value = 0
        for x in range(first, last + 1):
            value = 2 * value + self.pixel(y, x)
        return value

    def code_row(self, y: int) -> None:
        row = [self.pixel(y - 1, 0)] * 32 + [0] * (self.width + 32)
        self.rows[y] = row
        x, run_before = 0, 32
        self.right = [0, 0]
        while x < self.width:
            length = self.clear(y, x) if run_before >= 8 else 0
            if length >= 8:
                end = self.stretch(y, x, length)
                same = row[end + 31] == row[x + 31]
                x, run_before = end, end - x + run_before if same else 1
                continue
            bit = self.decide(y, x)
            run_before = run_before + 1 if bit == row[x + 31] else 1
            x += 1
        row[self.width + 32 :] = [row[self.width + 31]] * 32

    # Stretches

    def clear(self, y: int, x: int) -> int:
        colour, stop = self.pixel(y, x - 1), self.width + 8
        for back in range(1, 5):
            if self.pixel(y - back, x - 8) != colour:
                return 0
            end = x - 8
            while end < self.width + 32 and self.pixel(y - back, end) == colour:
                end += 1
            stop = min(stop, end)
        return stop - 8 - x

    def ask(self, family: int, colour: int, size: int) -> int:
        slot = self.stretches[family][colour][size]
        bit = pop(self.stack, slot.chance)
        slot.learn(bit)
        return bit

    def stretch(self, y: int, x: int, length: int) -> int:
        row, colour = self.rows[y], self.pixel(y, x - 1)
        if self.ask(0, colour, length.bit_length()):
            row[x + 32 : x + 32 + length] = [colour] * length
            return x + length
        start, left = x, length
        while left > 8:
            half = left // 2
            if self.ask(1, colour, left.bit_length()):
                start, left = start + half, left - half
            else:
                left = half
        while left > 1 and self.ask(2, colour, left):
            start, left = start + 1, left - 1
        row[x + 32 : start + 32] = [colour] * (start - x)
        row[start + 32] = 1 - colour
        return start + 1

    # Other pixels

    def decide(self, y: int, x: int) -> int:
        def above(back: int, before: int, behind: int) -> int:
            return self.window(y - back, x - before, x + behind)

        own = self.window(y, x - 32, x - 1)
        w1, w2, w3, w4 = above(1, 2, 2), above(2, 1, 1), above(3, 2, 2), above(4, 2, 2)
        ten, sixteen = own % 4 + 4 * w1 + 128 * w2, own % 16 + 16 * above(1, 3, 3) + 2048 * above(2, 2, 2)
        more = fold(sixteen + (own & 16) * 2**12 + above(3, 1, 1) * 2**18, w4)
        left = [self.pixel(y, x - k) for k in range(1, 33)]
        up = [[self.pixel(y - back, x + k) for k in range(-19, 13)] for back in (1, 2)]
        before, over = run(left, 31), run(up[0][19::-1] + [0] * 12, 31)
        behind, second = run(up[0][19:], 13), run(up[1][19:], 13)
        ones = sum(above(back, 1, 1) << 3 * back - 1 for back in (1, 2, 3))
        keys = [
            fold(1, ten),
            fold(2, sixteen),
            fold(3, own % 32 + above(1, 4, 4) * 2**5 + above(2, 2, 2) * 2**14 + above(3, 1, 1) * 2**19),
            chain(4, own % 64 + above(1, 4, 4) * 2**6 + above(2, 3, 3) * 2**15, w3 + w4 // 2 % 8 * 2**5),
            chain(5, own % 256 + above(1, 6, 6) * 2**8 + above(2, 4, 4) * 2**21, above(3, 3, 3) + w4 * 2**7),
            chain(
                6, own % 1024 + above(1, 7, 7) * 2**10, above(2, 6, 6) + above(3, 5, 5) * 2**13,
                above(4, 4, 4) + above(5, 2, 2) * 2**9,
            ),
            chain(7, own % 4 + ones, above(4, 1, 1) + above(5, 1, 1) * 8 + above(6, 1, 1) * 64),
            chain(8, own % 2**16, above(1, 2, 6)),
            chain(
                9,
                (own & 170) + (above(2, 6, 6) & 5461) * 2**8,
                (above(4, 4, 4) & 341) + (above(6, 2, 2) & 21) * 2**9,
            ),
            chain(10, own % 8 + above(1, 1, 1) * 8, before + over * 2**5 + behind * 2**10 + second * 2**15),
            fold(11, above(1, 8, 8)),
            chain(12, before + behind * 2**5 + over * 2**10, own % 2 + above(2, 3, 3) * 2),
        ]  # fmt: skip
        slots: list[Slot | None] = [table.find(key) for table, key in zip(self.tables, keys, strict=True)]
        long = chain(more, above(1, 7, 12), above(2, 7, 8), above(3, 7, 7), above(4, 6, 6) + above(5, 6, 6) * 2**13)
        wide = chain(13, own % 2**20, above(1, 8, 12), above(2, 3, 3))
        expected = [self.match(0, fold(long, own % 2**12), y, x), self.match(1, wide, y, x)]
        lengths = [0 if bit is None else min(self.right[n], 63) for n, bit in enumerate(expected)]
        slots += [None if bit is None else self.sure[n][2 * lengths[n] + bit] for n, bit in enumerate(expected)]
        inputs = [value for slot in slots for value in (slot.inputs() if slot else [0, 0])]
        chosen = [ten, min(before, 15) + 16 * min(behind, 7) + 128 * min(over, 7)]
        chosen.append(min(max(lengths) // 4, 15) + 16 * (own % 4 + 4 * (w1 % 4)))
        mixed = self.mixers.chance([*inputs, 256], chosen, own % 4 + 4 * (w1 // 2 % 8) + (w2 & 2) * 16)
        total = 2 * mixed
        knots = []
        for table, context in zip(self.corrections, (sixteen, more % 2**16), strict=True):
            curve = table.setdefault(context, [squash(knot) << 6 for knot in KNOTS])
            low, part = divmod(self.mixers.total + 3072, 256)
            total += (curve[low] * (256 - part) + curve[low + 1] * part) // 256 >> 6
            knots.append((curve, low + (part >= 128)))
        bit = pop(self.stack, clip(total + 2 >> 2, 3, ONE - 3))
        self.rows[y][x + 32] = bit
        self.mixers.learn(bit)
        for slot in slots:
            if slot:
                slot.learn(bit)
        for n, guess in enumerate(expected):
            if guess is not None:
                self.follow(n, guess == bit)
        for curve, knot in knots:
            curve[knot] += (bit * (ONE - 1) << 6) - curve[knot] >> 6
        return bit

    def match(self, number: int, key: int, y: int, x: int) -> int | None:
        """What a match expects, if there is one."""
        place, table = (key >> 8) % self.most, self.matches[number]
        if not self.right[number]:
            self.found[number] = table.get(place)
        table[place] = (y, x)
        found = self.found[number]
        return None if found is None else self.pixel(*found)

    def follow(self, number: int, right: bool) -> None:
        y, x = self.found[number] or (0, 0)
        self.right[number] = self.right[number] + 1 if right and x + 1 < self.width else 0
        self.found[number] = (y, x + 1)
