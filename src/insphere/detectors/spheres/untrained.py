"""Deep SVDD without training: a control."""

from __future__ import annotations

from dataclasses import replace

from insphere.detectors.base.network_state import seed_from
from insphere.detectors.spheres.deep_svdd import DeepSVDD
from insphere.training.deep_svdd import SphereSpec, TrainedSphere, untrained_sphere
from insphere.training.device import resolve_device
from insphere.training.training_set import TrainingSet


class UntrainedDeepSVDD(DeepSVDD):
    """The network of `DeepSVDD` with the same seed and head, but never trained.

    A random network often scores well already. So compare every result of `DeepSVDD` with this
    control. It takes the same parameters with the same defaults, so that the same call without
    training has the same network and head: of images those of the recipe "best". The recipes
    "fast" and "paper" have one and the same control, a centre around the network of the paper.
    """

    card = replace(
        DeepSVDD.card,
        key="untrained",
        title="Deep SVDD, untrained",
        summary="the network of Deep SVDD without training",
        is_control=True,
        idle=("recipe", "epochs", "pretrain_epochs"),
    )

    def _train(self, train: TrainingSet, spec: SphereSpec) -> TrainedSphere:
        return untrained_sphere(
            train,
            spec,
            seed=seed_from(self.random_state),
            device=resolve_device(self.device),
            precision=self.precision,
        )
