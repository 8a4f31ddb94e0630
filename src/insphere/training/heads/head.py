"""The base of heads. A head is fitted to representations of normal samples and scores others."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Self

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from insphere.nets.view_encoder import ViewEncoder
from insphere.training.batch import Batch

Reduce = Callable[[Tensor], Tensor]


class Head(nn.Module, ABC):
    """Encloses the representations of normal samples and measures the distance of others.

    A head is trained by the objectives of `insphere.training.objectives.Hypersphere`: each takes
    the distances of any head. The state of a head is in buffers and parameters, so that it is
    saved, loaded and moved with the network. They exist from the start, with their final
    shapes unless `fitted_again`.

    Attributes
    ----------
    fitted_again : bool
        Whether `fit` is called once more after training, with the representations by the trained
        network; for heads that store representations, such as nearest neighbours.
    """

    fitted_again: ClassVar[bool] = False

    def __init__(self) -> None:
        super().__init__()
        if self.fitted_again:
            self.register_load_state_dict_pre_hook(take_shapes)  # type: ignore[no-untyped-call]

    @abstractmethod
    def fit(self, normals: Batch) -> None:
        """Fit the head to representations of the training set.

        Parameters
        ----------
        normals : Batch
            ``x`` are representations, shape (N, rep_dim), beside labels, groups and weights.
        """

    @abstractmethod
    def forward(self, z: Tensor) -> Tensor:
        """Return the score of representations (N, rep_dim): shape (N,), 0 or more.

        It is on the scale of a squared distance, and higher is more anomalous.
        """

    def as_if_new(self, z: Tensor) -> Tensor:
        """Return the score of training representations (N, rep_dim) as if each were new.

        Override it if the head stores them, so that none is compared with itself.
        """
        scores: Tensor = self(z)
        return scores

    def loss(self, batch: Batch, reduce: Reduce) -> Tensor:
        """Return the loss of a batch of representations.

        Override it to add terms, or to use labels.

        Parameters
        ----------
        batch : Batch
            ``x`` are representations, shape (B, rep_dim).
        reduce : callable
            The objective as a function of distances, shape (B,): their mean, or the soft boundary.
        """
        return reduce(self(batch.x))

    def end_epoch(self, seen: Batch) -> dict[str, float]:
        """Process the representations of an epoch, and return values for its record."""
        return {}

    @property
    def dtype(self) -> torch.dtype:
        """Number format of representations that the head takes."""
        return next(itertools.chain(self.buffers(), self.parameters())).dtype


def take_shapes(module: nn.Module, state: dict[str, Tensor], prefix: str, *_: Any) -> None:
    """Give the buffers the shapes in which they were saved."""
    for name, buffer in list(module.named_buffers(recurse=False)):
        saved = state.get(f"{prefix}{name}")
        if saved is not None and saved.shape != buffer.shape:
            setattr(module, name, buffer.new_empty(saved.shape))


class HeadSpec(BaseModel, ABC):
    """Settings of a head; each kind has its own class, with its name as ``kind``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    views: ClassVar[bool] = False
    """Whether the head looks at several views of each image, as `ViewEncoder` gives them. It is
    then fitted to a pretrained encoder, and no training follows."""

    @abstractmethod
    def build(self, rep_dim: int) -> Head:
        """Return an unfitted head for representations of this length."""

    def for_shape(self, shape: tuple[int, ...]) -> Self:
        """Return settings in which nothing is left to the shape of a sample."""
        return self

    def build_on(self, viewed: ViewEncoder) -> Head:
        """Return an unfitted head for the rows of an encoder of views, if `views`.

        The encoder is told what the rows have to hold.
        """
        raise NotImplementedError
