"""Samples of a model: the decoder at work on random bits."""

import math

import numpy as np
from numpy.typing import NDArray

from bfncodec.coding import protocol
from bfncodec.coding.ans import Coder
from bfncodec.coding.channels import channel, noise_bits
from bfncodec.coding.protocol import Table
from bfncodec.errors import CorruptFile
from bfncodec.exact.kernels import Kernel
from bfncodec.exact.layers import Tensors
from bfncodec.flow.schedule import AnyStep
from bfncodec.flow.theta import prior
from bfncodec.models.image import learning_heads, networks
from bfncodec.models.image.passes import GRB
from bfncodec.models.image.wavefront import WavefrontSink
from bfncodec.models.paper import solvers
from bfncodec.models.paper.single import AnyPredictor
from bfncodec.models.paper.spec import Spec
from bfncodec.models.text import network
from bfncodec.models.text.bytewise import Bytewise

Pixels = NDArray[np.uint8]

PLAIN = "bfn"
BATCH = 8  # items that go through a network at once
_SPARE_BITS = 1 << 13


def paper(
    predictor: AnyPredictor, items: int, steps: int, sampler: str = PLAIN, seed: int = 0, end: str = "draw"
) -> NDArray[np.uint8]:
    """Symbols uint8 [items, D] of a paper's model. sampler: PLAIN or one of `solvers.SOLVERS`, which `end` is for."""
    rng = np.random.default_rng(seed)
    parts = [min(BATCH, items - at) for at in range(0, items, BATCH)]
    if sampler != PLAIN:
        return np.concatenate([solvers.sample(predictor, part, steps, sampler, rng, end) for part in parts])
    noise = predictor.spec.steps(steps, "gaussian")
    return np.concatenate([_decoded(predictor, part, noise, rng) for part in parts])


def _decoded(
    predictor: AnyPredictor, items: int, steps: tuple[AnyStep, ...], rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Symbols uint8 [items, D] off random bits, as `protocol.decode` takes them but for two things.

    A view under p_R is taken as a symbol under p_O and a view of that (the same law; rows of p_R are long), and the
    noise is not given back: nobody wants its bits, and what p_O gives at the end may be a symbol that an encoder
    could not have had for the views.
    """
    size = items * predictor.spec.size
    symbol_bits = size * predictor.spec.levels.bit_length()
    coder = _random(rng, symbol_bits * (len(steps) + 1) + noise_bits(steps, size))
    theta = prior(steps, size)
    for number, step in enumerate(steps):
        supposed = Table(predictor.weights(theta, items, number, len(steps))).pop(coder)
        theta.update(step, channel(step).draw(coder, supposed, (0, number)))
    drawn = Table(predictor.weights(theta, items, len(steps), len(steps))).pop(coder)
    return drawn.reshape(items, -1)


def text(kernel: Kernel, tensors: Tensors, length: int, seed: int = 0) -> bytes:
    """Bytes of a text model."""
    rng = np.random.default_rng(seed)
    model = Bytewise(network.load(kernel, tensors), tensors, np.zeros(length, np.uint8))
    for section in model.sinks():
        protocol.decode(_random(rng, 16 * len(section.span)), section)
    return model.memory.data.tobytes()


def pictures(kernel: Kernel, tensors: Tensors, items: int, side: int, seed: int = 0) -> Pixels:
    """Images uint8 [items, side, side, 3] of an image model."""
    nets, rng = networks.load(kernel, tensors), np.random.default_rng(seed)
    while True:
        model = WavefrontSink(nets, (items, side, side, 3), nets.coefficients, learning_heads.FIXED)
        size = 8 * items * side * side * 3 + sum(noise_bits(group.steps, group.size) for group in model.groups)
        try:
            protocol.decode(_random(rng, size), model)
        except CorruptFile:  # a draw from p_O that its noisy views make impossible: rare, other bits will do
            continue
        return model.images()[..., GRB]


def grid(images: Pixels, gap: int = 1) -> Pixels:
    """Images [n, height, width, channels] in rows, with grey lines of `gap` pixels between and around them."""
    count, height, width, channels = images.shape
    columns = math.isqrt(count - 1) + 1
    rows = -(-count // columns)
    sheet = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap, channels), 128, np.uint8)
    for number, image in enumerate(images):
        row, column = divmod(number, columns)
        top, left = row * (height + gap) + gap, column * (width + gap) + gap
        sheet[top : top + height, left : left + width] = image
    return sheet


def shown(spec: Spec, symbols: Pixels) -> Pixels:
    """Symbols [n, D] of an image model as pixels 0 .. 255 [n, height, width, channels]."""
    return (symbols.reshape(-1, *spec.shape).astype(np.int64) * 255 // (spec.levels - 1)).astype(np.uint8)


def lines(spec: Spec, symbols: Pixels) -> list[bytes]:
    """Symbols [n, D] of a model of classes as texts."""
    alphabet = np.frombuffer(spec.alphabet, np.uint8)
    return [row.tobytes() for row in alphabet[symbols]]


def _random(rng: np.random.Generator, bits: int) -> Coder:
    return Coder(rng.bytes((bits + _SPARE_BITS) // 8) + b"\1")
