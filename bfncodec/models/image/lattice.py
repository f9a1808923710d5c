"""The `lattice` schedule: the thumbnail, then coset after coset, each in a few network calls.

The plane of every fourth, say, pixel becomes the plane of every second one through three
cosets (D, H, V), channel by channel; four such levels lead from the thumbnail to the image.
The number of groups does not depend on the image's size. Only the thumbnail has noisy steps:
in the cosets they cost more than they save (benchmarks/results/choices.md), though the
networks know how to use them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bfncodec.flow.schedule import Group
from bfncodec.flow.theta import AnyTheta, Theta
from bfncodec.models.image import cosets
from bfncodec.models.image import thumbnail as thumbnail_image
from bfncodec.models.image.networks import Networks
from bfncodec.models.image.outputs import CosetOutput

Pixels = NDArray[Any]


@dataclass(frozen=True)
class Target:
    """What a group codes: channels of a coset of the plane of every 2**level-th pixel."""

    kind: str
    level: int
    channels: tuple[int, ...]


class Lattice:
    """The schedule and its predictor for N images of one size: what encoder and decoder share.

    shape: (N, height, width, channels), channels 3 (G, R, B) or 1 (grey, seen by the networks
    as three equal channels).
    """

    def __init__(self, networks: Networks, shape: tuple[int, int, int, int]) -> None:
        self.networks = networks
        self.shape = shape
        self.channels = shape[3]
        self.known = np.zeros((*shape[:3], 3), np.int32)
        thumbnail, self.scale_steps = thumbnail_image.thumbnail_steps(networks.deviations)
        self.targets = [Target("T", 4, tuple(range(self.channels)))]
        self.groups = [Group(self._size(self.targets[0]), thumbnail)]
        for level in reversed(range(cosets.LEVELS)):
            for kind in "DHV":
                for channel in range(self.channels):
                    target = Target(kind, level, (channel,))
                    if self._size(target):
                        self.targets.append(target)
                        self.groups.append(Group(self._size(target)))

    def _slices(self, target: Target) -> tuple[slice, slice]:
        stride = 1 << target.level
        kind = cosets.KINDS[target.kind]
        top, left = (offset * stride for offset in kind.offset)
        return slice(top, None, stride * kind.period), slice(left, None, stride * kind.period)

    def _view(self, target: Target, source: Pixels | None = None) -> Pixels:
        rows, columns = self._slices(target)
        return (self.known if source is None else source)[:, rows, columns]

    def _size(self, target: Target) -> int:
        return int(np.prod(self._view(target).shape[:3])) * len(target.channels)

    def output(self, span: range, theta: AnyTheta | None) -> CosetOutput:
        """See `coding.protocol`."""
        target = self.targets[span[0]]
        means = self._view(target) * 16
        steps = 0
        if isinstance(theta, Theta):
            steps = theta.steps
            shape = (len(target.channels), *means.shape[:3])
            means[..., list(target.channels)] = theta.means().reshape(shape).transpose(1, 2, 3, 0)
        states = [0, 0, 0]
        states[: target.channels[0]] = [cosets.KNOWN] * target.channels[0]
        for channel in range(3) if target.kind == "T" else target.channels:
            states[channel] = steps
        if target.kind == "T" and self.channels == 1:
            means = np.repeat(means[..., :1], 3, axis=3)
        networks = self.networks
        predictor = cosets.Cosets(
            networks.kernel, networks.scales, cosets.KINDS[target.kind], networks.coset(target.kind)
        )
        stride = 1 << target.level
        thumbnail = target.kind == "T"
        return predictor.output(
            means if thumbnail else self.known[:, ::stride, ::stride],
            means,
            (states[0], states[1], states[2]),
            0 if thumbnail else target.level,
            self.scale_steps[steps] if thumbnail else None,
            list(target.channels),
        )

    def thumbnails(self) -> Pixels:
        """The decoded thumbnails uint8 [N, h, w, channels], known after group 0."""
        return self._view(self.targets[0])[..., : self.channels].astype(np.uint8)


class LatticeSource(Lattice):
    """Images to encode, uint8 [N, height, width, channels]: a `coding.protocol.Source`."""

    def __init__(self, networks: Networks, images: Pixels) -> None:
        super().__init__(networks, images.shape)
        self.original = images

    def spans(self) -> Iterable[range]:
        """Every group by itself."""
        return (range(number, number + 1) for number in range(len(self.groups)))

    def values(self, span: range) -> Pixels:
        """Values int [variables] of a group, channel after channel."""
        target = self.targets[span[0]]
        view = self._view(target, self.original)[..., list(target.channels)]
        return view.transpose(3, 0, 1, 2).reshape(-1).astype(np.int64)

    def output(self, span: range, theta: AnyTheta | None) -> CosetOutput:
        """See `coding.protocol.Source`. `known` is first put back to what the group may see."""
        self._restore(span[0])
        return super().output(span, theta)

    def _restore(self, number: int) -> None:
        """Make `known` hold the groups before `number` and zeros elsewhere."""
        self.known[:] = 0
        for target in self.targets[:number]:
            for channel in target.channels if self.channels == 3 else range(3):
                source = channel if self.channels == 3 else 0
                self._view(target)[..., channel] = self._view(target, self.original)[..., source]


class LatticeSink(Lattice):
    """Images that are decoded: a `coding.protocol.Sink`."""

    def reveal(self, group: int, values: Pixels) -> None:
        """Write decoded values."""
        target = self.targets[group]
        view = self._view(target)
        shape = (len(target.channels), *view.shape[:3])
        table = values.reshape(shape).transpose(1, 2, 3, 0)
        if self.channels == 1:
            view[:] = table
        else:
            view[..., list(target.channels)] = table

    def images(self) -> Pixels:
        """The decoded images uint8 [N, height, width, channels]."""
        return self.known[..., : self.channels].astype(np.uint8)
