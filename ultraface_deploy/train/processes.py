"""Training in several processes, as torchrun starts them; alone, everything here is a no-op."""

# Tested by tests/train/test_command.py.

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel


def rank() -> int:
    """Return this process' number; 0 writes the files and talks to the user."""
    if distributed.is_initialized():
        return distributed.get_rank()
    return int(os.environ.get("RANK", "0"))


def world() -> int:
    """Return the number of processes."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def device() -> torch.device:
    """Return this process' GPU, or the CPU where there is none."""
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
    return torch.device("cpu")


def joined(module: nn.Module) -> nn.Module:
    """Return the module with its gradients averaged over the processes."""
    return module if world() == 1 else DistributedDataParallel(module)


def joint_mean(value: torch.Tensor) -> torch.Tensor:
    """Average a normaliser over the processes, so that they give the joint batch's gradients."""
    value = value.detach().clone()
    if world() > 1:
        distributed.all_reduce(value)
        value /= world()
    return value


@contextmanager
def process_group() -> Iterator[None]:
    """Join the processes that torchrun started, if it did."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield
    finally:
        distributed.destroy_process_group()


@contextmanager
def first_alone() -> Iterator[None]:
    """Let process 0 do something before the others, which then find it done."""
    if world() > 1 and rank() > 0:
        distributed.barrier()
    yield
    if world() > 1 and rank() == 0:
        distributed.barrier()
