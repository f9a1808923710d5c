"""The integer networks of an image model, read from the tensors of one model file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bfncodec.errors import CorruptFile, UnsupportedFeature
from bfncodec.exact.kernels import Kernel
from bfncodec.exact.layers import LocalNetwork, Tensors
from bfncodec.models.image import features
from bfncodec.models.image.cosets import KINDS, KNOWN, Cosets
from bfncodec.models.image.features import CONTEXTS


@dataclass
class Networks:
    """Networks in one kernel's home, and the constants that come with them."""

    kernel: Kernel
    pixel: LocalNetwork
    cosets: dict[str, Cosets]  # by kind: T, D, H and V, or T alone in models without `lattice`
    deviations: list[int]  # noise of the thumbnail's steps, levels
    coefficients: NDArray[np.int64]  # the base's prior [74, 3]
    table: NDArray[
        np.int8
    ]  # of the effort `fast` [3, SCALES, CONTEXTS, 3 * mixtures]; without entries if there is none

    def coset(self, kind: str) -> Cosets:
        """The predictor of a kind; UnsupportedFeature if the model has none."""
        if kind not in self.cosets:
            raise UnsupportedFeature("this model has no networks for the lattice schedule")
        return self.cosets[kind]


def load(kernel: Kernel, tensors: Tensors) -> Networks:
    """Networks from a model file's tensors, whose names begin with `wavefront.`, `T.`, `D.`, `H.` and `V.`"""
    pixel = _part(tensors, "wavefront")
    deviations = [int(deviation) for deviation in tensors["T.deviations"]]
    if not all(0 < deviation < 256 for deviation in deviations) or len(deviations) >= KNOWN:
        raise CorruptFile("the model's noisy steps are out of range")
    scales = features.Scales(kernel)
    cosets = {
        name: Cosets(kernel, scales, kind, LocalNetwork(kernel, _part(tensors, name)))
        for name, kind in KINDS.items()
        if f"{name}.inner.weight" in tensors
    }
    coefficients = pixel["coefficients"].astype(np.int64)
    table = tensors.get("fast.table", np.zeros((3, features.SCALES, CONTEXTS, 0), np.int8))
    if table.shape[:3] != (3, features.SCALES, CONTEXTS) or table.shape[3] % 3:
        raise CorruptFile("the model's table of mixtures has the wrong shape")
    return Networks(kernel, LocalNetwork(kernel, pixel), cosets, deviations, coefficients, table)


def _part(tensors: Tensors, name: str) -> dict[str, NDArray[Any]]:
    return {key.removeprefix(name + "."): value for key, value in tensors.items() if key.startswith(name + ".")}
