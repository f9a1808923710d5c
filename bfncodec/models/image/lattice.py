"""The `lattice` schedule: the thumbnail, then coset after coset, each in a few network calls.

The plane of every fourth, say, pixel becomes the plane of every second one through three cosets (D, H, V), channel by
channel; four such levels lead from the thumbnail to the image. The number of groups does not depend on the image's
size. Only the thumbnail has noisy steps: in the cosets they cost more than they save (benchmarks/results/choices.md),
though the networks know how to use them.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bfncodec.flow.schedule import Group
from bfncodec.flow.theta import AnyTheta, Theta
from bfncodec.models.image import cosets
from bfncodec.models.image.networks import Networks
from bfncodec.models.image.outputs import CosetOutput
from bfncodec.models.image.thumbnail import thumbnail_output, thumbnail_steps

Pixels = NDArray[Any]


class Target(NamedTuple):
    """What a group codes: channels of a coset of the plane of every 2**level-th pixel."""

    kind: str
    level: int
    channels: tuple[int, ...]


class Lattice:
    """The schedule and its predictor for N images of one size: what encoder and decoder share, and a Sink.

    shape: (N, height, width, channels), channels 3 (G, R, B) or 1 (grey, seen by the networks as three equal channels).
    """

    def __init__(self, networks: Networks, shape: tuple[int, int, int, int]) -> None:
        self.networks, self.channels = networks, shape[3]
        self.known = np.zeros((*shape[:3], 3), np.int32)
        thumbnail, _ = thumbnail_steps(networks.deviations)
        self.targets = [Target("T", 4, tuple(range(self.channels)))]
        self.groups = [Group(self._size(self.targets[0]), thumbnail)]
        for level in reversed(range(cosets.LEVELS)):
            for kind in "DHV":
                for channel in range(self.channels):
                    target = Target(kind, level, (channel,))
                    if self._size(target):
                        self.targets.append(target)
                        self.groups.append(Group(self._size(target)))

    def _view(self, target: Target, source: Pixels) -> Pixels:
        stride, kind = 1 << target.level, cosets.KINDS[target.kind]
        top, left = kind.offset
        return source[:, top * stride :: stride * kind.period, left * stride :: stride * kind.period]

    def _size(self, target: Target) -> int:
        return int(np.prod(self._view(target, self.known).shape[:3])) * len(target.channels)

    def spans(self) -> Iterable[range]:
        return (range(number, number + 1) for number in range(len(self.groups)))

    def output(self, span: range, theta: AnyTheta | None) -> CosetOutput:
        if span[0] == 0:
            return thumbnail_output(self.networks, self.thumbnails().shape[:3], range(self.channels), theta)
        target = self.targets[span[0]]
        (channel,) = target.channels
        means, steps = self._view(target, self.known) * 16, 0
        if isinstance(theta, Theta):
            steps = theta.steps
            means[..., channel] = theta.means().reshape(means.shape[:3])
        states = (*[cosets.KNOWN] * channel, steps, *[0] * (2 - channel))
        plane = self.known[:, :: 1 << target.level, :: 1 << target.level]
        return self.networks.coset(target.kind).output(plane, means, states, target.level, None, [channel])

    def reveal(self, group: int, values: Pixels) -> None:
        target = self.targets[group]
        view = self._view(target, self.known)
        table = values.reshape(len(target.channels), *view.shape[:3]).transpose(1, 2, 3, 0)
        view[..., slice(None) if self.channels == 1 else list(target.channels)] = table

    def thumbnails(self) -> Pixels:
        """The thumbnails uint8 [N, h, w, channels], known after group 0."""
        return self._view(self.targets[0], self.known)[..., : self.channels].astype(np.uint8)

    def images(self) -> Pixels:
        """The images uint8 [N, height, width, channels], known after the last group."""
        return self.known[..., : self.channels].astype(np.uint8)


class LatticeSource(Lattice):
    """Images to encode, uint8 [N, height, width, channels]: a `coding.protocol.Source`."""

    def __init__(self, networks: Networks, images: Pixels) -> None:
        super().__init__(networks, images.shape)
        self.original = images

    def values(self, span: range) -> Pixels:
        target = self.targets[span[0]]
        view = self._view(target, self.original)[..., list(target.channels)]
        return view.transpose(3, 0, 1, 2).reshape(-1).astype(np.int64)

    def output(self, span: range, theta: AnyTheta | None) -> CosetOutput:
        self.known[:] = 0
        for group in range(span[0]):  # what is coded before
            self.reveal(group, self.values(range(group, group + 1)))
        return super().output(span, theta)
