"""Torch modules with gradients, from features of a pretrained network to scores.

Each computes in torch what a detector computes in NumPy. The two agree except for rounding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from insphere.detectors.base.score_modules import TINY, as_columns, distances, sums_of_columns
from insphere.detectors.pretrained.patch_scores import Pooling
from insphere.nets.discriminator import DiscriminatorNet
from insphere.nets.patches import PatchSphere

LEAST_RATIO = 1e-9


class WhitenedDistance(nn.Module):
    """Length of (F − mean) times a matrix, (N, d) to (N,)."""

    mean: Tensor
    whitening: Tensor

    def __init__(self, mean: NDArray[Any], whitening: NDArray[Any]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.from_numpy(mean))
        self.register_buffer("whitening", torch.from_numpy(whitening))

    def forward(self, F: Tensor) -> Tensor:
        """Score vectors."""
        distance: Tensor = ((F - self.mean) @ self.whitening).norm(dim=1)
        return distance


class ComponentError(nn.Module):
    """Squared error of the reconstruction from some components, (N, d) to (N,)."""

    mean: Tensor
    components: Tensor

    def __init__(self, mean: NDArray[Any], components: NDArray[Any]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.from_numpy(mean))
        self.register_buffer("components", as_columns(components))

    def forward(self, F: Tensor) -> Tensor:
        """Score vectors."""
        centered = F - self.mean
        rest = centered - sums_of_columns(centered @ self.components, self.components)
        return rest.square().sum(dim=1)


class VirtualLogit(nn.Module):
    """α times the length that components leave, less the evidence of classes, (N, d) to (N,).

    Parameters
    ----------
    mean, components : ndarray, shapes (d,) and (k, d)
        The components, and the vector that they go out from.
    weight, bias : ndarray, shapes (K, d) and (K,)
        From vectors to the logits of K classes, which may be none.
    alpha : float
        α.
    """

    weight: Tensor
    bias: Tensor

    def __init__(
        self,
        mean: NDArray[Any],
        components: NDArray[Any],
        weight: NDArray[Any],
        bias: NDArray[Any],
        alpha: float,
    ) -> None:
        super().__init__()
        self.alpha = alpha
        self.squared_rest = ComponentError(mean, components)
        self.register_buffer("weight", torch.from_numpy(weight))
        self.register_buffer("bias", torch.from_numpy(bias))

    def forward(self, F: Tensor) -> Tensor:
        """Score vectors."""
        wide = F.double()
        score: Tensor = self.alpha * self.squared_rest(wide).clamp_min(TINY).sqrt()
        if not len(self.bias):
            return score
        return score - nn.functional.linear(wide, self.weight, self.bias).logsumexp(dim=1)


class OtherClasses(nn.Module):
    """τ log (1/K) Σ exp(z_k/τ) for the classes of the pretraining, (N, d) to (N,).

    Parameters
    ----------
    weight : ndarray, shape (K, d)
        From vectors to z, but for the mean.
    middle : ndarray, shape (K,)
        What it makes of the mean of normal images.
    temperature : float
        τ.
    rooted : bool
        Whether vectors are roots, which are squared first.
    """

    weight: Tensor
    middle: Tensor

    def __init__(
        self,
        weight: NDArray[Any],
        middle: NDArray[Any],
        temperature: float,
        *,
        rooted: bool,
    ) -> None:
        super().__init__()
        self.temperature = temperature
        self.rooted = rooted
        self.register_buffer("weight", torch.from_numpy(weight.astype(np.float32)))
        self.register_buffer("middle", torch.from_numpy(middle))

    def forward(self, F: Tensor) -> Tensor:
        """Score vectors."""
        wide = F.double()
        wide = wide * wide.abs() if self.rooted else wide
        told = nn.functional.linear(wide, self.weight.double()) - self.middle
        evidence: Tensor = (told / self.temperature).logsumexp(dim=1) - math.log(len(self.middle))
        return self.temperature * evidence


class DividedByLikelihood(nn.Module):
    """A score divided by a power of N Σ p(k|x) s(k), for roots of means of the last map.

    Parameters
    ----------
    score : torch.nn.Module
        From vectors (N, d) to (N,).
    weight, bias : ndarray, shapes (K, d) and (K,)
        The layer from squared vectors to the logits of p.
    shares : ndarray, shape (K,)
        s.
    exponent : float
        The power.
    """

    weight: Tensor
    bias: Tensor
    shares: Tensor

    def __init__(
        self,
        score: nn.Module,
        weight: NDArray[Any],
        bias: NDArray[Any],
        shares: NDArray[Any],
        exponent: float,
    ) -> None:
        super().__init__()
        self.score = score
        self.exponent = exponent
        for name, values in (("weight", weight), ("bias", bias), ("shares", shares)):
            self.register_buffer(name, torch.from_numpy(values))

    def forward(self, F: Tensor) -> Tensor:
        """Score vectors."""
        p = nn.functional.linear(F.square(), self.weight, self.bias).softmax(dim=1)
        ratios = len(self.shares) * (p @ self.shares)
        score: Tensor = self.score(F) / ratios.clamp_min(LEAST_RATIO) ** self.exponent
        return score


class SphereOfVectors(nn.Module):
    """Squared distance to the centre of a head over vectors, (N, d) to (N,).

    Parameters
    ----------
    sphere : PatchSphere
        The head.
    rounded : bool
        Whether vectors are rounded to float16 first.
    """

    def __init__(self, sphere: PatchSphere, *, rounded: bool) -> None:
        super().__init__()
        self.sphere = sphere
        self.number = torch.float16 if rounded else torch.float32

    def forward(self, F: Tensor) -> Tensor:
        """Score vectors."""
        distances: Tensor = self.sphere(F[:, None].to(self.number))[1]
        return distances


class PatchPooling(nn.Module):
    """Pools scores of patches, (N, P), to scores of images; see `pool_patches`."""

    def __init__(self, pooling: Pooling, top_share: float) -> None:
        super().__init__()
        self.pooling = pooling
        self.top_share = top_share

    def forward(self, scores: Tensor) -> Tensor:
        """Pool."""
        if self.pooling == "max":
            return scores.amax(dim=1)
        if self.pooling == "mean":
            return scores.mean(dim=1)
        if self.pooling == "weighted":
            total = scores.sum(dim=1)
            positive = torch.where(total > 0, total, torch.ones_like(total))
            return scores.square().sum(dim=1) / positive
        kept = max(1, round(self.top_share * scores.shape[1]))
        return scores.topk(kept, dim=1).values.mean(dim=1)


class PlacedScores(nn.Module):
    """Scores of patches (N, P) as they count at their places; see `UsualScores`."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, mean: NDArray[Any], deviation: NDArray[Any]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.from_numpy(mean))
        self.register_buffer("deviation", torch.from_numpy(deviation))

    def forward(self, scores: Tensor) -> Tensor:
        """Place."""
        placed: Tensor = 1 + nn.functional.elu((scores.double() - self.mean) / self.deviation)
        return placed


