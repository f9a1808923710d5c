"""A trunk that learns while coding."""

from pathlib import Path

import numpy as np
import pytest
from reference import decoder

from bfncodec.errors import CorruptFile
from bfncodec.exact.layers import run_trunk
from bfncodec.exact.products import packed
from bfncodec.models.image import coefficients, learning_heads, learning_trunk, streams
from bfncodec.models.image.networks import Networks
from bfncodec.models.image.passes import Pass, Schedule
from bfncodec.models.image.wavefront import WavefrontSource

PIXELS = 517


@pytest.fixture
def nets(tiny: Path) -> Networks:
    return streams.networks(tiny, "bytes")


def test_what_is_kept_are_the_inputs_of_all_layers(nets: Networks) -> None:
    network = nets.pixel
    deep = learning_trunk.deep(network, 1, 40, learns=True)
    features, out = np.random.default_rng(1).integers(0, 256, (30, 192)).astype(np.uint8), np.zeros((30, 16), np.uint8)
    features[:, network.inputs :] = 0
    run_trunk(deep.trunk, network.trunk_room(), features, out, deep.kept, 7)
    again = np.zeros_like(out)
    run_trunk(network.numbers, network.trunk_room(), features, again, np.zeros((0, 0, 0), np.uint8), 0)
    assert np.array_equal(out, again)
    first = network.first[0].activated(deep.kept[0, 7:37, :16].astype(np.int32))
    assert np.array_equal(first, deep.kept[1, 7:37, : first.shape[1]])
    assert not deep.kept[:, :7].any() and not deep.kept[:, 37:].any()


@pytest.mark.parametrize("size", [1, 4, 300, 20000])
def test_steps_agree_with_the_second_decoder(nets: Networks, tiny: Path, size: int) -> None:
    """Three steps of all layers, from gradients of this size, by plain sums of the same."""
    own = decoder.network(decoder.read_weights(tiny.read_bytes()), "wavefront")
    tensors = decoder.part(decoder.read_weights(tiny.read_bytes()), "wavefront")
    slow, network = decoder.LearningTrunk(own, 1), nets.pixel
    heads = [decoder.LearningHead(tensors, c, 1, True) for c in range(3)]
    deep = learning_trunk.deep(network, 1, PIXELS, learns=True)
    fast = learning_heads.heads(network, 1, PIXELS, deep=True)
    random = np.random.default_rng(size)
    for _ in range(3):
        values = [random.integers(-200, 455, (PIXELS, 16)).clip(0, 255) for _ in range(3)]
        slopes = random.integers(-size, size + 1, (3, PIXELS, 16))
        slopes[:, :, 3] = 0
        for number in range(2):
            deep.kept[number, :, :16] = values[number]
        learning_trunk.learn(deep, fast.head, slopes, 0, 3, values[2].astype(np.uint8), PIXELS)
        slow.seen = [list(row) for row in zip(*values, strict=True)]
        slow.learn(heads, list(slopes))
        wanted = [own.first[0], own.second[0]]
        for number, layer in enumerate(wanted):
            assert np.array_equal(deep.moments.used[number, :16, :16], layer.weight)
        weights = np.concatenate([packed(layer.weight).reshape(-1) for layer in wanted])
        assert np.array_equal(deep.trunk.weights[-len(weights) :], weights)
        biases = np.concatenate([layer.bias + layer.half for layer in wanted])
        assert np.array_equal(deep.trunk.biases[-len(biases) :], biases)
    assert not np.array_equal(deep.trunk.weights, network.numbers.weights)


def test_bytes_of_gradients(nets: Networks) -> None:
    """As many units as there are powers of two, at the ends of the range."""
    deep = learning_trunk.deep(nets.pixel, 1, PIXELS, learns=True)
    gradients = np.zeros((PIXELS, 16), np.int32)
    gradients[:, 1], gradients[0, 2], gradients[5, 3], gradients[:, 4] = 1, 1, -(1 << 22), 1 << 22
    gradients[:, 5:] = np.random.default_rng(0).normal(0, 2.0 ** np.arange(11), (PIXELS, 11)).round()
    learning_trunk._to_bytes(gradients, PIXELS, 16, deep.room.top, 0)
    data, scales = decoder.to_bytes(gradients)
    assert np.array_equal(deep.room.top.scales[:16], scales)
    assert np.array_equal(deep.room.top.lifted[:PIXELS, :16].astype(int) - 128, data)
    assert np.array_equal(deep.room.top.totals[:16], data.sum(axis=0))


def deep_pass(nets: Networks, planes: np.ndarray, pace: int = 1) -> Pass:
    base = coefficients.choose(planes, nets.coefficients)
    plan = Pass(base=coefficients.pack(base, nets.coefficients), pace=pace, deep=True)
    return streams._pushed(WavefrontSource(nets, planes, base, pace, deep=True), plan, None)


@pytest.mark.parametrize("shape", [(1, 1, 1, 3), (1, 5, 3, 3), (3, 2, 40, 1), (1, 70, 61, 3)])
def test_round_trips(nets: Networks, shape: tuple[int, int, int, int]) -> None:
    ramp = np.indices(shape).sum(axis=0) + np.random.default_rng(2).integers(0, 9, shape)
    planes = ramp.astype(np.uint8)
    for pace in (0, 2):
        part = deep_pass(nets, planes, pace)
        assert np.array_equal(streams.decode_pass(nets, part, shape, Schedule.WAVEFRONT), planes)


def test_fields_that_do_not_go_together(nets: Networks) -> None:
    part = Pass(base=b"", pace=learning_heads.FIXED, deep=True)
    with pytest.raises(CorruptFile):
        streams.decode_pass(nets, part, (1, 4, 4, 3), Schedule.WAVEFRONT)
    with pytest.raises(CorruptFile):
        streams.decode_pass(nets, Pass(deep=True), (1, 4, 4, 3), Schedule.LATTICE)


def test_layers_that_cannot_learn(nets: Networks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning_trunk, "WIDEST", 15)
    with pytest.raises(CorruptFile):
        learning_trunk.deep(nets.pixel, 1, 8, learns=True)
    learning_trunk.deep(nets.pixel, 1, 8, learns=False)


def test_photographs_learn_deep(nets: Networks) -> None:
    planes = np.random.default_rng(3).integers(0, 4, (1, 128, 128, 3)).astype(np.uint8)
    assert streams.encode_pass(nets, planes, Schedule.WAVEFRONT).deep
    assert not streams.encode_pass(nets, planes[..., :1], Schedule.WAVEFRONT).deep
