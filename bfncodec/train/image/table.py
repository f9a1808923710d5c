"""The table of the effort `fast`: mixtures by scale step and context, fitted to photographs, in place of a network."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bfncodec.models.image import features
from bfncodec.models.image.loop import SIZES
from bfncodec.train.image.network import OUTPUT_STEPS, mixture_bits
from bfncodec.train.image.photographs import Photographs
from bfncodec.train.image.pool import Batch
from bfncodec.train.image.tasks import PixelTask

MIXTURES = 2
RATE = 0.03  # nat, local scale, nat
_SLOW = features.DIFFERENCES + 4 * len(features.PAST) + 3 * features.LEVEL_INPUTS  # the column of trends


def fitted(data: Photographs, pixels: int, steps: int, seed: int, device: str) -> NDArray[np.int8]:
    """The table int8 [3, SCALES, CONTEXTS, 3 * MIXTURES] after so many steps on so many pixels each."""
    task = PixelTask(data, pixels, seed, device, follows=False)
    table = torch.zeros(3, features.SCALES, features.CONTEXTS, 3, MIXTURES)
    table[:, :, :, 1] = torch.linspace(-0.3, 0.3, MIXTURES)
    table[:, :, :, 2] = torch.linspace(-1, 0, MIXTURES)
    table.requires_grad_(True)
    optimiser = torch.optim.Adam([table], RATE)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = RATE * max(0.02, 1 - step / steps)
        batch = task.batch(step, 0)
        rows, columns = _places(batch)
        bits = [
            mixture_bits(table[i, rows[:, i], columns[i]], batch.means[:, i], batch.scale[:, i], batch.values[:, i])
            for i in range(3)
        ]
        optimiser.zero_grad()
        torch.stack(bits).mean().backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    with torch.no_grad():
        table[..., 0, :] -= table[..., 0, :].amax(-1, keepdim=True)
        rounded = (table * torch.tensor(OUTPUT_STEPS)[:, None]).round().clamp(-127, 127)
    return rounded.to(torch.int8).flatten(3).numpy()


def _places(batch: Batch) -> tuple[Tensor, list[Tensor]]:
    """Scale steps [n, 3] from 0 on, and contexts [n] of each channel; see `models.image.loop`."""
    assert batch.cross is not None
    rows = (8 * torch.log2(batch.scale) + 32).round().long() - features.SCALE_STEPS
    slow = batch.features[:, _SLOW].float()  # twice the difference, clipped where it does not matter
    green, red = batch.cross[:, 1].float(), batch.cross[:, 3].float()
    bounds = torch.tensor(SIZES, dtype=torch.float32)
    first = torch.div(slow + 21, 6, rounding_mode="floor").clamp(0, features.CONTEXTS - 1).long()
    third = torch.div(green + 2 * red, 3, rounding_mode="floor")
    return rows, [first, torch.bucketize(green, bounds), torch.bucketize(third, bounds)]


def default_steps(steps: int) -> int:
    """Steps for a model whose network has so many."""
    return math.ceil(steps / 100)