def slices(whitenings: Sequence[Any]) -> list[slice]:
    """Return which features belong to each matrix, (places or 1, features, directions)."""
    edges = accumulate((whitening.shape[1] for whitening in whitenings), initial=0)
    return [slice(*pair) for pair in pairwise(edges)]


class GaussianPatches(nn.Module):
    """Length of (patch − mean) times the matrices of its place, (N, G, G, C) to (N, P).

    Parameters
    ----------
    means : ndarray, shape (places, C)
        Means.
    whitenings : sequence of ndarray, shapes (places or 1, features, directions)
        Matrices for consecutive features.
    where : ndarray of int64, shape (P,)
        Place of each patch.
    """

    means: Tensor
    order: Tensor
    back: Tensor

    def __init__(
        self, means: NDArray[Any], whitenings: Sequence[NDArray[Any]], where: NDArray[Any]
    ) -> None:
        super().__init__()
        order = np.argsort(where, kind="stable")  # patches of one place side by side
        places, counts = np.unique(where, return_counts=True)
        self._counts: list[int] = counts.tolist()
        self.register_buffer("order", torch.from_numpy(order))
        self.register_buffer("back", torch.from_numpy(np.argsort(order)))
        self.register_buffer("means", torch.from_numpy(means[where[order]]))
        # A matrix for each place, as picking one of a stack would be a step of its own.
        self.whitenings = nn.ModuleList(
            nn.ParameterList(
                nn.Parameter(torch.from_numpy(one[place]), requires_grad=False)
                for place in (places if len(one) > 1 else [0])
            )
            for one in whitenings
        )
        self._blocks = slices(whitenings)

    def _matrices(self) -> list[list[Tensor]]:
        return [list(cast(nn.ParameterList, block)) for block in self.whitenings]

    def forward(self, patches: Tensor) -> Tensor:
        """Score patches."""
        rows = patches.flatten(1, 2).float()[:, self.order] - self.means
        white = [
            rows[..., block] @ matrices[0]
            if len(matrices) == 1
            else torch.cat(
                [
                    part @ matrix
                    for matrix, part in zip(
                        matrices, torch.split(rows[..., block], self._counts, 1), strict=True
                    )
                ],
                dim=1,
            )
            for block, matrices in zip(self._blocks, self._matrices(), strict=True)
        ]
        lengths: Tensor = torch.cat(white, dim=2).norm(dim=2)[:, self.back]
        return lengths


