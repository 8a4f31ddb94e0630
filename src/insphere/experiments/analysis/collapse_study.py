"""A study of the collapse of the sphere: each of its causes, the guard, and the remedies.

Ruff et al. (2018, section 3.3) prove that a network can map every image onto the centre if it has
bias terms or bounded activations, or if zero weights reach the centre. The study measures radius,
AUC and spread by epoch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from insphere.data.load import load_dataset
from insphere.data.split import OneClassSplit
from insphere.errors import CollapseError, SpecError
from insphere.nets.build import build_encoder, default_encoder
from insphere.nets.draws import initial_weights
from insphere.preprocess.pipeline import default_steps, to_batch
from insphere.scoring.metrics import evaluate_scores
from insphere.training.callbacks import Callback, Record
from insphere.training.deep_svdd import (
    SphereSpec,
    first_pass,
    sphere_objective,
    train_sphere,
)
from insphere.training.heads.center import squared_distances
from insphere.training.loop import PhaseRun
from insphere.training.objectives import Hypersphere, radius_quantile
from insphere.training.pretraining.pretraining import Pretrained, pretrain
from insphere.training.recipe import Phase, Recipe
from insphere.training.start import sample_shape
from insphere.versions import versions

BATCH = 50
RATE = 1e-2
WEIGHT_DECAY = 1e-2  # the λ of the objective, large enough to show the effect quickly
TEST_IMAGES = 500
BIAS: dict[str, Any] = {"bias": True}


@dataclass(frozen=True)
class Scenario:
    """One network and objective.

    Parameters
    ----------
    title : str
        Name for tables.
    encoder : mapping
        Changes to the encoder of the dataset.
    sphere : mapping
        Changes to the `SphereSpec`.
    remedy : bool
        Whether it is a remedy rather than a cause of a collapse.
    """

    title: str
    encoder: Mapping[str, Any] = field(default_factory=dict)
    sphere: Mapping[str, Any] = field(default_factory=dict)
    remedy: bool = False


SCENARIOS = {
    "plain": Scenario("as the paper demands"),
    "bias": Scenario("bias terms", BIAS),
    "bounded": Scenario("bounded activation", {"activation": "sigmoid"}),
    "zero-centre": Scenario("c = 0", sphere={"center": "zero"}),
    "affine": Scenario("affine shifts"),  # of the normalisation there is; see `collapse_run`
    "variance": Scenario(
        "bias, variance term", BIAS, {"regularizers": {"variance": 1.0}}, remedy=True
    ),
    "vicreg": Scenario(
        "bias, variance and covariance terms",
        BIAS,
        {"regularizers": {"variance": 1.0, "covariance": 0.1}},
        remedy=True,
    ),
    "noise": Scenario("bias, random labels", BIAS, {"regularizers": {"noise": 0.1}}, remedy=True),
}


def collapse_run(
    name: str,
    *,
    dataset: str = "digits-8x8",
    normal: str = "3",
    epochs: int = 100,
    batch_norm: bool = False,
    seed: int = 0,
) -> dict[str, Any]:
    """Train one scenario from random weights, without any protection, and record it.

    Test labels are used only to measure the AUC after each epoch.

    Parameters
    ----------
    name : str
        One of `SCENARIOS`.
    dataset, normal : str
        Data set and normal class.
    epochs : int
        Epochs, at a constant learning rate.
    batch_norm : bool
        Whether hidden layers have batch norm, which makes a collapse slower. Affine shifts are
        those of the batch norm; or, without it, of a layer norm after the last layer.
    seed : int
        Seed of the initial weights, the order of the images and the split.

    Returns
    -------
    dict
        JSON values. ``history``: for each epoch, from the untrained network (0) on: radius, AUC on
        500 test images, spread and effective rank of the representations of the training images.
        ``refused``: the error of `DeepSVDD` with the same settings and its protection, or None.
        ``guard_epoch``: epoch at which the guard would have stopped the training, or None.

    Raises
    ------
    SpecError
        If there is no such scenario.
    """
    if name not in SCENARIOS:
        raise SpecError(f"Unknown scenario {name!r}; use one of {', '.join(SCENARIOS)}.")
    scenario = SCENARIOS[name]
    split = OneClassSplit(load_dataset(dataset), normal, random_state=seed)
    shape = sample_shape(split.X_train)
    phase = Phase(
        epochs=epochs, lr=RATE, schedule="constant", batch_size=BATCH, weight_decay=WEIGHT_DECAY
    )
    changes = {"norm": "batch" if batch_norm else "none", **scenario.encoder}
    if name == "affine":
        layer = {"head_norm": "layer", "head_norm_affine": True}
        changes |= {"norm_affine": True} if batch_norm else layer
    settings: dict[str, Any] = {
        "encoder": default_encoder(shape).derive(changes),
        "preprocess": default_steps(shape),
        "recipe": Recipe(pretrain=Phase(epochs=0), train=phase),
        **scenario.sphere,
    }
    spec = SphereSpec(allow_collapse=True, **settings)
    device = torch.device("cpu")
    start = pretrain(
        split.X_train, spec.stage, spec.pretraining, seed=seed, device=device, precision="float32"
    )
    objective = sphere_objective(start, spec, seed)
    watcher = _Watcher(objective, start, split, seed)
    watcher.measure(0)
    PhaseRun("train", objective, start.images, phase, seed=seed + 1, callbacks=[watcher]).run()
    return {
        "scenario": name,
        "title": scenario.title,
        "remedy": scenario.remedy,
        "dataset": dataset,
        "normal": [normal],
        "seed": seed,
        "epochs": epochs,
        "batch_norm": batch_norm,
        "encoder": changes,
        "sphere": dict(scenario.sphere),
        "weights": sum(p.numel() for p in start.encoder.parameters()),
        "history": watcher.rows,
        "refused": _refusal(split.X_train[:BATCH], SphereSpec(**settings), shape),
        "guard_epoch": watcher.found_at,
        "versions": versions(),
    }


class _Watcher(Callback):
    """Measures radius, AUC and spread after each epoch.

    Batch-norm statistics are computed again each time, so that the measurement is that of the
    current weights and not of a running average over earlier ones.
    """

    def __init__(
        self, objective: Hypersphere, start: Pretrained, split: OneClassSplit, seed: int
    ) -> None:
        self.objective, self.start, self.seed = objective, start, seed
        some = np.random.default_rng(seed).permutation(len(split.test))[:TEST_IMAGES]
        self.test, self.truth = split.X_test[some], split.truth[some]
        self.rows: list[dict[str, float]] = []
        self.found_at: int | None = None

    def epoch_end(self, record: Record) -> None:
        """Measure after an epoch."""
        self.measure(int(record["epoch"]))

    @torch.no_grad()
    def measure(self, epoch: int) -> None:
        """Measure the current network."""
        encoder, center = self.objective.encoder, self.objective.center
        z = first_pass(encoder, self.start.images, BATCH, self.seed, None).x.to(center.dtype)
        encoder.eval()
        new = encoder(self.start.preprocessor(to_batch(self.test, _CPU))).to(center.dtype)
        encoder.train()
        scores = squared_distances(new, center)
        distances = squared_distances(z, center)
        guard = self.objective.guard
        measured = guard.watch(z, distances)
        if guard.findings and self.found_at is None:
            self.found_at = epoch
        row = {
            "epoch": epoch,
            "radius": float(radius_quantile(distances, self.objective.nu)),
            "auc": evaluate_scores(self.truth, scores.double().numpy()).auc,
            "spread": measured["spread"],
            "effective_rank": measured["effective_rank"],
        }
        self.rows.append({name: float(f"{value:.5g}") for name, value in row.items()})


_CPU = torch.device("cpu")


def _refusal(X: NDArray[Any], spec: SphereSpec, shape: tuple[int, ...]) -> str | None:
    """Return the error with these settings if collapse is not allowed, without training."""
    try:
        with initial_weights(0):
            build_encoder(spec.encoder, shape, allow_collapse=spec.builds_anything)
        if spec.center == "zero":
            train_sphere(X, spec, seed=0, device=_CPU)
    except CollapseError as error:
        return str(error)
    return None


def summary(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a row for a table: radius, AUC and the guard.

    Parameters
    ----------
    row : mapping
        From `collapse_run`.
    """
    first, last = row["history"][0], row["history"][-1]
    return {
        "title": row["title"],
        "radius_share": last["radius"] / first["radius"],
        "auc_start": first["auc"],
        "auc_end": last["auc"],
        "effective_rank": last["effective_rank"],
        "refused": row["refused"] is not None,
        "guard_epoch": row["guard_epoch"],
    }
