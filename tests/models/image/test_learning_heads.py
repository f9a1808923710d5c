"""Heads that learn while coding, and changes of the network that a file brings along."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bfncodec.blocks import image
from bfncodec.blocks.image import Image
from bfncodec.coding.mixtures import Mixtures
from bfncodec.container import Block
from bfncodec.errors import CorruptFile
from bfncodec.exact.pmf import TOTAL_BITS
from bfncodec.models.image import bias_changes, learning_heads, passes, streams, wavefront
from bfncodec.models.image.learning_heads import OnlineHeads
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


def lifted(cross: np.ndarray) -> np.ndarray:
    """An innovation and its size [n, 2] as heads take them."""
    return cross + [128, 0]


def remembering(nets: Networks, activations: tuple[np.ndarray, np.ndarray], pace: int = 0) -> OnlineHeads:
    """Heads that have taken all pixels, with what is told of channels."""
    seen, cross = activations
    heads = OnlineHeads(nets.pixel, pace, len(seen))
    rows = heads.begin(seen)
    for channel in (1, 2):
        heads.cross_inputs(channel, rows)[:] = lifted(cross[:, 2 * channel - 2 : 2 * channel])
    return heads


def test_heads_start_as_the_model_has_them(nets: Networks, activations: tuple[np.ndarray, np.ndarray]) -> None:
    seen, cross = activations
    heads = remembering(nets, activations)
    for channel in range(3):
        got = heads.output(channel, slice(0, len(seen)))
        assert np.array_equal(got, nets.pixel.head(channel, seen, cross))


def test_pixels_come_in_any_number_of_batches(nets: Networks, activations: tuple[np.ndarray, np.ndarray]) -> None:
    seen, cross = activations
    whole, parts = remembering(nets, activations), OnlineHeads(nets.pixel, 0, len(seen))
    for start in range(0, len(seen), 300):
        rows = parts.begin(seen[start : start + 300])
        parts.cross_inputs(2, rows)[:] = lifted(cross[rows, 2:])
        parts.cross_inputs(1, rows)[:] = lifted(cross[rows, :2])
        assert np.array_equal(parts.output(2, rows), whole.output(2, rows))


def test_learning_lowers_the_cost_of_what_comes_again(
    nets: Networks, activations: tuple[np.ndarray, np.ndarray]
) -> None:
    seen, _ = activations
    values = np.random.default_rng(4).normal(100, 2, len(seen)).round().astype(np.int64)
    heads = OnlineHeads(nets.pixel, 0, len(seen))
    costs = []
    for _ in range(60):
        rows = heads.begin(seen)
        raw = heads.output(0, rows)
        k = raw.shape[1] // 3
        shown = [raw[:, :k], 103 * 1024 + 64 * raw[:, k : 2 * k], raw[:, 2 * k :] + 60]
        mixtures = Mixtures(np.stack(shown, axis=1))
        costs.append(mixtures.cost(values))
        heads.keep(0, rows, mixtures, values)
        heads.end(range(1), learn=True)
    assert costs[-1] < 0.9 * costs[0]
    fine = heads.outs[0].fine.copy()
    heads.begin(seen)
    heads.end(range(1), learn=False)
    assert heads.count == 0 and np.array_equal(fine, heads.outs[0].fine)


def test_steps_at_the_ends_of_every_range_agree_with_unlimited_integers(nets: Networks) -> None:
    layer = OnlineHeads(nets.pixel, 0).outs[0]
    gradient = np.full(layer.fine.shape, (1 << 45) - 1, np.int64)
    gradient[::2] *= -1
    start = layer.fine.astype(np.int64).astype(object)
    layer.learn(gradient)
    cut = int(learning_heads._SUM_MAX)
    scaled = np.clip(gradient.astype(object) >> learning_heads._SUM_SHIFT, -cut, cut)
    root = abs(scaled)
    rate = layer.rate.astype(np.int64).astype(object)[:, None]
    limit = learning_heads.STEP_MAX * rate
    step = np.minimum(np.maximum(scaled * rate // (root + 1), -limit), limit)
    assert np.array_equal(layer.fine.astype(np.int64).astype(object), start - step)


def test_gradients_are_exact_sums(nets: Networks, activations: tuple[np.ndarray, np.ndarray]) -> None:
    """Of the larger layer, by plain int64 products of all that its inputs stand for; at the ends of their range too."""
    heads = remembering(nets, activations)
    inner = np.random.default_rng(5).integers(-32639, 32640, (2000, len(heads.heads[2].used)))
    inner[:5], inner[5:10] = 32639, -32639
    values = heads.inputs[:, : heads.columns[2]].astype(np.int64)
    values[:, -4::2] -= 128
    assert np.array_equal(heads.heads[2].gradient(inner, learning_heads._turned(heads.inputs)), inner.T @ values)


def test_gradients_of_the_last_layer(nets: Networks, activations: tuple[np.ndarray, np.ndarray]) -> None:
    heads = remembering(nets, activations)
    heads.output(1, slice(0, 2000))
    out, units = heads.outs[1], len(heads.heads[1].shift)
    hidden = heads.hidden[1, :, : units + 1].astype(np.int64)
    gradient = np.random.default_rng(5).integers(-32639, 32640, (2000, len(out.used)))
    assert np.array_equal(out.gradient(gradient, learning_heads._turned(heads.hidden[1])), gradient.T @ hidden)
    inner = np.empty((2000, units), np.int64)
    learning_heads._back(gradient, np.ones(len(out.used), np.int64), out.used, heads.hidden[1], 3, inner)
    wanted, hidden = (gradient @ out.used[:, :-1] >> 3).clip(-32639, 32639), hidden[:, :-1]
    assert np.array_equal(inner, np.where((hidden > 0) & (hidden < 255), wanted, 0))


def test_changes_pack_and_unpack(nets: Networks) -> None:
    random = np.random.default_rng(6)
    made = {name: random.integers(-15, 16, width) for name, width in bias_changes.layers(nets.tensors).items()}
    data = bias_changes.pack(made, nets.tensors)
    back = bias_changes.unpack(data, nets.tensors)
    assert all(np.array_equal(made[name], back[name]) for name in made)
    nothing = {name: change * 0 for name, change in made.items()}
    assert bias_changes.pack(nothing, nets.tensors) == b""
    with pytest.raises(CorruptFile):
        bias_changes.unpack(data + b"\1\2\3\4\5", nets.tensors)


def test_ratios_are_pmfs() -> None:
    for ratio in bias_changes.RATIOS:
        pmf = bias_changes._pmf(ratio)
        assert pmf.sum() == 1 << TOTAL_BITS and (pmf >= 1).all()
        assert pmf.argmax() == bias_changes.LIMIT


def coded(pixels: np.ndarray, model: Path, **options: Any) -> Block:
    """An RGB picture as a block."""
    return image.encode([Picture(Origin.ARRAY, Layout.RGB, pixels)], Choices(model=str(model), **options))


def only_pass(block: Block) -> Pass:
    assert isinstance(block.form, Image)
    (made,) = block.form.passes
    return made


def decoded(block: Block) -> np.ndarray:
    (picture,) = block.form.decode(block, "cpu")
    assert isinstance(picture, Picture)
    return picture.pixels


def test_max_sends_changes_where_they_pay(photo: np.ndarray, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An image unlike the training data: darker by far, with another noise."""
    from bfncodec.train.image import adapt

    monkeypatch.setattr(passes, "LEARN_FROM", 1 << 10)
    monkeypatch.setattr(adapt, "STEPS", 40)
    pixels = np.tile(255 - photo // 3, (2, 2, 1))
    plain, best = coded(pixels, tiny), coded(pixels, tiny, effort="max")
    sizes = [len(part.stream) + len(part.changes) for part in (only_pass(plain), only_pass(best))]
    assert sizes[1] <= sizes[0]
    assert np.array_equal(decoded(best), pixels)


def test_large_images_learn_from_a_share_of_the_runs(
    photo: np.ndarray, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rule for many megapixels, brought down to 132 x 128 pixels: every fourth run."""
    pixels = np.tile(photo, (3, 3, 1))[:132, :128]
    every = coded(pixels, tiny)
    monkeypatch.setattr(wavefront, "LEARN_ALL_BITS", 12)
    fourth = coded(pixels, tiny)
    assert only_pass(every).stream != only_pass(fourth).stream
    assert np.array_equal(decoded(fourth), pixels)
