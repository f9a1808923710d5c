"""Training in several processes, as torchrun starts them; in one process everything here does nothing.

Every process draws the same batch, since batches follow from (seed, step), and computes its share of it. Gradients
are averaged, so that all processes hold the same weights; the first one writes files and speaks. Machines of one
kind only: weights that another processor rounds otherwise are not brought together again.
"""

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, distributed
from torch.nn import Module
from torch.nn.parallel import DistributedDataParallel

from bfncodec.errors import BfnError

ALL = slice(None)


@contextmanager
def joined(device: str) -> Iterator[None]:
    """Belong to torchrun's group: by nccl if every process of this machine has a GPU, else by gloo.

    device: cpu or cuda. Nothing happens where torchrun did not start the process.
    """
    if not (distributed.is_available() and distributed.is_torchelastic_launched()):
        yield
        return
    rank, here = int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"])
    gpus = torch.cuda.device_count() if device == "cuda" else 0
    if gpus:
        torch.cuda.set_device(rank % gpus)
    if gpus >= here:
        distributed.init_process_group("nccl", device_id=torch.device("cuda", rank))
    else:
        distributed.init_process_group("gloo")
    try:
        yield
        distributed.barrier()
    finally:
        gc.collect()  # networks made by `parallel`: what they hold of the group would abort the interpreter's end
        distributed.destroy_process_group()


def processes() -> int:
    """How many there are."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def first() -> bool:
    """Whether this is the process that writes files."""
    return processes() == 1 or distributed.get_rank() == 0


def share(total: int) -> slice:
    """Which items of a step's batch this process computes; BfnError if there are fewer items than processes."""
    count = processes()
    if count == 1:
        return ALL
    if total < count:
        raise BfnError(f"{count} processes are too many for {total} items a step")
    rank = distributed.get_rank()
    return slice(total * rank // count, total * (rank + 1) // count)


def weight(total: int) -> float:
    """What to multiply the mean over a share by, so that the mean over processes is that over the batch."""
    return len(range(total)[share(total)]) * processes() / total


def mean(value: Tensor) -> float:
    """The mean of a scalar over processes."""
    if processes() > 1:
        value = value.detach().clone()
        distributed.all_reduce(value)
        value /= processes()
    return value.item()


def whole(part: Tensor, total: int) -> Tensor:
    """The batch [total, ...] of which every process has its share."""
    if processes() == 1:
        return part
    batch = part.new_zeros(total, *part.shape[1:])
    batch[share(total)] = part
    distributed.all_reduce(batch)
    return batch


def parallel(network: Module, step: int, *, partial: bool = False) -> Module:
    """The network with gradients averaged over processes; they begin with the weights of the first.

    step: where training begins; BfnError if others begin elsewhere. partial: some steps leave some of the weights out.
    """
    if processes() == 1:
        return network
    steps = torch.tensor([step, -step], device=next(network.parameters()).device)
    distributed.all_reduce(steps, distributed.ReduceOp.MAX)
    if int(steps.sum()):
        raise BfnError("the processes found different checkpoints: --work must be a folder that all of them share")
    return DistributedDataParallel(network, find_unused_parameters=partial)
