"""What was learned about normal images in several ways, as one score."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import ClassVar, Literal, Self

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from insphere.errors import SpecError
from insphere.nets.view_encoder import ViewEncoder
from insphere.nets.views import nearest_mean
from insphere.training.batch import Batch
from insphere.training.heads.ellipsoid import whitening
from insphere.training.heads.head import Head, HeadSpec
from insphere.training.heads.usual_values import UsualValues

Part = Literal["surprise", "ellipsoid", "neighbors", "pixels"]
GREY: tuple[Part, ...] = ("ellipsoid", "neighbors", "pixels")
COLOR: tuple[Part, ...] = ("surprise", "neighbors")
SMALLEST = 1e-4
"""Added to a part before its logarithm is taken."""
BATCH = 1024
MOST_STORED = 20_000
"""Normal images that are stored for distances to neighbours at most, evenly chosen."""
LARGEST_EXPONENT = 60.0
SMALLEST_SPREAD = 1e-3


class CombinedSpec(HeadSpec):
    """Settings of `Combined`.

    Parameters
    ----------
    parts : tuple of {"surprise", "ellipsoid", "neighbors", "pixels"} or None
        What is combined; one alone is possible. None: ellipsoid, neighbors and pixels for grey
        images, surprise and neighbors for colour, whose pixels say little. The surprise is left out
        after a pretraining that tells no views apart.
    n_neighbors : int
        Neighbours over which distances are averaged.
    shrinkage : float
        Share of each covariance that is replaced by a sphere of the same mean variance.
    appearance : bool or None
        Whether each part is compared with what is usual for normal images that are as bright, as
        rich in contrast and as detailed; see `UsualValues`. None: for grey images, whose distances
        depend on it most.
    """

    views: ClassVar[bool] = True

    kind: Literal["combined"] = "combined"
    parts: tuple[Part, ...] | None = Field(default=None, min_length=1)
    n_neighbors: int = Field(default=2, ge=1)
    shrinkage: float = Field(default=0.05, gt=0, le=1)
    appearance: bool | None = None

    def build(self, rep_dim: int) -> Combined:
        """Refuse: this head needs several views."""
        raise SpecError("The head combined needs a pretraining with views, such as rotation.")

    def build_on(self, viewed: ViewEncoder) -> Combined:
        """Return an unfitted head for the rows of an encoder of views."""
        # Models of earlier versions do not say, and have none.
        chosen = self.for_shape(viewed.shape).model_copy(
            update={"appearance": bool(self.appearance)}
        )
        if len(viewed.plan.poses) == 1 and not viewed.plan.shifted:
            kept = tuple(part for part in chosen.parts or () if part != "surprise")
            if not kept:
                raise SpecError(
                    "This pretraining tells no views apart, so there is no surprise: name other "
                    "parts, or take pretraining=rotation."
                )
            chosen = chosen.model_copy(update={"parts": kept})
        viewed.surprised = "surprise" in (chosen.parts or ())
        viewed.described = bool(chosen.appearance)
        return Combined(viewed, chosen)

    def for_shape(self, shape: tuple[int, ...]) -> Self:
        """Return settings in which nothing is left open."""
        grey = shape[0] == 1
        parts = self.parts or (GREY if grey else COLOR)
        appearance = grey if self.appearance is None else self.appearance
        return self.model_copy(update={"parts": parts, "appearance": appearance})


class Combined(Head):
    """Distances of several kinds and the surprise of the pretraining, each in its usual spread.

    Parts of a score, of which the settings choose:

    - surprise: −Σ log p of the true turn and shift over all views (Golan and El-Yaniv 2018);
    - ellipsoid: the squared Mahalanobis distance, summed over turned views with a mean and a
      covariance each (as in Bergman and Hoshen 2020);
    - neighbors: the mean distance to the nearest normal representations, summed over turned views;
    - pixels: the same in blurred pixels.

    The logarithm of each is standardised by the normal images that the pretraining did not see,
    perhaps by those that look alike (`UsualValues`), and the exponential of the mean is the score.
    So a score of 1 is usual.

    Parameters
    ----------
    viewed : ViewEncoder
        Says what is where in a row.
    settings : CombinedSpec
        The settings.
    """

    fitted_again: ClassVar[bool] = True

    def __init__(self, viewed: ViewEncoder, settings: CombinedSpec) -> None:
        super().__init__()
        self.settings = settings
        self.names = settings.parts or GREY
        views, dim = viewed.n_views, viewed.rep_dim
        self.sizes = (views * dim, viewed.n_surprises, viewed.n_pixels, viewed.n_numbers)
        self.shape = (views, dim)
        self.register_buffer("location", torch.zeros(len(self.names)))
        self.register_buffer("scale", torch.ones(len(self.names)))
        self.usual = UsualValues(len(self.names), viewed.n_numbers) if viewed.n_numbers else None
        if "ellipsoid" in self.names:
            self.register_buffer("means", torch.zeros(views, dim))
            self.register_buffer("roots", torch.eye(dim).repeat(views, 1, 1))
        if "neighbors" in self.names:
            self.register_buffer("normals", torch.zeros(views, 1, dim))
        if "pixels" in self.names:
            self.register_buffer("pictures", torch.zeros(1, viewed.n_pixels))

    def fit(self, normals: Batch) -> None:
        """Fit the parts, and measure their usual values on the same rows."""
        self.fit_and_calibrate(normals.x, torch.zeros(len(normals.x), dtype=torch.bool))

    @torch.no_grad()
    def fit_and_calibrate(self, rows: Tensor, apart: Tensor) -> None:
        """Fit the parts to normal rows, and measure their usual values on those set apart.

        Parameters
        ----------
        rows : Tensor, shape (N, n)
            What the encoder of views gives for normal images.
        apart : Tensor of bool, shape (N,)
            Rows of images that the encoder was not trained on. If there are none, all are measured,
            none against itself.
        """
        apart = apart.to(rows.device)
        if bool(apart.any()):
            measured = rows[apart]
            self._adopt(rows[~apart])
            usual = in_batches(self.parts, measured)
        else:
            measured = rows
            self._adopt(rows)
            usual = in_batches(partial(self.parts, themselves=True), measured)
        logs = (usual + SMALLEST).log()
        self.location = logs.mean(dim=0)
        if self.usual is not None:
            numbers = self._split(measured)[3]
            self.usual.fit(numbers, logs - self.location)
            logs = logs - self.usual(numbers)
        self.scale = logs.std(dim=0, correction=0).clamp_min(SMALLEST_SPREAD)
        self._adopt(rows)

    def forward(self, z: Tensor) -> Tensor:
        """Return the score of each row, shape (N,)."""
        return self._together(self.standardised(z))

    def as_if_new(self, z: Tensor) -> Tensor:
        """Return the score of stored rows, none of them its own neighbour."""
        return self._together(in_batches(partial(self.standardised, themselves=True), z))

    def standardised(self, z: Tensor, *, themselves: bool = False) -> Tensor:
        """Return the logarithm of each part in standard deviations from what is usual.

        Parameters
        ----------
        z, themselves
            As in `parts`.

        Returns
        -------
        Tensor, shape (N, number of parts)
        """
        logs = (self.parts(z, themselves=themselves) + SMALLEST).log() - self.location
        if self.usual is not None:
            logs = logs - self.usual(self._split(z)[3])
        return logs / self.scale

    def _together(self, standardised: Tensor) -> Tensor:
        exponent = standardised.mean(dim=1)
        within = exponent.clamp(-LARGEST_EXPONENT, LARGEST_EXPONENT)
        beyond = (exponent - within).clamp_min(0)  # of few images the spread is small, and much is
        return within.exp() * (1 + beyond)

    def parts(self, z: Tensor, *, themselves: bool = False) -> Tensor:
        """Return each part of the score, shape (N, number of parts), 0 or more.

        Parameters
        ----------
        z : Tensor, shape (N, n)
            Rows of the encoder of views.
        themselves : bool
            The rows are those that are stored, and none is its own neighbour.
        """
        views, surprises, pixels, _ = self._split(z)
        k = self.settings.n_neighbors
        found = []
        for part in self.names:
            if part == "surprise":
                found.append(surprises.sum(dim=1))
            elif part == "ellipsoid":
                squared = ((views - self.means[:, None]) @ self.roots).square()
                found.append(squared.sum(dim=(0, 2)))
            elif part == "neighbors":
                unit = F.normalize(views, dim=2)
                pairs = zip(self.normals, unit, strict=True)
                near = [nearest_mean(s, u, k, itself=themselves) for s, u in pairs]
                found.append(torch.stack(near).sum(dim=0))
            else:
                found.append(nearest_mean(self.pictures, pixels, k, itself=themselves))
        return torch.stack(found, dim=1)

    def _split(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return views (V, N, rep_dim), surprises (N, S), pixels (N, P) and appearance (N, A)."""
        flat, surprises, pixels, numbers = torch.split(z, list(self.sizes), dim=1)
        views = flat.unflatten(1, self.shape)  # type: ignore[no-untyped-call]
        return views.transpose(0, 1), surprises, pixels, numbers

    def _adopt(self, rows: Tensor) -> None:
        views, _, pixels, _ = self._split(rows)
        for part in self.names:
            if part == "ellipsoid":
                found = [whitening(one, self.settings.shrinkage) for one in views]
                self.means = torch.stack([mean for mean, _ in found])
                self.roots = torch.stack([root for _, root in found])
            elif part == "neighbors":
                self.normals = F.normalize(views[:, :: self._step(rows)], dim=2).contiguous()
            elif part == "pixels":
                self.pictures = pixels[:: self._step(rows)].contiguous()

    @staticmethod
    def _step(rows: Tensor) -> int:
        return -(-len(rows) // MOST_STORED)


def in_batches(compute: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
    """Compute something of many rows, a part of them at a time."""
    return torch.cat([compute(rows[start : start + BATCH]) for start in range(0, len(rows), BATCH)])
