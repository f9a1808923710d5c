"""The authors' networks in the place of `models.paper.single.Predictor`: in floating point."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bfncodec.exact.pmf import TOTAL
from bfncodec.flow.theta import LOG_STEPS, AnyTheta
from bfncodec.models.authors.configs import Config, Flat, Levels
from bfncodec.models.authors.output import predict
from bfncodec.models.authors.store import load
from bfncodec.models.paper.single import means, odds
from bfncodec.models.paper.spec import Spec


class FloatPredictor:
    """p_O of a model that import-paper wrote. Its weights are good on one machine, and for one batch size."""

    def __init__(self, path: Path) -> None:
        config, self.network = load(path)
        self.spec = spec(config)

    def weights(self, theta: AnyTheta | None, items: int, step: int, steps: int) -> NDArray[np.int64]:
        """p_O as weights int64 [items * D, K], see `Predictor.weights`."""
        shares = predict(self.network, self._inputs(theta, items), np.full(items, step / max(steps, 1)))
        levels = self.spec.levels
        weights = np.floor(shares.reshape(-1, levels) * (TOTAL - 2 * levels)).astype(np.int64) + 1
        weights[np.arange(len(weights)), weights.argmax(axis=1)] += TOTAL - weights.sum(axis=1)
        return weights

    def _inputs(self, theta: AnyTheta | None, items: int) -> NDArray[np.float64]:
        spec = self.spec
        if spec.kind == "values":
            posterior_means, _ = means(theta, spec, (items, *spec.shape))
            return posterior_means / (1024 * spec.levels / 2)
        logs: NDArray[Any]
        if spec.kind == "binary":
            ones = odds(theta, items * spec.size)
            logs = np.stack([np.zeros_like(ones), ones], axis=1)
        else:
            logs = np.zeros((items * spec.size, spec.levels)) if theta is None else theta.logs  # type: ignore[union-attr]
        shares = np.exp((logs - logs.max(axis=1, keepdims=True)) / LOG_STEPS)
        shares /= shares.sum(axis=1, keepdims=True)
        return shares.reshape(items, spec.size, spec.levels)


def spec(config: Config) -> Spec:
    """The variables and the accuracy schedule of a configuration; it has no integer network."""
    if isinstance(config, Flat):
        shape, kind, alphabet = (32, 32, 3), "values", bytes(range(config.bins))
        final = str(config.min_variance**0.5)
    elif isinstance(config, Levels):
        shape, kind, alphabet, final = (28, 28, 1), "binary", b"\0\1", str(config.beta_1)
    else:
        shape, kind, alphabet = (1, config.variables, 1), "classes", b" abcdefghijklmnopqrstuvwxyz"[: config.classes]
        final = str(config.beta_1)
    if shape[0] * shape[1] * shape[2] != config.variables:
        side = round((config.variables / shape[2]) ** 0.5)
        shape = (side, config.variables // side // shape[2], shape[2])
    return Spec(kind, shape, alphabet, final, (), (), (1, 1), (1, 1), (1, 1), 0)
