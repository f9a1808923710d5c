"""Sizes and schedules of the published models; the values are those of the authors' configs/*.yaml."""

from dataclasses import dataclass, fields
from typing import Any, ClassVar

from bfncodec.errors import CorruptFile


@dataclass(frozen=True)
class Levels:
    """A U-Net with levels of resolution for images of two classes (mnist_discrete.yaml).

    Attention stands at the lowest level only: the rates that the authors list, 8 and 16, are never reached.
    """

    network: ClassVar[str] = "levels"
    classes: ClassVar[int] = 2

    side: int = 28
    width: int = 128
    multiples: tuple[int, ...] = (1, 2, 2)
    blocks: int = 2
    heads: int = 4
    groups: int = 32
    bands: int = 64
    beta_1: float = 9.0  # the authors' max_sqrt_beta is 3

    @property
    def variables(self) -> int:
        """D."""
        return self.side**2


@dataclass(frozen=True)
class Flat:
    """A U-Net of one resolution for discretised images (cifar10_discretized_256bins.yaml)."""

    network: ClassVar[str] = "flat"

    side: int = 32
    channels: int = 3
    width: int = 128
    blocks: int = 32
    groups: int = 32
    bands: int = 64
    bins: int = 256
    min_variance: float = 1e-6  # sigma_1 squared
    min_time: float = 1e-6
    min_deviation: float = 1e-3
    max_deviation: float = 10.0

    @property
    def classes(self) -> int:
        return self.bins

    @property
    def variables(self) -> int:
        """D, in the order row, column, channel."""
        return self.side**2 * self.channels


@dataclass(frozen=True)
class Transformer:
    """A transformer for texts of one length (text8_discrete.yaml): class 0 is the space, 1 to 26 are a to z."""

    network: ClassVar[str] = "transformer"

    classes: int = 27
    length: int = 256
    width: int = 768
    layers: int = 24
    heads: int = 12
    beta_1: float = 0.5625  # the authors' max_sqrt_beta is 0.75

    @property
    def variables(self) -> int:
        """D."""
        return self.length


Config = Levels | Flat | Transformer

CONFIGS: dict[str, Config] = {"mnist": Levels(), "cifar10_256d": Flat(), "text8": Transformer()}


def from_card(configuration: dict[str, Any]) -> Config:
    """The configuration of a model card; CorruptFile if it is none."""
    given: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in configuration.items()
    }
    name = given.pop("network", None)
    kind: type[Config] | None = next((kind for kind in (Levels, Flat, Transformer) if kind.network == name), None)
    if kind is None or {name: type(value) for name, value in given.items()} != {
        field.name: type(field.default) for field in fields(kind)
    }:
        raise CorruptFile(f"the model card's configuration {configuration} is not one of the authors' models")
    return kind(**given)
