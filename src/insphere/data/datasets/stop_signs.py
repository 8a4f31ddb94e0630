"""Stop signs and three kinds of anomalies: attacked signs, damaged signs and other signs.

The third experiment of Ruff et al. (2018) tests stop signs of GTSRB against ones that were attacked
with the Boundary Attack. Here, beside attacked ones, are the same test signs damaged in ten ways at
five strengths, and signs of other classes. Each kind is a class of its own, so that one model is
scored on all of them at once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insphere.data.datasets import gtsrb as benchmark
from insphere.data.datasets.dataset import Reader
from insphere.data.datasets.dataset_card import DatasetCard
from insphere.data.image_set import ImageSet
from insphere.data.perturb import KINDS, STRENGTHS, perturb
from insphere.errors import DataError

ATTACKS = Path(__file__).with_name("stop-sign-attacks.npz")
SIDE = 32  # pixels
STOP = 14  # the benchmark's class
BUDGETS = {1_000: 60, 5_000: 200, 10_000: 60}
"""Steps of the Boundary Attack, and how many signs were attacked with so many."""
MAIN_BUDGET = 5_000
NORMAL, OTHERS = "stop", "other signs"


class StopSigns(benchmark.SignFiles):
    """Composed of GTSRB and of the attacked signs in the file beside this module."""

    card = DatasetCard(
        name="stop-signs",
        title="Stop signs",
        image_shape=(SIDE, SIDE, 3),
        n_classes=55,
        n_train=780,
        n_test=16_090,
        origin="GTSRB; attacked signs come with this package",
        extra="vision",
        local_forms=benchmark.FORMS,
    )

    def read(self, path: Path, reader: Reader) -> ImageSet:
        """Read GTSRB as it is tested, 32×32 with its border cut, and add all anomalies."""
        return stop_signs(reader(path, size=(SIDE, SIDE), channels=3, roi="border"))


def attack_class(steps: int) -> str:
    """Name the class of signs that were attacked with so many steps."""
    return f"boundary {steps}"


def damage_class(kind: str, strength: int) -> str:
    """Name the class of signs that were damaged in a way."""
    return f"{kind} {strength}"


def read_attacks() -> tuple[dict[int, NDArray[np.uint8]], dict[str, Any]]:
    """Return the attacked signs in the package by number of steps, and how they were made.

    Returns
    -------
    images : dict
        For each of `BUDGETS` uint8 of shape (n, 32, 32, 3); row i is always of the same original.
    about : dict
        Seed, versions, classifier, names of originals and of starting signs, distances.
    """
    with np.load(ATTACKS, allow_pickle=False) as archive:
        images = {steps: archive[f"steps_{steps}"] for steps in BUDGETS}
    about: dict[str, Any] = json.loads(ATTACKS.with_suffix(".json").read_text(encoding="utf-8"))
    return images, about


def stop_signs(gtsrb: ImageSet) -> ImageSet:
    """Return the stop signs of GTSRB with all anomalies.

    Parameters
    ----------
    gtsrb : ImageSet
        32×32 RGB with training stop signs and a test part; tracks in its groups.

    Returns
    -------
    ImageSet
        Class ``stop`` with the training signs and the test signs; all other classes are of the
        test part: ``boundary STEPS`` (the package's own, in the same order), ``KIND STRENGTH``
        (all test stop signs, damaged) and ``other signs``.

    Raises
    ------
    DataError
        If there are no stop signs to train on or to test.
    """
    is_test = np.zeros(len(gtsrb), bool) if gtsrb.is_test is None else gtsrb.is_test
    stops = gtsrb.labels == STOP
    train, test = np.flatnonzero(stops & ~is_test), np.flatnonzero(stops & is_test)
    others = np.flatnonzero(~stops & is_test)
    if not len(train) or not len(test):
        raise DataError(
            f"{gtsrb.name} has {len(train)} stop signs to train on and {len(test)} to test: both "
            "are needed."
        )
    paths = np.array(gtsrb.paths if gtsrb.paths is not None else [""] * len(gtsrb), dtype=object)
    images = [gtsrb.images[train], gtsrb.images[test]]
    names, counts = [NORMAL], [len(train) + len(test)]
    places: list[str] = [*paths[train], *paths[test]]
    for name, damaged, origins in _anomalies(gtsrb, test, others, paths):
        images.append(damaged)
        names.append(name)
        counts.append(len(damaged))
        places += origins
    groups = np.arange(sum(counts), dtype=np.int64) - sum(counts)  # each its own, below all tracks
    if gtsrb.groups is not None:
        groups[: len(train)] = gtsrb.groups[train]
    return replace(
        gtsrb,
        images=np.concatenate(images),
        labels=np.repeat(np.arange(len(names)), counts),
        class_names=tuple(names),
        name="stop-signs",
        is_test=np.arange(sum(counts)) >= len(train),
        paths=tuple(places),
        groups=groups,
    )


def _anomalies(
    gtsrb: ImageSet,
    test: NDArray[np.int64],
    others: NDArray[np.int64],
    paths: NDArray[np.object_],
) -> Iterator[tuple[str, NDArray[np.uint8], list[str]]]:
    """Yield each kind of anomaly: its name, its images and the origin of each image."""
    attacked, about = read_attacks()
    for steps, signs in attacked.items():
        name = attack_class(steps)
        yield name, signs, [f"{origin}, {name}" for origin in about["originals"][: len(signs)]]
    clean = np.asarray(gtsrb.images[test])
    for kind in KINDS:
        for strength in STRENGTHS:
            name = damage_class(kind, strength)
            signs = perturb(clean, kind, strength).images
            yield name, signs, [f"{path}, {name}" for path in paths[test]]
    if len(others):
        yield OTHERS, gtsrb.images[others], list(paths[others])
