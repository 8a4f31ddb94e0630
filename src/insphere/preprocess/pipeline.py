"""Preprocessing steps in a row, from raw batches to what the network sees."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, TypeAdapter, ValidationError
from torch import Tensor, nn

from insphere.errors import SpecError
from insphere.modalities.table import kind_of
from insphere.preprocess.contrast import GlobalContrastSpec
from insphere.preprocess.scaling import MinMaxSpec, StandardizeSpec
from insphere.preprocess.step import Step
from insphere.preprocess.whitening import ZCAWhiteningSpec
from insphere.resources import PREPARING, rows_within
from insphere.validation import first_mistake, shown

StepSpec = Annotated[
    GlobalContrastSpec | MinMaxSpec | StandardizeSpec | ZCAWhiteningSpec,
    Field(discriminator="step"),
]
_STEPS: TypeAdapter[tuple[StepSpec, ...]] = TypeAdapter(tuple[StepSpec, ...])

FIT_BATCH = 1024
FLOATS_BYTES = 16  # of each value, since steps hold a few copies in float32


def default_steps(shape: tuple[int, ...]) -> tuple[StepSpec, ...]:
    """Return the paper's steps for images, and standardised columns for tables.

    Parameters
    ----------
    shape : tuple of int
        Shape of one sample: (C, H, W) or (F,).
    """
    if len(shape) == 1:
        return (StandardizeSpec(scope="feature"),)
    return (GlobalContrastSpec(norm="l1"), MinMaxSpec())


def parse_steps(steps: str | Sequence[Any]) -> tuple[StepSpec, ...]:
    """Read steps given as specs, as dictionaries or by name; a name alone is one step.

    Examples
    --------
    >>> parse_steps(["gcn", {"step": "zca", "eps": 0.01}])
    (GlobalContrastSpec(step='gcn', norm='l1'), ZCAWhiteningSpec(step='zca', eps=0.01))

    Raises
    ------
    SpecError
        If a step is unknown or a setting is out of range.
    """
    listed = [steps] if isinstance(steps, str) else steps
    given = [{"step": step} if isinstance(step, str) else step for step in listed]
    try:
        return _STEPS.validate_python(given)
    except ValidationError as error:
        said = first_mistake(error).said
        raise SpecError(
            f"Preprocessing step {shown(steps)} is not understood ({said}); "
            "known steps are gcn, minmax, standardize and zca."
        ) from error


def chosen_steps(steps: str | Sequence[Any] | None, shape: tuple[int, ...]) -> tuple[StepSpec, ...]:
    """Read steps as `parse_steps` does; None stands for `default_steps`."""
    return default_steps(shape) if steps is None else parse_steps(steps)


class Preprocessor(nn.Module):
    """From raw batches to network inputs.

    uint8 becomes float in [0, 1]; then each step follows. Fitted on training normals alone.

    Parameters
    ----------
    steps : sequence of StepSpec
        What to do, in order; may be empty.
    shape : tuple of int
        Shape of one sample: (C, H, W) or (F,).
    """

    def __init__(self, steps: Sequence[StepSpec], shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = shape
        self.steps = nn.ModuleList(step.build(shape) for step in steps)

    def _apply_first(self, x: Tensor, count: int) -> Tensor:
        x = x.float() / 255 if x.dtype == torch.uint8 else x
        for step in self.steps[:count]:
            x = step(x)
        return x

    def forward(self, x: Tensor) -> Tensor:
        """Preprocess a batch N×C×H×W or N×F, uint8 or float."""
        return self._apply_first(x, len(self.steps))

    @torch.no_grad()
    def fit(self, images: NDArray[Any]) -> Preprocessor:
        """Fit the steps one after the other, each on what the ones before it give.

        Parameters
        ----------
        images : ndarray, shape (N, H, W, C) or (N, F)
            Training normals.
        """
        device = next((b.device for b in self.buffers()), torch.device("cpu"))
        for position, step in enumerate(self.steps):

            def batches(done: int = position) -> Iterator[Tensor]:
                each = images[:1].size * FLOATS_BYTES
                size = rows_within(each, FIT_BATCH, parts=PREPARING)
                for start in range(0, len(images), size):
                    raw = to_batch(images[start : start + size], device)
                    yield self._apply_first(raw, done)

            cast(Step, step).fit(batches)
        return self

    def inverse(self, x: Tensor) -> Tensor | None:
        """Undo all steps for display, or None if one of them cannot be undone."""
        for step in reversed(self.steps):
            back = cast(Step, step).inverse(x)
            if back is None:
                return None
            x = back
        return x


def to_batch(images: NDArray[Any], device: torch.device) -> Tensor:
    """Move raw samples to `device` as their kind says: images as N×C×H×W (channels-last)."""
    whole = np.ascontiguousarray(images) if images.flags.writeable else images.copy()
    return torch.from_numpy(kind_of(images).batch(whole)).to(device)
