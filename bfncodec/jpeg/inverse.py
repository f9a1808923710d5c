"""Pixels that a JPEG file was decoded to -> its coefficients, or others that give the same pixels. For encoders only.

Planes of luma and colour differences follow from pixels that were not clipped, samples of the differences from these
by least squares, their coefficients from the samples. What was rounded to which step is told by `transform`, and blocks
whose coefficients do not give their pixels are mended. In the end everything is decoded and compared.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bfncodec.exact.compiled import compiled
from bfncodec.jpeg import filling, mending, pixels, transform
from bfncodec.jpeg.markers import Component
from bfncodec.jpeg.pixels import BLUE, GREEN_BLUE, GREEN_RED, LARGEST, RED, Colours

Array = NDArray[Any]

WRONG = 8  # one pixel in so many may be another one than the coefficients give
_CLIPPED = 0.05  # what a pixel that was clipped is worth, beside one that was not
_FEWEST, _MOST = 96, 2048  # blocks that tell whether to look on
_LIKELY = 0.15  # what they must say
_FAR = 512  # more than a difference can add
_LUMA = np.array([0.299, 0.587, 0.114])
_ROUNDS = 3
_GOOD = 256  # if no more than one pixel in so many is wrong, other colours are not looked at
_WORSE = 0.1  # of these blocks: how many more than of the best colours others may have
_HOPELESS = 0.85  # of a colour difference's blocks that are wrong at first
_PLAUSIBLE = 0.12  # mean square of what samples leave unexplained; rounding alone leaves less than 1/12


class Found(NamedTuple):
    """What gives an image's pixels, but for some of them."""

    colours: Colours
    quantisers: Array  # int64 [components, 64]
    coefficients: Array  # int16, component after component, see `pixels.frame`
    wrong: Array  # int64: numbers of pixels that are others


def find(image: Array, integers: Array | None, known: Array | None = None) -> Found | None:
    """What pixels uint8 [height, width, 1 or 3] were decoded from; None if that is not found.

    integers: uint8 [height, width, 3], luma, blue difference, red difference that give the pixels, where these are
    coloured; clipped ones can be any that do. known: bool [height, width], where there are such.
    """
    if max(image.shape[:2]) > LARGEST:
        return None
    if integers is None:
        sure = _sure(image)
        return _found(image, image, sure, _parts(image, image, sure, Colours.GREY)[1])
    sure = _sure(image) if known is None else _sure(image) & known
    starts = [_parts(image, integers, sure, colours) for colours in _plausible(integers, sure)]
    best: Found | None = None
    starts.sort(key=lambda one: one[0])
    for share, parts in starts:
        if share > _HOPELESS or (best is not None and share > starts[0][0] + _WORSE):
            break
        found = _found(image, integers, sure, parts)
        if found is not None and (best is None or len(found.wrong) < len(best.wrong)):
            best = found
            if len(best.wrong) <= sure.size // _GOOD:
                break
    return best


def is_likely(image: Array) -> bool:
    """A quick test: whether blocks of pixels uint8 [height, width, 1 or 3] look as if they had been quantised."""
    return _evidence(image) > _LIKELY


