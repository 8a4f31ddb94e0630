"""How much memory a training step takes, and the batch size that follows from it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from insphere.errors import DataError
from insphere.nets.build import build_decoder, build_encoder
from insphere.nets.draws import initial_weights
from insphere.nets.spec import EncoderSpec
from insphere.resources import rows_within, step_budget, usable_memory
from insphere.training.recipe import Phase, Recipe, parse_recipe

SIDE = 96  # large enough for the stem that residual networks have for photographs
SMALL_PIXELS = 200 * 32 * 32
"""Batches with no more pixels than this are never estimated: they fit."""
SMALLEST_BATCH = 2
"""Batch norm needs another image to compare with."""


def step_bytes(spec: EncoderSpec, shape: tuple[int, ...], *, decoder: bool) -> int:
    """Estimate what one image adds to the memory of a training step, in bytes.

    A network of the same widths runs on small images, and what it keeps for its gradients is
    counted; maps grow with the number of pixels. In float32, whatever format is trained in, so
    that the answer is the same on every processor.

    Parameters
    ----------
    spec : EncoderSpec
        The network.
    shape : tuple of int
        (C, H, W) of the images.
    decoder : bool
        Whether its mirror is trained too, as in an autoencoder.
    """
    channels, height, width = shape
    shrink = min(1.0, SIDE / math.sqrt(height * width))
    small = (channels, max(1, round(height * shrink)), max(1, round(width * shrink)))
    with initial_weights(0):
        parts = [build_encoder(spec, small, allow_collapse=True)]
        if decoder:
            parts.append(build_decoder(spec, small, bounded_output=True))
        whole = nn.Sequential(*parts).train().to(memory_format=torch.channels_last)
        x = torch.rand(3, *small).to(memory_format=torch.channels_last)
        each = _kept_bytes(whole, x) - _kept_bytes(whole, x[:2])  # kernels count for none
    return math.ceil(each * (height * width) / (small[1] * small[2]))


def _kept_bytes(network: nn.Module, x: Tensor) -> int:
    """Count what a forward pass keeps, and the largest gradients of the backward pass."""
    weights = {p.untyped_storage().data_ptr() for p in network.parameters()}
    outputs = [0]
    with _saved_for_backward() as saved, _outputs_of(network, outputs):
        network(x)
    kept = (storage for address, storage in saved.items() if address not in weights)
    return sum(int(storage.nbytes()) for storage in kept) + 2 * max(outputs)


@contextmanager
def _saved_for_backward() -> Iterator[dict[int, Any]]:
    """Collect the storages that a forward pass saves for its gradients, by their addresses.

    The storages themselves, so that no address comes twice. There is no backward pass: of a tensor
    that the hook returned, its graph would be kept for ever.
    """
    saved: dict[int, Any] = {}

    def save(tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        saved[storage.data_ptr()] = storage

    def no_backward(_nothing: None) -> Tensor:
        raise RuntimeError("What a pass saves was only counted; there is no backward pass.")

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(save, no_backward):
        yield saved


def pass_bytes(compute: Callable[[], object], network: nn.Module) -> int:
    """Return about how much memory a pass without gradients takes: what its largest maps are.

    Parameters
    ----------
    compute : callable
        Makes the pass.
    network : torch.nn.Module
        What it runs.
    """
    outputs = [0]
    with _outputs_of(network, outputs):
        compute()
    return int(sum(sorted(outputs)[-4:]))


def gradient_bytes(score: Callable[[Tensor], Tensor], x: Tensor) -> int:
    """Return how much memory the gradient of scores takes: what is kept, and two maps on the way.

    Parameters
    ----------
    score : callable
        Maps images to their scores.
    x : Tensor, shape (1, C, H, W)
        One image.
    """
    with _saved_for_backward() as saved:
        score(x.detach().clone().requires_grad_())
    sizes = [int(storage.nbytes()) for storage in saved.values()]
    return sum(sizes) + 2 * max(sizes, default=0)


@contextmanager
def _outputs_of(network: nn.Module, found: list[int]) -> Iterator[None]:
    """Append the bytes of what each innermost module returns."""

    def note(_module: nn.Module, _given: Any, out: Any) -> None:
        if isinstance(out, Tensor):
            found.append(out.nbytes)

    leaves = [m for m in network.modules() if next(m.children(), None) is None]
    hooks = [module.register_forward_hook(note) for module in leaves]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def fitting_batch(bytes_each: int, wanted: int, size: tuple[int, int]) -> int:
    """Return the batch size that fits the memory: the one wanted, or a power of two below it.

    Raises
    ------
    DataError
        If not even two images fit.
    """
    batch = max(SMALLEST_BATCH, rows_within(bytes_each, wanted))
    if batch == SMALLEST_BATCH and batch * bytes_each > max(step_budget(), usable_memory() // 2):
        height, width = size
        raise DataError(
            f"To train on images of {height}×{width} takes about {bytes_each / 2**30:.1f} GiB an "
            f"image, more than the memory that there is; make them smaller, such as with "
            f"size={max(32, min(height, width) // 4)}."
        )
    return batch


def fitting_recipe(
    given: str | Recipe | Mapping[str, Any],
    resolved: Recipe,
    encoder: EncoderSpec,
    shape: tuple[int, ...],
    images: int,
    *,
    decoder: bool = True,
) -> Recipe:
    """Return the recipe with batches that fit the memory, and say so where they are smaller.

    Nothing changes where the batches fit. A batch size that the recipe names itself stays.

    Parameters
    ----------
    given : str, Recipe or mapping
        The recipe as the user gave it.
    resolved : Recipe
        The same, with everything else that the user gave.
    encoder : EncoderSpec
        The network.
    shape : tuple of int
        (C, H, W) of the images, or (F,) of a table, for which nothing changes.
    images : int
        Images to train on.
    decoder : bool
        Whether the pretraining has a decoder.
    """
    as_given = parse_recipe(given)
    phases: dict[str, Phase] = {}
    for name in ("pretrain", "train"):
        phase: Phase = getattr(resolved, name)
        own = "batch_size" in getattr(as_given, name).model_fields_set
        wanted = min(phase.batch_size, images)
        if len(shape) == 1 or own or wanted * shape[1] * shape[2] <= SMALL_PIXELS:
            continue
        both = decoder and resolved.pretrain.epochs > 0
        each = step_bytes(encoder, shape, decoder=both)
        batch = fitting_batch(each, wanted, (shape[1], shape[2]))
        if batch < wanted:
            phases[name] = phase.model_copy(update={"batch_size": batch})
    if phases:
        sizes = " and ".join(sorted({str(p.batch_size) for p in phases.values()}))
        warnings.warn(
            f"Images of {shape[1]}×{shape[2]} are trained in batches of {sizes}, so that a step "
            f"takes about {step_budget() / 2**20:.0f} MiB; batch_size sets another number.",
            stacklevel=2,
        )
    return resolved.model_copy(update=phases)
