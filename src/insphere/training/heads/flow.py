"""A normalising flow: how unlikely a representation is under a density that a network learns."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from insphere.training.batch import Batch, weighted_mean
from insphere.training.heads.center import choose_center, squared_distances
from insphere.training.heads.ellipsoid import whitening
from insphere.training.heads.head import Head, HeadSpec, Reduce
from insphere.training.heads.held_out_fit import FEWEST, fit_held_out

LR = 1e-3
WEIGHT_DECAY = 1e-5
LARGEST_LOG_SCALE = 1.0


class FlowSpec(HeadSpec):
    """Settings of `Flow`.

    Parameters
    ----------
    n_couplings : int
        Affine couplings.
    hidden : int
        Width of the network of each.
    shrinkage : float
        Share of the covariance that is replaced by a sphere of the same mean variance.
    """

    kind: Literal["flow"] = "flow"
    n_couplings: int = Field(default=6, ge=1)
    hidden: int = Field(default=64, ge=1)
    shrinkage: float = Field(default=0.05, gt=0, le=1)

    def build(self, rep_dim: int) -> Flow:
        """Return a flow that leaves representations as they are; `Flow.fit` trains it."""
        return Flow(rep_dim, self)


class Coupling(nn.Module):
    """x_b → x_b exp(s(x_a)) + t(x_a), with x_a as it is (Dinh et al. 2017, equations 4 and 5).

    Parameters
    ----------
    dim : int
        Length of x, at least 2.
    hidden : int
        Width of the network.
    first : bool
        Whether x_a is the first half of x.
    """

    def __init__(self, dim: int, hidden: int, *, first: bool) -> None:
        super().__init__()
        self.middle, self.first = dim // 2, first
        given = self.middle if first else dim - self.middle
        self.inside = nn.Linear(given, hidden)
        self.out = nn.Linear(hidden, 2 * (dim - given))
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the new x, and log |det| of the change, shape (N,)."""
        a, b = x[:, : self.middle], x[:, self.middle :]
        if not self.first:
            a, b = b, a
        scale, shift = self.out(F.relu(self.inside(a))).chunk(2, dim=1)
        scale = LARGEST_LOG_SCALE * torch.tanh(scale)
        b = b * scale.exp() + shift
        together = [a, b] if self.first else [b, a]
        return torch.cat(together, dim=1), scale.sum(dim=1)


class Flow(Head):
    """softplus(2 (log p* − log p(z))): p is a RealNVP behind a whitening, p* its largest density.

    The flow is trained by maximum likelihood on what the trained encoder gives, and p* is measured
    there (Dinh, Sohl-Dickstein and Bengio 2017, "Density estimation using real NVP"). It starts as
    the Gaussian of `insphere.training.heads.ellipsoid.Ellipsoid`; the step with the largest
    likelihood of a fifth of the samples, which is not trained on, is kept. The encoder learns
    nothing from it, so biases cannot collapse it. In training, representations are drawn to the
    centre of a sphere as in Deep SVDD.

    Parameters
    ----------
    rep_dim : int
        Length of a representation.
    settings : FlowSpec
        The settings.
    """

    fitted_again: ClassVar[bool] = True

    mean: Tensor
    root: Tensor
    center: Tensor
    peak: Tensor

    def __init__(self, rep_dim: int, settings: FlowSpec) -> None:
        super().__init__()
        self.settings = settings
        self.register_buffer("mean", torch.zeros(rep_dim))
        self.register_buffer("root", torch.eye(rep_dim))
        self.register_buffer("center", torch.zeros(rep_dim))
        self.register_buffer("peak", torch.zeros(()))
        sizes = range(settings.n_couplings if rep_dim > 1 else 0)
        self.couplings = nn.ModuleList(
            Coupling(rep_dim, settings.hidden, first=place % 2 == 0) for place in sizes
        )
        self.requires_grad_(False)
        self._placed = False

    def fit(self, normals: Batch) -> None:
        """Measure the ellipsoid; called again after training, train the flow."""
        z = normals.x.detach()
        self.center = choose_center(z, weights=normals.weights)
        self.mean, self.root = whitening(z, self.settings.shrinkage, normals.weights)
        if self._placed and len(z) >= FEWEST:
            self._train((z - self.mean) @ self.root, normals.weights)
        self._placed = True
        with torch.no_grad():
            self.peak = self.log_density(z).max()

    def log_density(self, z: Tensor) -> Tensor:
        """Return log p of each row up to a constant, shape (N,)."""
        return self._of_white((z - self.mean) @ self.root)

    def forward(self, z: Tensor) -> Tensor:
        """Return softplus(2 (log p* − log p)) of each row, shape (N,)."""
        return F.softplus(2 * (self.peak - self.log_density(z)))

    def loss(self, batch: Batch, reduce: Reduce) -> Tensor:
        """Return the objective of the squared distances to the centre."""
        return reduce(squared_distances(batch.x, self.center))

    def _of_white(self, x: Tensor) -> Tensor:
        change = torch.zeros_like(x[:, 0])
        for coupling in self.couplings:
            x, added = coupling(x)
            change = change + added
        return change - x.square().sum(dim=1) / 2

    def _train(self, x: Tensor, weights: Tensor | None) -> None:
        generator = torch.Generator().manual_seed(0)

        def loss(rows: Tensor) -> Tensor:
            own = None if weights is None else weights[rows]
            return weighted_mean(-self._of_white(x[rows]), own)

        kept = self._weights()

        def keep() -> None:
            kept.update(self._weights())

        self.couplings.requires_grad_(True)
        fit_held_out(
            loss, self.couplings.parameters(), len(x), generator, x.device,
            lr=LR, weight_decay=WEIGHT_DECAY, keep=keep,
        )  # fmt: skip
        self.couplings.load_state_dict(kept)
        self.couplings.requires_grad_(False)

    def _weights(self) -> dict[str, Tensor]:
        return {name: one.detach().clone() for name, one in self.couplings.state_dict().items()}