def _evidence(image: Array) -> float:
    """How much likelier, in nats for each of their coefficients, blocks of luma are with steps than without."""
    rows, columns = image.shape[0] // 8, image.shape[1] // 8
    count = min(max(rows * columns // 3, _FEWEST), _MOST, rows * columns)
    if not count:
        return 0.0
    chosen = np.arange(count) * rows * columns // count
    y, x = np.divmod(chosen, columns)
    blocks = image[: 8 * rows, : 8 * columns].reshape(rows, 8, columns, 8, -1)[y, :, x].astype(np.float64)
    blocks = blocks[((blocks > 0) & (blocks < 255)).all(axis=(1, 2, 3))]
    plane = np.floor(blocks @ _LUMA + 0.5) if image.shape[2] == 3 else blocks[..., 0]
    if not len(plane):
        return 0.0
    return transform.gain(transform.forward(plane.reshape(-1, 8)))


def _sure(image: Array) -> Array:
    """Pixels that were not clipped."""
    return np.asarray(((image > 0) & (image < 255)).all(axis=2))


def _plausible(integers: Array, sure: Array) -> list[Colours]:
    """Ways to fill up colour differences that the pixels agree with."""
    differences = integers[..., 1:]
    found = [
        colours
        for colours in (Colours.HALF, Colours.HALF_ACROSS, Colours.HALF_DOWN)
        if all(_unexplained(differences[..., number], sure, colours) < _PLAUSIBLE for number in range(2))
    ]
    found.append(Colours.FULL)
    for colours, axes in ((Colours.REPEATED, (0, 1)), (Colours.REPEATED_ACROSS, (1,)), (Colours.REPEATED_DOWN, (0,))):
        if min(_repeats(differences, sure, axis) for axis in axes) > 0.98:
            return [*found, colours]
    return found


def _repeats(planes: Array, sure: Array, axis: int) -> float:
    """How many pixels equal their partner."""
    half = planes.shape[axis] // 2 * 2
    first, second = (np.take(planes, np.arange(start, half, 2), axis=axis) for start in range(2))
    both = np.take(sure, np.arange(0, half, 2), axis=axis) & np.take(sure, np.arange(1, half, 2), axis=axis)
    return float((first == second).all(axis=2)[both].mean()) if both.any() else 0.0


def _unexplained(plane: Array, sure: Array, colours: Colours) -> float:
    """The mean square of what samples do not explain, in the middle of the picture."""
    height, width = plane.shape
    top, left = (max((size - _SAMPLED) // 4 * 2, 0) for size in plane.shape)
    cut = slice(top, min(top + _SAMPLED, height)), slice(left, min(left + _SAMPLED, width))
    part, known = np.ascontiguousarray(plane[cut]), sure[cut]
    wanted = filling.centres(part, colours)
    samples = filling.undone(wanted, known.astype(np.float64), colours, filling.means(part, colours))
    away = (wanted - filling.filled_up(samples, part.shape, colours))[2:-2, 2:-2]
    inner = known[2:-2, 2:-2]
    return float((away[inner] ** 2).mean()) if inner.any() else 1.0


class _Plane:
    """A component: bounds of its pixels, and coefficients that may give them."""

    def __init__(self, component: Component, colours: Colours, shape: tuple[int, int]) -> None:
        self.colours, self.shape = colours, shape
        self.size = pixels.part(shape, colours)
        rows, columns = component.stored_rows, component.stored_columns
        self.values = np.zeros((rows, columns, 64), np.int16)
        self.samples = np.zeros((8 * rows, 8 * columns), np.uint8)
        self.steps = np.ones(64, np.int64)
        self.quality = 0

    @property
    def own(self) -> Array:
        """The samples that pixels use."""
        return self.samples[: self.size[0], : self.size[1]]

    def whole(self) -> Array:
        """All pixels, as the coefficients give them."""
        own = np.ascontiguousarray(self.own)
        return own if self.colours.across * self.colours.down == 1 else filling.whole(own, self.shape, self.colours)

    def start(self, plane: Array, sure: Array, colour: bool, hint: int) -> None:
        """Coefficients from pixels of which the sure ones are known."""
        wanted, known = self._wanted(plane, sure)
        padded = self._padded(wanted)
        coefficients = transform.forward(padded)
        blocks = np.zeros(self.samples.shape, bool)
        blocks[: self.size[0], : self.size[1]] = known
        whole = np.asarray(blocks.reshape(len(self.values), 8, -1, 8).all(axis=(1, 3)))
        noise = filling.noise(self.colours)
        found = transform.steps(padded, coefficients, whole, noise, colour, hint)
        self.steps, self.quality = found.table, found.quality
        self.values[:] = np.clip(np.floor(coefficients / self.steps + 0.5), -2048, 2047)
        pixels.inverse(self.values, self.steps, self.samples)

    def _wanted(self, plane: Array, sure: Array) -> tuple[Array, Array]:
        """What samples seem to be, and whether all of their pixels are known."""
        if self.colours.across * self.colours.down == 1:
            return plane.astype(np.float64), sure
        weights = np.where(sure, 1.0, _CLIPPED)
        first = filling.means(plane, self.colours)
        wanted = filling.undone(filling.centres(plane, self.colours), weights, self.colours, first)
        return wanted, filling.means(sure.astype(np.uint8), self.colours) == 1.0

    def _padded(self, wanted: Array) -> Array:
        more = [(0, all_of - own) for all_of, own in zip(self.samples.shape, wanted.shape, strict=True)]
        return np.pad(wanted, more, "edge")

    def mend(self, low: Array, high: Array, again: bool) -> None:
        """Make the pixels fit their bounds uint8 [height, width], as far as that is possible."""
        if self.colours.across * self.colours.down == 1:
            least, most = np.full(self.samples.shape, -mending.FREE), np.full(self.samples.shape, mending.FREE)
            least[: self.shape[0], : self.shape[1]] = np.where(low > 0, low - 0.5, -mending.FREE)
            most[: self.shape[0], : self.shape[1]] = np.where(high < 255, high + 0.5, mending.FREE)
            mending.mend(self.values, self.steps, least, most, self.samples, again)
            return
        wanted = self._refined(low, high)
        whole = np.full(self.samples.shape, np.nan)
        whole[: self.size[0], : self.size[1]] = wanted
        plane = mending.Filled(self.values, self.steps, self.samples, self.own, low, high, pixels.filling(self.colours))
        mending.mend_samples(plane, whole, _SPREAD)

    def wrong(self, plane: Array, sure: Array) -> float:
        """The share of blocks, of those whose pixels are all known, that give other ones."""
        blocks = ~self._blocks(~sure)
        return float(np.count_nonzero(blocks & self._blocks(self.whole() != plane))) / max(int(blocks.sum()), 1)

    def _refined(self, low: Array, high: Array) -> Array:
        """Round coefficients of wrong blocks again, from what the others leave; what samples seem to be then."""
        wanted = self.own.astype(np.float64)
        for _ in range(_ROUNDS):
            now = self.whole()
            wrong = (now < low) | (now > high)
            middle = filling.centres(np.clip(now, low, high), self.colours)
            exact = filling.filled_up(self.own.astype(np.float64), self.shape, self.colours)
            weights = np.where(low == high, 1.0, np.where(wrong, 0.5, 0.0))
            more = filling.undone(middle - exact, weights, self.colours, np.zeros(self.size))
            wanted = self.own + more
            if not wrong.any():
                break
            blocks = self._blocks(wrong)
            shift = np.zeros(self.samples.shape)
            shift[: self.size[0], : self.size[1]] = more
            change = np.floor(transform.forward(shift + 128.0) / self.steps + 0.5)
            self.values[blocks] = np.clip(self.values[blocks] + change[blocks], -2048, 2047).astype(np.int16)
            pixels.inverse(self.values, self.steps, self.samples)
        return wanted

    def _blocks(self, wrong: Array) -> Array:
        """Blocks that have a part in wrong pixels."""
        down, across = 8 * self.colours.down, 8 * self.colours.across
        every = np.zeros((len(self.values) * down, self.values.shape[1] * across), bool)
        every[: self.shape[0], : self.shape[1]] = wrong
        return np.asarray(every.reshape(len(self.values), down, -1, across).any(axis=(1, 3)))


_SAMPLED = 256  # side of a square that tells which colours are plausible
_SPREAD = 0.35  # standard deviation of what samples seem to be


def _parts(image: Array, integers: Array, sure: Array, colours: Colours) -> tuple[float, list[_Plane]]:
    """Components as they seem to be at first, and how many of the known pixels of their colours are wrong."""
    height, width = shape = image.shape[0], image.shape[1]
    frame = pixels.frame(height, width, colours)
    parts = [_Plane(one, colours if number else Colours.FULL, shape) for number, one in enumerate(frame.components)]
    hint, share = 0, 0.0
    for number, part in enumerate(parts):
        plane = np.ascontiguousarray(integers[..., number])
        part.start(plane, sure, number > 0, hint)
        hint = hint or part.quality
        if number:
            share = max(share, part.wrong(plane, sure))
    return share, parts


def _found(image: Array, integers: Array, sure: Array, parts: list[_Plane]) -> Found | None:
    height, width = shape = image.shape[0], image.shape[1]
    colours = parts[-1].colours if len(parts) > 1 else Colours.GREY
    best: tuple[Array, Array] | None = None
    low, high = np.empty_like(integers), np.empty_like(integers)
    boxes = _boxes(image, integers, sure) if colours else (low, high)
    for turn in range(_ROUNDS if colours else 1):
        if colours:
            _differences(image, boxes, parts[0].whole(), turn, low, high)
            for number in (1, 2):
                own_low, own_high = np.ascontiguousarray(low[..., number]), np.ascontiguousarray(high[..., number])
                parts[number].mend(own_low, own_high, turn > 0)
            _lights(image, boxes, parts[1].whole(), parts[2].whole(), low, high)
            parts[0].mend(np.ascontiguousarray(low[..., 0]), np.ascontiguousarray(high[..., 0]), turn > 0)
        else:
            parts[0].mend(image[..., 0], image[..., 0], False)
        coefficients = np.concatenate([part.values.reshape(-1) for part in parts])
        given = pixels.pixels(coefficients, np.stack([part.steps for part in parts]), shape, colours)
        wrong = np.flatnonzero((given != image).any(axis=2))
        if best is not None and len(wrong) >= len(best[1]):
            break
        best = coefficients, wrong
        if not len(wrong):
            break
    assert best is not None
    if len(best[1]) > height * width // WRONG:
        return None
    return Found(colours, np.stack([part.steps for part in parts]), *best)


@compiled
def _lights(image: Array, boxes: tuple[Array, Array], blue: Array, red: Array, low: Array, high: Array) -> None:
    """Fill in bounds of luma, given both differences; those of any differences where nothing fits."""
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            b, r = int(blue[y, x]), int(red[y, x])
            least, most = 0, 255
            for channel in range(3):
                more = RED[r]
                if channel == 1:
                    more = (GREEN_RED[r] + GREEN_BLUE[b]) >> 16
                elif channel == 2:
                    more = BLUE[b]
                value = int(image[y, x, channel])
                if value > 0:
                    least = max(least, value - more)
                if value < 255:
                    most = min(most, value - more)
            if least > most:
                least, most = int(boxes[0][y, x, 0]), int(boxes[1][y, x, 0])
            low[y, x, 0], high[y, x, 0] = least, most


def _boxes(image: Array, integers: Array, sure: Array) -> tuple[Array, Array]:
    """Bounds of luma and both differences, uint8 [height, width, 3], of all that give a pixel."""
    low, high = integers.copy(), integers.copy()
    firsts = np.stack([np.searchsorted(table, np.arange(-_FAR, _FAR)) for table in (RED, BLUE)])
    _fill_boxes(image, sure, firsts, low, high)
    return low, high


@compiled
def _fill_boxes(image: Array, sure: Array, firsts: Array, low: Array, high: Array) -> None:
    """firsts: int64 [2, 2 * _FAR], for red and blue: the first difference that adds so much or more, from -_FAR on."""
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            if sure[y, x]:
                continue
            red, green, blue = int(image[y, x, 0]), int(image[y, x, 1]), int(image[y, x, 2])
            least_y, most_y, least_b, most_b, least_r, most_r = 255, 0, 255, 0, 255, 0
            for light in range(256):
                r_from = firsts[0, red - light + _FAR] if red > 0 else 0
                r_to = firsts[0, red - light + 1 + _FAR] if red < 255 else 256
                b_from = firsts[1, blue - light + _FAR] if blue > 0 else 0
                b_to = firsts[1, blue - light + 1 + _FAR] if blue < 255 else 256
                if r_from >= r_to or b_from >= b_to:
                    continue
                top = light + ((GREEN_RED[r_from] + GREEN_BLUE[b_from]) >> 16)
                bottom = light + ((GREEN_RED[r_to - 1] + GREEN_BLUE[b_to - 1]) >> 16)
                if min(max(top, 0), 255) < green or min(max(bottom, 0), 255) > green:
                    continue
                least_y, most_y = min(least_y, light), max(most_y, light)
                least_r, most_r = min(least_r, r_from), max(most_r, r_to - 1)
                least_b, most_b = min(least_b, b_from), max(most_b, b_to - 1)
            if least_y > most_y:
                least_y, most_y, least_b, most_b, least_r, most_r = 0, 255, 0, 255, 0, 255
            low[y, x, 0], low[y, x, 1], low[y, x, 2] = least_y, least_b, least_r
            high[y, x, 0], high[y, x, 1], high[y, x, 2] = most_y, most_b, most_r


@compiled
def _differences(image: Array, boxes: tuple[Array, Array], light: Array, turn: int, low: Array, high: Array) -> None:
    """Fill in bounds of both differences; from the second turn on luma tells more of those of clipped pixels."""
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            for number in (1, 2):
                least, most = int(boxes[0][y, x, number]), int(boxes[1][y, x, number])
                if turn and least < most:
                    value, own = int(image[y, x, 4 - 2 * number]), int(light[y, x])
                    first, last = 256, -1
                    for difference in range(least, most + 1):
                        more = RED[difference] if number == 2 else BLUE[difference]
                        if abs(min(max(own + more, 0), 255) - value) <= 1:
                            first, last = min(first, difference), max(last, difference)
                    if first <= last:
                        least, most = first, last
                low[y, x, number], high[y, x, number] = least, most
