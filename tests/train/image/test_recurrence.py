"""The trunk with embeddings: its order, its gradient, and its integers, against loops over pixels."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import linear

from bfncodec.models.image.canvas import SLOPE
from bfncodec.models.image.features import EMBEDDED, FEATURES, OWN
from bfncodec.train.freeze import array, freeze
from bfncodec.train.image import recurrence
from bfncodec.train.image.network import EMBED_HIDDEN, OUTPUT_STEPS, EmbeddingTrainingNetwork
from bfncodec.train.image.pool import Batch

HEIGHT, WIDTH, BATCH, UNITS, SIZE = 5, 7, 2, 8, 3


@pytest.mark.parametrize("slope", [SLOPE, recurrence.SLOPE])
def test_neighbours_lie_on_earlier_diagonals(slope: int) -> None:
    assert all(slope * dy + dx < 0 for dy, dx in EMBEDDED)


@pytest.mark.parametrize("height, width", [(1, 1), (1, 9), (9, 1), (5, 7), (32, 32)])
def test_every_pixel_comes_once_after_its_neighbours(height: int, width: int) -> None:
    order = recurrence.order(height, width)
    places = list(zip(order.y.tolist(), order.x.tolist(), strict=True))
    assert sorted(places) == list(np.ndindex(height, width))
    number = {place: index for index, place in enumerate(places)}
    for (y, x), index in number.items():
        assert all(number.get((y + dy, x + dx), -1) < index for dy, dx in EMBEDDED)
    assert [row for low, high, _, _ in order.diagonals for row in range(low, high)] == order.y.tolist()
    assert order.diagonals[0].first == 0 and order.diagonals[-1].stop == height * width


def layers(random: torch.Generator) -> recurrence.Layers:
    def layer(outputs: int, inputs: int) -> recurrence.Layer:
        weight, bias = (torch.randn(shape, generator=random) * 0.4 for shape in ((outputs, inputs), (outputs,)))
        return recurrence.Layer(weight.requires_grad_(), bias.requires_grad_())

    blocks = [(layer(6, UNITS), layer(UNITS, 6)) for _ in range(2)]
    near = layer(UNITS, SIZE * len(EMBEDDED)).weight
    return recurrence.Layers(near, blocks, (layer(4, UNITS + OWN), layer(SIZE, 4)))


def by_pixels(stream: Tensor, own: Tensor, order: recurrence.Order, given: recurrence.Layers) -> Tensor:
    """The trunk in floating point, pixel after pixel."""
    embedded: dict[tuple[int, int], Tensor] = {}
    seen = []
    for index, place in enumerate(zip(order.y.tolist(), order.x.tolist(), strict=True)):
        y, x = place
        near = [embedded.get((y + dy, x + dx), torch.zeros(BATCH, SIZE)) for dy, dx in EMBEDDED]
        total = stream[index] + linear(torch.cat(near, 1), given.near)
        for one, two in given.blocks:
            total = total + linear(linear(total.relu(), *one).relu(), *two)
        seen.append(total.relu())
        hidden = linear(torch.cat([seen[-1], own[index]], 1), *given.embed[0]).relu()
        embedded[place] = linear(hidden, *given.embed[1]).relu()
    return torch.cat(seen)


def test_values_and_gradients_are_those_of_a_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recurrence, "_HALF", torch.float32)
    random = torch.Generator().manual_seed(0)
    order, given = recurrence.order(HEIGHT, WIDTH), layers(random)
    count = HEIGHT * WIDTH
    stream = torch.randn(count, BATCH, UNITS, generator=random).requires_grad_()
    own, slope = (torch.randn(count, BATCH, units, generator=random) for units in (OWN, UNITS))
    want = by_pixels(stream, own, order, given)
    got = recurrence.trunk(stream.flatten(0, 1), own.flatten(0, 1), order, given, integers=False)
    assert torch.allclose(got, want, atol=1e-5)
    sources = [stream, *given.flat()]
    gradients = (torch.autograd.grad(part, sources, slope.flatten(0, 1)) for part in (want, got))
    for one, other in zip(*gradients, strict=True):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-5 * float(one.abs().max()))


def batch_of_windows(random: np.random.Generator) -> Batch:
    count = HEIGHT * WIDTH * BATCH

    def inputs(units: int) -> Tensor:
        return torch.from_numpy(random.integers(-127, 128, (count, units))).bfloat16()

    whole = [torch.zeros(count, 3) for _ in range(3)]
    return Batch(inputs(FEATURES), inputs(4), *whole, own=inputs(OWN), area=(HEIGHT, WIDTH))


def test_rounded_outputs_are_those_of_the_exported_integers() -> None:
    """But where a sum that bfloat16 rounds lies at the edge between two integers: means differ little."""
    torch.manual_seed(0)
    network = EmbeddingTrainingNetwork(FEATURES, 16, 2, 8, 2, SIZE)
    with torch.no_grad():
        for parameter in (network.near.weight, *network.second.parameters()):
            parameter.copy_(torch.randn(parameter.shape) * 0.1)
        batch = batch_of_windows(np.random.default_rng(0))
        network.calibrate([batch])
        got = network(batch)
    tensors = {}
    for name in network.layer_names():
        weight, bias = network.folded(name)
        tensors |= freeze(name, array(weight), array(bias))
    assert tensors["inner.weight"].shape == (16, FEATURES + SIZE * len(EMBEDDED))
    assert tensors["embed.0.weight"].shape == (EMBED_HIDDEN, 16 + OWN)
    want = integers(tensors, batch)
    for channel in range(3):
        units = got[channel] * torch.tensor(OUTPUT_STEPS)[:, None]
        assert (units.reshape(len(units), -1) - torch.from_numpy(want[channel])).abs().mean() < 2


def integers(tensors: dict[str, np.ndarray], batch: Batch) -> list[np.ndarray]:
    """Outputs of the three channels by the exported layers, pixel after pixel."""

    def layer(name: str, values: np.ndarray) -> np.ndarray:
        weight, bias, shift = (tensors[f"{name}.{part}"].astype(np.int64) for part in ("weight", "bias", "shift"))
        return values @ weight.T + bias + ((1 << shift) >> 1) >> shift

    assert batch.own is not None and batch.cross is not None
    order = recurrence.order(HEIGHT, WIDTH)
    features, own, cross = (
        part.float().numpy().astype(np.int64).reshape(HEIGHT * WIDTH, BATCH, -1)
        for part in (batch.features, batch.own, batch.cross)
    )
    embedded = np.zeros((HEIGHT + 2, WIDTH + 3, BATCH, SIZE), np.int64)
    outputs: list[list[np.ndarray]] = [[], [], []]
    for index, (y, x) in enumerate(zip(order.y, order.x, strict=True)):
        near = [embedded[y + 2 + dy, x + 2 + dx] for dy, dx in EMBEDDED]
        stream = layer("inner", np.concatenate([features[index], *near], axis=1))
        for block in range(2):
            hidden = layer(f"first.{block}", (stream + 8 >> 4).clip(0, 255)).clip(0, 255)
            stream = stream + layer(f"second.{block}", hidden)
        last = (stream + 8 >> 4).clip(0, 255)
        hidden = layer("embed.0", np.concatenate([last, own[index]], axis=1)).clip(0, 255)
        embedded[y + 2, x + 2] = layer("embed.1", hidden).clip(0, 255)
        for channel, extra in enumerate((0, 2, 4)):
            hidden = layer(f"heads.{channel}", np.concatenate([last, cross[index][:, :extra]], axis=1)).clip(0, 255)
            outputs[channel].append(layer(f"outs.{channel}", hidden))
    return [np.concatenate(parts) for parts in outputs]
