"""Make small models of the paper's kind: networks of random weights, exported to integers.

`PYTHONPATH=tests python -m tools.make_tiny_paper [FOLDER]` makes data/tiny-{binary,values,bytes,classes}.safetensors,
which goldens are made with: they are kept for ever, a new one gets a new name. Floats are of 64 bits, so that another
machine rounds to the same integers.
"""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bfncodec.models.paper.spec import TIME_INPUTS, Spec
from bfncodec.train import checkpoint
from bfncodec.train.paper.network import GridTrainingNetwork

DATA = Path(__file__).parents[1] / "data"
LETTERS = b" abcdefghijklmnopqrstuvwxyz"
SPECS = {
    "tiny-binary": Spec("binary", (4, 4, 1), b"\0\1", "3", (4, 6), (1, 1), (1, 1), (3, 3), (2, 2), 5),
    "tiny-values": Spec("values", (4, 4, 3), bytes(range(16)), "0.0625", (6,), (1,), (2, 2), (3, 3), (1, 1), 4, 2),
    "tiny-bytes": Spec("values", (4, 4, 3), bytes(range(256)), "0.01", (4, 5), (0, 1), (1, 2), (3, 1), (2, 1), 3),
    "tiny-classes": Spec("classes", (1, 16, 1), LETTERS, "0.75", (6, 8), (1, 0), (1, 2), (1, 3), (1, 2), 5),
}


def tensors(spec: Spec, seed: int = 0) -> dict[str, np.ndarray]:
    """The integer network of a spec with random weights, none of whose layers is silent."""
    random = np.random.default_rng([seed, *spec.shape, spec.levels])
    network = GridTrainingNetwork(spec).double()
    with torch.no_grad():
        for name, layer in network.layers():
            bound = (3 / layer.weight.shape[1]) ** 0.5 * (0.5 if name.endswith("second") else 1)
            layer.weight.copy_(torch.from_numpy(random.uniform(-bound, bound, layer.weight.shape)))
            layer.bias.copy_(torch.from_numpy(random.uniform(-0.2, 0.2, layer.bias.shape)))
            if layer.times is not None:
                layer.times.copy_(torch.from_numpy(random.uniform(-0.5, 0.5, layer.times.shape)))
    inputs = torch.from_numpy(random.uniform(-4, 4, (64, *spec.shape[:2], spec.inputs)))
    time = torch.from_numpy(random.dirichlet(np.ones(TIME_INPUTS), 64))
    return network.tensors([(inputs, time)])


def card(spec: Spec) -> dict[str, Any]:
    """What the model's file says of itself."""
    return {"spec": asdict(spec) | {"alphabet": list(spec.alphabet)}}


def make(folder: Path) -> None:
    """Write all models."""
    for name, spec in SPECS.items():
        checkpoint.write_model(folder / f"{name}.safetensors", tensors(spec), card(spec))


if __name__ == "__main__":
    make(Path(sys.argv[1]) if len(sys.argv) > 1 else DATA)
