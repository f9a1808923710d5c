"""The thumbnail, the first group of either schedule: its noisy steps, and what the network says of it."""

import numpy as np

from bfncodec.flow.schedule import Step, geometric
from bfncodec.flow.theta import AnyTheta, Theta
from bfncodec.models.image import features
from bfncodec.models.image.networks import Networks
from bfncodec.models.image.outputs import CosetOutput


def thumbnail_steps(deviations: list[int]) -> tuple[tuple[Step, ...], list[int]]:
    """Noisy steps of the thumbnail, and the scale step (1/8 octave of 1/16 level) before each and after all."""
    steps = geometric(deviations)
    scales, accuracy = [8 * 10], 0
    for step in steps:
        accuracy += step.accuracy
        # sigma_total = sqrt(2**20 / accuracy) levels; 8 * log2(16 * sigma) = 4 * log2(2**28 / accuracy), at least 8
        scales.append(max(8, (((1 << 28) // accuracy) ** 4).bit_length() - 1))
    return steps, scales


def thumbnail_output(
    networks: Networks, shape: tuple[int, int, int], channels: range, theta: AnyTheta | None
) -> CosetOutput:
    """Output distribution of thumbnails [N, h, w] of 3 channels (G, R, B) or 1, which the network sees as three.

    Channels before those that are coded are in the middle of their range: a preview does without them.
    """
    means, steps = np.full((*shape, 3), 16 * features.CENTRE, np.int64), 0
    if isinstance(theta, Theta):
        steps = theta.steps
        means[..., channels.start :] = theta.means().reshape(len(channels), *shape).transpose(1, 2, 3, 0)
    _, scale_steps = thumbnail_steps(networks.deviations)
    states = (steps, steps, steps)
    return networks.cosets["T"].output(means, means, states, 0, scale_steps[steps], list(channels))
