"""Several processes that train one network together, each on its part of every batch.

Each process draws the same batches, computes the network on its rows, and puts the results of all
together. The loss is then computed by every process on the whole batch. So centre, radius, spread
and everything else that is found from representations are those of all processes, without a word
about it where they are found. Batch norm takes the statistics of the whole batch.

The backward pass of each sum over processes is the same sum of gradients. It gives each process
the gradient of the sum of all losses, which are equal, with respect to its rows. The mean over
processes that `torch.nn.parallel.DistributedDataParallel` takes is then the gradient of one loss.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, distributed, nn

from insphere.errors import SpecError


def ranks() -> int:
    """Return how many processes train together; 1 if this one trains alone."""
    if not distributed.is_available() or not distributed.is_initialized():
        return 1
    return int(distributed.get_world_size())


def rank() -> int:
    """Return the number of this process, from 0."""
    return int(distributed.get_rank()) if ranks() > 1 else 0


def started_together() -> bool:
    """Whether torchrun started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and "LOCAL_RANK" in os.environ


@contextmanager
def together() -> Iterator[int]:
    """Join the processes that torchrun started; gives the number of this one.

    Raises
    ------
    SpecError
        If they cannot reach each other.
    """
    if not started_together():
        yield 0
        return
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    try:
        distributed.init_process_group("nccl" if on_gpu else "gloo")
    except (RuntimeError, ValueError) as error:
        raise SpecError(f"The processes of torchrun do not reach each other: {error}.") from error
    try:
        yield rank()
    finally:
        distributed.destroy_process_group()


def wait() -> None:
    """Wait until all processes are here."""
    if ranks() > 1:
        distributed.barrier()


class _Sum(torch.autograd.Function):
    """The sum over all processes; so is its gradient."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        total = values.detach().clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        total = grad.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total


def sum_of_all(values: Tensor) -> Tensor:
    """Return the sum over all processes, with its gradient."""
    total: Tensor = _Sum.apply(values)
    return total


def own_rows(n: int) -> slice:
    """Return which of n rows this process computes."""
    share, more = divmod(n, ranks())
    start = rank() * share + min(rank(), more)
    return slice(start, start + share + (rank() < more))


def jointly(compute: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Compute a function of each row: of this process's rows here, and of all others elsewhere.

    Parameters
    ----------
    compute : callable
        From rows to one result each.
    x : Tensor, shape (N, ...)
        The same rows in every process.

    Returns
    -------
    Tensor, shape (N, ...)
        The results of all rows, the same in every process.
    """
    if ranks() == 1:
        return compute(x)
    rows = own_rows(len(x))
    own = compute(x[rows])
    before = own.new_zeros(rows.start, *own.shape[1:])
    after = own.new_zeros(len(x) - rows.stop, *own.shape[1:])
    return sum_of_all(torch.cat([before, own, after]))


def normalised_jointly(x: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor, int]:
    """Normalise N×C×… by mean and variance of each channel over the rows of all processes.

    Returns
    -------
    out : Tensor, shape (N, C, ...)
    mean, var : Tensor, shape (C,)
        The variance is biased.
    count : int
        Values of each channel.
    """
    wide = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
    others = [axis for axis in range(x.dim()) if axis != 1]
    shape = [1, -1, *[1] * (x.dim() - 2)]
    here = torch.full((1,), float(wide.numel() // wide.shape[1]), dtype=wide.dtype)
    total = sum_of_all(torch.cat([wide.sum(dim=others), here.to(wide.device)]))
    count = total[-1].detach()
    mean = total[:-1] / count
    centred = wide - mean.view(shape)
    var = sum_of_all(centred.square().sum(dim=others)) / count
    out = centred * (var + eps).rsqrt().view(shape)
    return out.to(x.dtype), mean.detach(), var.detach(), int(count)


def averaged(module: nn.Module) -> nn.Module:
    """Return a module whose gradients are the mean over all processes; alone, the module itself."""
    if ranks() == 1 or not any(p.requires_grad for p in module.parameters()):
        return module
    return nn.parallel.DistributedDataParallel(
        module,
        process_group=distributed.new_group(),  # apart from the sums of the network
    )
