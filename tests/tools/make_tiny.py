"""Make tests/data/tiny.safetensors: a small model trained for seconds on images made here.

Run as `PYTHONPATH=tests python -m tools.make_tiny`; another torch version may give other weights. The golden
files need the committed ones for ever: a new tiny model gets a new name.
"""

import tempfile
from pathlib import Path

import numpy as np

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
        changes = {"width": 16, "head": 16, "blocks": 1, "steps": 300, "pixels": 2048, "mixtures": 2}
        train.train(array, DATA / "tiny.safetensors", Path(folder) / "work", changes=changes)


if __name__ == "__main__":
    main()
