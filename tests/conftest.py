"""Shared fixtures: tiny models, and small images of every kind."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

DATA = Path(__file__).with_name("data")

# Functions are compiled when they are first called, and machines are busy: time is no property of an example.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of models: those of the goldens, and a tiny text model that takes the place of the packaged one."""
    from tools import make_tiny_text

    folder = tmp_path_factory.mktemp("models")
    for path in DATA.glob("*.safetensors"):
        shutil.copy(path, folder)
    make_tiny_text.make(folder / "text.safetensors")
    return folder


@pytest.fixture(scope="session")
def tiny() -> Path:
    """The tiny model file that goldens are made with."""
    return DATA / "tiny.safetensors"


@pytest.fixture(scope="session")
def tiny_text(models: Path) -> Path:
    """The tiny text model file."""
    return models / "text.safetensors"


@pytest.fixture(autouse=True)
def tiny_on_path(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files made with the tiny models find them; models that other tests named by a path are forgotten."""
    from bfncodec.models import zoo

    monkeypatch.setattr(zoo, "_named", {})
    monkeypatch.setenv("BFNCODEC_MODEL_DIR", str(models))


@pytest.fixture(scope="session")
def photo() -> np.ndarray:
    """A smooth noisy colour image uint8 [48, 56, 3]."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[:48, :56]
    waves = 128 + 60 * np.sin(x / 9) + 50 * np.cos(y / 7)
    noise = random.normal(0, 3, (48, 56, 1)) + random.normal(0, 1, (48, 56, 3))
    return (waves[..., None] * [0.9, 1.0, 0.8] + noise).clip(0, 255).astype(np.uint8)
