"""Make small text models: a network of random weights, and mixing weights that know nothing or little.

The tests make the one that knows nothing anew in every session (fixture `models`), with a network for blocks.
`PYTHONPATH=tests python -m tools.make_tiny_text [FILE]` makes the other, tests/data/tiny-text.safetensors, which
goldens are made with: it has seen the beginning of this project's licence. The tables of embeddings
repeat themselves, so that the files pack well.
"""

import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from bfncodec.exact import kernels
from bfncodec.models.text import bytewise, contexts, network
from bfncodec.models.text import memory as memory_text

PATTERN = 1 << 12  # rows of the table after which it begins again
DATA = Path(__file__).parents[1] / "data"
LESSON = Path(__file__).parents[2] / "LICENSE"


def tensors(
    dimensions: int = 1, width: int = 8, hidden: int = 8, seed: int = 0, units: int = 6
) -> dict[str, np.ndarray]:
    """A model's tensors, whatever the number of contexts and their rows."""
    random = np.random.default_rng(seed)
    pattern = random.integers(-60, 61, (PATTERN, dimensions)).astype(np.int8)
    made = {"text.table": np.resize(pattern, (contexts.ROWS, dimensions))}
    made |= _layer(random, "text.first", contexts.CONTEXTS * dimensions, width)
    made |= _layer(random, "text.gate", width, units) | _layer(random, "text.candidate", width, units)
    made |= _layer(random, "text.second", width + units, hidden) | _layer(random, "text.last", hidden, 256)
    return made | ignorant(memory_text.FULL) | ignorant(memory_text.FAST)


def ignorant(kit: memory_text.Kit) -> dict[str, np.ndarray]:
    """What a memory begins with that has seen nothing."""
    return memory_text.exported(memory_text.fresh(None, np.zeros(0, np.uint8), 0, kit), kit)


def blocks(
    dimensions: int = 1, block: int = 4, views: int = 3, width: int = 8, hidden: int = 8, seed: int = 0
) -> dict[str, np.ndarray]:
    """The tensors that a model of `tensors` needs for blocks of bytes as well."""
    random = np.random.default_rng([seed, 1])
    inputs = contexts.CONTEXTS * dimensions + block * views
    made = {"blocks.views": random.integers(-127, 128, (256, views)).astype(np.int8)}
    made |= _layers(random, "blocks", [inputs, width, hidden, 256 * block])
    # Letters and blanks are likelier than other bytes, so that texts become smaller.
    made["blocks.last.shift"] += 1
    likelier = made["blocks.last.bias"].reshape(block, 256)
    unit = 1 << int(made["blocks.last.shift"][0])
    likelier[:, 32:127] += 300 * unit
    likelier[:, [32, *range(97, 123)]] += 150 * unit
    return made


def _layers(random: np.random.Generator, family: str, sizes: list[int]) -> dict[str, np.ndarray]:
    """Three layers between four sizes."""
    made = {}
    for name, before, size in zip(("first", "second", "last"), sizes, sizes[1:], strict=False):
        made |= _layer(random, f"{family}.{name}", before, size)
    return made


def _layer(random: np.random.Generator, name: str, before: int, size: int) -> dict[str, np.ndarray]:
    return {
        f"{name}.weight": random.integers(-40, 41, (size, before)).astype(np.int8),
        f"{name}.bias": random.integers(-2000, 2001, size).astype(np.int32),
        # Products of random numbers grow with the root of their count.
        f"{name}.shift": np.full(size, 4 + (before.bit_length() >> 1), np.int8),
    }


def taught() -> dict[str, np.ndarray]:
    """A model's tensors, the mixing weights as they are after some text."""
    made = tensors() | blocks(block=2)
    made["text.last.shift"] -= 3  # some of its opinions are strong
    text = np.frombuffer(LESSON.read_bytes()[:2000], np.uint8)
    # In blocks it matters most how often a byte comes, but what is seen matters too.
    units = np.rint(network.LOGIT_STEPS * np.log(np.bincount(text, minlength=256) + 0.05)).astype(np.int32)
    made["blocks.first.shift"] -= 2
    made["blocks.last.shift"][:] = 7
    made["blocks.last.bias"] = np.tile(units, 2) << 7
    layers = network.load(kernels.kernel("bytes"), made)
    for kit in (memory_text.FULL, memory_text.FAST):
        memory = memory_text.fresh(made, text, bytewise.slot_bits(len(text)), kit)
        bytewise.dry_run(layers, memory, text, kit)
        made |= memory_text.exported(memory, kit)
    return made


def make(path: Path) -> None:
    """Write the model that knows nothing."""
    save_file(tensors() | blocks(), path)


if __name__ == "__main__":
    save_file(taught(), Path(sys.argv[1]) if len(sys.argv) > 1 else DATA / "tiny-text.safetensors")
