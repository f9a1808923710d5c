"""Heads that learn while coding, and changes of the network that a file brings along."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bfncodec.blocks import pictures as picture_blocks
from bfncodec.blocks.image import Image
from bfncodec.coding.mixtures import Mixtures, known_tables
from bfncodec.container import Block
from bfncodec.models.image import learning_heads, passes, streams
from bfncodec.models.image.learning_heads import Heads
from bfncodec.models.image.networks import Networks
from bfncodec.models.image.passes import Pass
from bfncodec.picture import Layout, Origin, Picture
from bfncodec.presets import Choices


@pytest.fixture
def nets(tiny: Path) -> Networks:
    return streams.networks(tiny, "bytes")


@pytest.fixture
def activations() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(3)
    cross = random.integers(-127, 128, (2000, 4)).astype(np.int32)
    cross[:, 1::2] = abs(cross[:, ::2])
    return random.integers(0, 256, (2000, 16)).astype(np.int32), cross


def remembering(nets: Networks, activations: tuple[np.ndarray, np.ndarray], pace: int = 0) -> tuple[Heads, np.ndarray]:
    """Heads, and their inputs of all pixels, with what is told of channels."""
    seen, cross = activations
    inputs = np.zeros((len(seen), 24), np.uint8)
    inputs[:, :16], inputs[:, 16], inputs[:, 17:21] = seen, 255, cross + [128, 0, 128, 0]
    return learning_heads.heads(nets.pixel, pace, len(seen)), inputs


def test_heads_start_as_the_model_has_them(nets: Networks, activations: tuple[np.ndarray, np.ndarray]) -> None:
    seen, cross = activations
    heads, inputs = remembering(nets, activations)
    for channel in range(3):
        learning_heads.forward(heads, channel, inputs, 0, len(seen))
        assert np.array_equal(heads.raw[channel], nets.pixel.head(channel, seen, cross))


def test_pixels_come_in_any_number_of_batches(nets: Networks, activations: tuple[np.ndarray, np.ndarray]) -> None:
    (whole, inputs), (parts, _) = (remembering(nets, activations) for _ in range(2))
    learning_heads.forward(whole, 2, inputs, 0, len(inputs))
    for start in range(0, len(inputs), 300):
        learning_heads.forward(parts, 2, inputs, start, min(start + 300, len(inputs)))
    assert np.array_equal(whole.raw[2], parts.raw[2])


def test_learning_lowers_the_cost_of_what_comes_again(
    nets: Networks, activations: tuple[np.ndarray, np.ndarray]
) -> None:
    values = np.random.default_rng(4).normal(100, 2, 2000).round().astype(np.int64)
    heads, inputs = remembering(nets, activations)
    heads.values[:, 0] = values
    costs = []
    for _ in range(60):
        learning_heads.forward(heads, 0, inputs, 0, len(inputs))
        raw = heads.raw[0]
        k = raw.shape[1] // 3
        mixtures = Mixtures(np.stack([raw[:, :k], 103 * 1024 + 64 * raw[:, k : 2 * k], raw[:, 2 * k :] + 60], axis=1))
        heads.parts[0] = mixtures.parts
        costs.append(mixtures.cost(values))
        learning_heads.slopes(heads, known_tables(), 0, 1, len(inputs))
        learning_heads.step(heads, 0, 1, inputs, len(inputs))
    assert costs[-1] < 0.9 * costs[0]


def test_steps_at_the_ends_of_every_range_agree_with_unlimited_integers(nets: Networks) -> None:
    layers = learning_heads.heads(nets.pixel, 0).out
    gradient = np.full(layers.fine.shape[1:], (1 << 45) - 1, np.int64)
    gradient[::2] *= -1
    start = layers.fine[1].astype(np.int64).astype(object)
    learning_heads.descend(layers, 1, gradient, 1, 1)
    cut = int(learning_heads._SUM_MAX)
    scaled = np.clip(gradient.astype(object) >> learning_heads._SUM_SHIFT, -cut, cut)
    root = abs(scaled)
    rate = layers.rate[1].astype(np.int64).astype(object)[:, None]
    limit = learning_heads.STEP_MAX * rate
    step = np.minimum(np.maximum(scaled * rate // (root + 1), -limit), limit)
    assert np.array_equal(layers.fine[1].astype(np.int64).astype(object), start - step)


def test_gradients_are_exact_sums(nets: Networks, activations: tuple[np.ndarray, np.ndarray]) -> None:
    """Of the larger layer, by plain int64 products of all that its inputs stand for; at the ends of their range too."""
    heads, inputs = remembering(nets, activations)
    inner = heads.room.inner[0]
    inner[:] = np.random.default_rng(5).integers(-32639, 32640, inner.shape)
    inner[:5], inner[5:10] = 32639, -32639
    values = inputs[:, :21].astype(np.int64)
    values[:, 17::2] -= 128
    learning_heads.gradients(heads.room, inputs, 21, 17, inner, 2000)
    assert np.array_equal(heads.room.totals[: inner.shape[1], :21], inner.T @ values)


def test_gradients_of_the_last_layer(nets: Networks, activations: tuple[np.ndarray, np.ndarray]) -> None:
    heads, inputs = remembering(nets, activations)
    learning_heads.forward(heads, 1, inputs, 0, 2000)
    room, used = heads.room, heads.out.used[1].astype(np.int64)
    outer, inner = room.slopes[1], room.inner[1]
    outputs, columns = used.shape
    hidden = heads.hidden[1, :, :columns].astype(np.int64)
    outer[:] = slopes = np.random.default_rng(5).integers(-2000, 2001, outer.shape)
    learning_heads.back(heads, 1, 2000)
    common = (slopes * heads.factors).clip(-32639, 32639)
    assert np.array_equal(outer, common)
    wanted = ((common << heads.aligned[1]) @ used[:, :-1] >> heads.inner_shifts[1]).clip(-32639, 32639)
    hidden_units = hidden[:, :-1]
    assert np.array_equal(inner, np.where((hidden_units > 0) & (hidden_units < 255), wanted, 0))
    learning_heads.gradients(room, heads.hidden[1], columns, columns, outer, 2000)
    assert np.array_equal(room.totals[:outputs, :columns], common.T @ hidden)


def coded(pixels: np.ndarray, model: Path, **options: Any) -> Block:
    """An RGB picture as a block."""
    return picture_blocks.encode([Picture(Origin.ARRAY, Layout.RGB, pixels)], Choices(model=str(model), **options))


def only_pass(block: Block) -> Pass:
    assert isinstance(block.form, Image)
    (made,) = block.form.passes
    return made


def decoded(block: Block) -> np.ndarray:
    (picture,) = block.form.decode(block, "cpu")
    assert isinstance(picture, Picture)
    return picture.pixels


def test_max_takes_the_better_pace(photo: np.ndarray, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passes, "LEARN_FROM", 1 << 10)
    pixels = np.tile(255 - photo // 3, (2, 2, 1))
    plain, best = coded(pixels, tiny), coded(pixels, tiny, effort="max")
    assert len(only_pass(best).stream) <= len(only_pass(plain).stream)
    assert only_pass(best).deep and np.array_equal(decoded(best), pixels)