class NearestPatches(nn.Module):
    """Distance of each patch to the nearest stored one, patches (N, G, G, C) to (N, P).

    Parameters
    ----------
    bank : ndarray, shape (B, C)
        The stored patches.
    around : ndarray of int64, shape (B, b + 1), or None
        Of each its neighbours, itself the first, if distances are weighted by them.
    """

    bank: Tensor
    around: Tensor | None

    def __init__(self, bank: NDArray[Any], around: NDArray[Any] | None = None) -> None:
        super().__init__()
        self.register_buffer("bank", torch.from_numpy(bank).double())
        self.register_buffer("around", None if around is None else torch.from_numpy(around))

    def forward(self, patches: Tensor) -> Tensor:
        """Score patches."""
        found = distances(patches.flatten(1, 2).double(), self.bank)
        if self.around is None:
            return found.amin(dim=2)
        nearest, which = found.min(dim=2)
        near = found.gather(2, self.around[which])
        weighted: Tensor = nearest * (1 - near.softmax(dim=2)[..., 0])
        return weighted


class SphereOfPatches(nn.Module):
    """Scores of images from a head over patches, (N, G, G, C) to (N,).

    Parameters
    ----------
    sphere : PatchSphere
        The head.
    unit : {"patch", "image", "both"}
        The objective that it was trained with.
    scales : (float, float)
        The divisors of the two scores before they are added.
    pooling : torch.nn.Module
        The pooling from patches to an image.
    """

    def __init__(
        self, sphere: PatchSphere, unit: str, scales: tuple[float, float], pooling: nn.Module
    ) -> None:
        super().__init__()
        self.sphere = sphere
        self.unit = unit
        self.scales = scales
        self.pooling = pooling

    def forward(self, patches: Tensor) -> Tensor:
        """Score images."""
        of_patches, of_images = self.sphere(patches.flatten(1, 2))
        images: Tensor = of_images
        if self.unit == "image":
            return images
        pooled: Tensor = self.pooling(of_patches)
        if self.unit == "patch":
            return pooled
        return pooled / self.scales[0] + images / self.scales[1]


class ScoresOfPatches(nn.Module):
    """Squared distances of patches to the centre of a head, patches (N, G, G, C) to (N, P)."""

    def __init__(self, sphere: PatchSphere) -> None:
        super().__init__()
        self.sphere = sphere

    def forward(self, patches: Tensor) -> Tensor:
        """Score patches."""
        of_patches: Tensor = self.sphere(patches.flatten(1, 2))[0]
        return of_patches


class DiscriminatorOfPatches(nn.Module):
    """log(1 + odds) that patches are anomalous, patches (N, G, G, C) to (N, P)."""

    def __init__(self, network: DiscriminatorNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, patches: Tensor) -> Tensor:
        """Score patches."""
        rows = patches.flatten(1, 2)
        logits = self.network(rows.flatten(0, 1)).view(rows.shape[:2])
        return nn.functional.softplus(logits.double())


class JudgedPatches(nn.Module):
    """The patches that are judged, (N, G, G, C) to (N, 1, P, C).

    Parameters
    ----------
    judged : ndarray of bool, shape (G, G)
        Where they are.
    """

    places: Tensor

    def __init__(self, judged: NDArray[np.bool_]) -> None:
        super().__init__()
        self.register_buffer("places", torch.from_numpy(np.flatnonzero(judged)))

    def forward(self, patches: Tensor) -> Tensor:
        """Select."""
        return patches.flatten(1, 2)[:, self.places][:, None]


class PatchMaps(nn.Module):
    """Heat maps from scores of patches, (N, P) to (N, H, W), float32.

    Parameters
    ----------
    rows, columns : ndarray, shapes (H, G) and (W, G)
        See `insphere.detectors.pretrained.patch_scores.enlargements`.
    grid : (int, int)
        Rows and columns of patches.
    shown : tuple of ndarray, optional
        See `insphere.detectors.pretrained.patch_scores.shown_patches`, if some are not judged.
    """

    rows: Tensor
    columns: Tensor
    nearest: Tensor | None
    factor: Tensor | None

    def __init__(
        self,
        rows: NDArray[Any],
        columns: NDArray[Any],
        grid: tuple[int, int],
        shown: tuple[NDArray[Any], NDArray[Any]] | None = None,
    ) -> None:
        super().__init__()
        self.grid = grid
        for name, values in zip(("nearest", "factor"), shown or (None, None), strict=True):
            self.register_buffer(name, None if values is None else torch.from_numpy(values))
        self.register_buffer("rows", torch.from_numpy(rows))
        self.register_buffer("columns", torch.from_numpy(columns))

    def forward(self, scores: Tensor) -> Tensor:
        """Compute the maps of a batch."""
        values: Any = scores.double()
        if self.nearest is not None:
            values = values[:, self.nearest]
        maps: Tensor = self.rows @ values.unflatten(1, self.grid) @ self.columns.T
        if self.factor is not None:
            maps = maps.float() * self.factor
        return maps.float()
