"""Make tests/data/tiny.safetensors: a small model trained for seconds on images made here.

Run as `PYTHONPATH=tests python -m tools.make_tiny`; another torch version may give other weights. The golden
files need the committed ones for ever: a new tiny model gets a new name.
"""

import tempfile
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from bfncodec.models.image import features
from bfncodec.train.image import train

DATA = Path(__file__).parents[1] / "data"


def pictures(count: int, side: int) -> np.ndarray:
    """Smooth random waves with some noise, uint8 [count, side, side, 3]."""
    random = np.random.default_rng(1)
    y, x = np.mgrid[:side, :side]
    out = np.empty((count, side, side, 3))
    for image in out:
        a, b, c, d = random.uniform(-0.4, 0.4, 4)
        wave = np.sin(a * x + b * y + random.uniform(0, 6)) * 50 + (c * x + d * y) * 4 + random.uniform(60, 190)
        image[:] = wave[..., None] * random.uniform(0.8, 1.2, 3) + random.normal(
            0, random.uniform(0, 5), (side, side, 3)
        )
    return out.clip(0, 255).astype(np.uint8)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        array = Path(folder) / "pictures.npy"
        np.save(array, pictures(3000, 32))
        changes = {"width": 16, "head": 16, "blocks": 1, "steps": 300, "pixels": 2048, "mixtures": 2, "embedding": 4}
        output = DATA / "tiny.safetensors"
        train.train(array, output, Path(folder) / "work", changes=changes)
    add_table(output)


def add_table(path: Path) -> None:
    """A table for `--effort fast`, of numbers that are good for nothing but tests."""
    with safe_open(path, "np") as file:
        metadata, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    shape = (3, features.SCALES, features.CONTEXTS, 6)
    tensors["fast.table"] = (np.arange(int(np.prod(shape))) * 7 % 31 - 15).astype(np.int8).reshape(shape)
    save_file(tensors, path, metadata)


if __name__ == "__main__":
    main()
