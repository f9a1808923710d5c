"""Make tests/data/tiny-jpeg.safetensors: a model of JPEG files that has seen those of the golden files only.

Run as `PYTHONPATH=tests python -m tools.make_tiny_jpeg [FILE]`.
"""

import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from tools import jpeg_files

from bfncodec.models.jpeg import memory as memories
from bfncodec.models.jpeg.networks import HEADS, KINDS, PLACES, SEEN, started
from bfncodec.train.jpeg import train

DATA = Path(__file__).parents[1] / "data"
BUCKETS = 200
WIDTH = 2  # of networks


def networks() -> dict[str, np.ndarray]:
    """Networks that were never trained."""
    draw = np.random.RandomState(5)

    def numbers(most: int, *shape: int) -> np.ndarray:
        return draw.randint(-most, most + 1, shape)

    return {
        "jpeg.first": numbers(15, 2 * PLACES, WIDTH, SEEN).astype(np.int8),
        "jpeg.first.bias": numbers(400, 2 * PLACES, WIDTH).astype(np.int16),
        "jpeg.second": numbers(20, 2 * KINDS, HEADS, WIDTH).astype(np.int8),
        "jpeg.second.bias": numbers(300, 2 * PLACES, HEADS).astype(np.int16),
    }


def taught() -> dict[str, np.ndarray]:
    """A model's tensors."""
    nets = networks()
    memory = memories.memory(memories.untrained()._replace(nets=started(nets)))
    uses = np.zeros(memories.CONTEXTS << memories.BUCKET_BITS, np.int64)
    for data in jpeg_files.all_files().values():
        train._pass(data, memory, uses, None)
    made = nets | train._most_used(memory.tables, uses, BUCKETS) | train._mixers(memory)
    few = slice(0, None, 9)
    return made | {"jpeg.sets": made["jpeg.sets"][few].copy(), "jpeg.weights": made["jpeg.weights"][few].copy()}


if __name__ == "__main__":
    save_file(taught(), Path(sys.argv[1]) if len(sys.argv) > 1 else DATA / "tiny-jpeg.safetensors")
