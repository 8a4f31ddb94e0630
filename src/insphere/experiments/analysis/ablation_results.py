"""The results of an ablation: each arm compared with the baseline, with a verdict."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from typing import Any, Literal

import numpy as np

from insphere.experiments.analysis.ablation_study import BASELINE, METHOD, OPT_IN, Arm, study_arms
from insphere.experiments.analysis.paired_stats import (
    Cell,
    Effect,
    Pairs,
    effect,
    holm,
    pair,
    smallest_p,
)
from insphere.experiments.runs.display_names import normal_title
from insphere.experiments.runs.processing_options import OPTIONS
from insphere.experiments.runs.sweep_file import SweepRun

Verdict = Literal["helps", "hurts", "no difference shown", "exactly equal", "not measured"]
LEVEL = 0.05


@dataclass(frozen=True)
class Comparison:
    """The comparison of one arm with the baseline; differences are in AUC, 0 to 1.

    Parameters
    ----------
    arm : Arm
        The arm.
    pairs : Pairs
        Differences by class and seed.
    effect : Effect or None
        Their mean over classes, with interval and test; None if there is no pair.
    corrected : float or None
        p-value corrected by Holm, among the single options or among the combinations; None if
        every difference is exactly zero.
    """

    arm: Arm
    pairs: Pairs
    effect: Effect | None = None
    corrected: float | None = None

    @property
    def verdict(self) -> Verdict:
        """The conclusion at a corrected level of 0.05."""
        if self.effect is None:
            return "not measured"
        if self.corrected is None:
            return "exactly equal"
        if self.corrected > LEVEL:
            return "no difference shown"
        return "helps" if self.effect.mean > 0 else "hurts"

    @property
    def assumption_holds(self) -> bool | None:
        """Whether the interval contains the assumed gain; None if either is missing."""
        if self.effect is None or self.arm.assumed is None:
            return None
        return self.effect.contains(self.arm.assumed)

    def values(self) -> dict[str, Any]:
        """Return the comparison as JSON values."""
        return {
            "option": self.arm.name,
            "kind": self.arm.kind,
            "group": self.arm.group or None,
            "options": list(self.arm.options),
            "gain": None if self.effect is None else asdict(self.effect),
            "p_corrected": self.corrected,
            "assumed": self.arm.assumed,
            "assumed_in_interval": self.assumption_holds,
            "verdict": self.verdict,
            "gain_by_class": self.pairs.by_class(),
            "pairs": len(self.pairs.differences),
            "missing_pairs": self.pairs.missing,
        }


@dataclass(frozen=True)
class AblationResults:
    """The results of an ablation on one data set.

    Parameters
    ----------
    dataset : str
        Its name.
    cells : tuple of (str, int)
        Classes and seeds that are compared.
    baseline : dict of (str, int) to float
        AUC of the baseline.
    comparisons : tuple of Comparison
        All other arms.
    z_scores : dict of (str, int) to dict
        AUCs of the standardised scores of each run of the baseline; see
        `insphere.experiments.runs.run.z_score_aucs`.
    """

    dataset: str
    cells: tuple[Cell, ...]
    baseline: dict[Cell, float]
    comparisons: tuple[Comparison, ...]
    z_scores: dict[Cell, dict[str, float]]

    @property
    def classes(self) -> list[str]:
        """Normal classes in order."""
        return list(dict.fromkeys(name for name, _ in self.cells))

    @property
    def seeds(self) -> list[int]:
        """Seeds, ascending."""
        return sorted({seed for _, seed in self.cells})

    @property
    def baseline_by_class(self) -> dict[str, float]:
        """AUC of the baseline, the mean over seeds of each class."""
        return Pairs(self.baseline).by_class()

    @property
    def seed_noise(self) -> float | None:
        """Mean difference of two seeds of the baseline in a class; None for one seed."""
        by_class: dict[str, list[float]] = {}
        for (name, _), auc in self.baseline.items():
            by_class.setdefault(name, []).append(auc)
        apart = [
            float(np.mean([abs(a - b) for a, b in combinations(aucs, 2)]))
            for aucs in by_class.values()
            if len(aucs) > 1
        ]
        return float(np.mean(apart)) if apart else None

    def values(self) -> dict[str, Any]:
        """Return all results as JSON values; AUCs and gains are between 0 and 1."""
        return {
            "dataset": self.dataset,
            "classes": self.classes,
            "seeds": self.seeds,
            "baseline": self.baseline_by_class,
            "seed_noise": self.seed_noise,
            "comparisons": [one.values() for one in self.comparisons],
            "z_scores": [
                {"normal": name, "seed": seed, "auc_of_scores": self.baseline.get((name, seed))}
                | values
                for (name, seed), values in self.z_scores.items()
            ],
        }

    def of_kind(self, *kinds: str) -> list[Comparison]:
        """Return the comparisons of some kinds of arms."""
        return [one for one in self.comparisons if one.arm.kind in kinds]

    @property
    def tested(self) -> list[Comparison]:
        """Single options with a p-value: the number for which it is corrected."""
        return [one for one in self.of_kind("option") if one.corrected is not None]

    @property
    def can_show(self) -> bool:
        """Whether there are enough classes for a p-value below the level."""
        n = max((one.effect.n for one in self.tested if one.effect is not None), default=1)
        return smallest_p(n) * len(self.tested) <= LEVEL


def find(
    rows: Iterable[Mapping[str, Any]],
    arms: Sequence[Arm],
    *,
    recipe: str = "fast",
    cells: Mapping[str, Sequence[Cell]] | None = None,
) -> list[AblationResults]:
    """Compare arms with the baseline, for each data set.

    Parameters
    ----------
    rows : iterable of mapping
        Finished runs, also others; see `insphere.experiments.runs.run.RunResult.row`.
    arms : sequence of Arm
        The arms, the baseline first.
    recipe : str
        Recipe of the runs.
    cells : mapping of str to sequence of (str, int), optional
        Expected classes and seeds by data set; by default all that any arm has.
    """
    by_params: dict[str, list[Arm]] = {}
    for arm in arms:
        by_params.setdefault(_key(arm.params(recipe)), []).append(arm)
    aucs: dict[str, dict[str, dict[Cell, float]]] = {name: {} for name in cells or ()}
    z_scores: dict[str, dict[Cell, dict[str, float]]] = {}
    for row in rows:
        known = by_params.get(_key(row["params"])) if row["method"] == METHOD else None
        if known is None or (cells is not None and row["dataset"] not in cells):
            continue
        cell = (normal_title(row["normal"]), int(row["seed"]))
        found = aucs.setdefault(row["dataset"], {})
        found.setdefault(known[0].name, {})[cell] = float(row["auc"])
        if known[0].name == BASELINE and "z_score" in row:
            z_scores.setdefault(row["dataset"], {})[cell] = dict(row["z_score"])
            for same_run in known[1:]:  # options that do not change a run, only its scores
                found.setdefault(same_run.name, {})[cell] = float(row["z_score"]["auc"])
    return [
        _findings(dataset, found, arms, z_scores.get(dataset, {}), (cells or {}).get(dataset))
        for dataset, found in aucs.items()
    ]


def cells_of(runs: Sequence[SweepRun]) -> dict[str, list[Cell]]:
    """Return the classes and seeds of planned runs, by dataset, each once."""
    cells: dict[str, dict[Cell, None]] = {}
    for run in runs:
        cells.setdefault(run.spec.dataset, {})[run.normal, run.spec.seed] = None
    return {dataset: list(found) for dataset, found in cells.items()}


def arms_in(
    rows: Sequence[Mapping[str, Any]], *, recipe: str = "fast", groups: bool = True
) -> list[Arm]:
    """Return all arms of the study; optional ones only if they have rows.

    Parameters
    ----------
    rows : sequence of mapping
        Finished runs.
    recipe : str
        Recipe of the runs.
    groups : bool
        Whether to list combinations.
    """
    there = {_key(row["params"]) for row in rows if row["method"] == METHOD}
    return [
        arm
        for arm in study_arms(list(OPTIONS), groups=groups)
        if arm.name not in OPT_IN or _key(arm.params(recipe)) in there
    ]


def _findings(
    dataset: str,
    aucs: Mapping[str, Mapping[Cell, float]],
    arms: Sequence[Arm],
    z_scores: Mapping[Cell, dict[str, float]],
    cells: Sequence[Cell] | None,
) -> AblationResults:
    if cells is None:
        cells = list(dict.fromkeys(cell for by_cell in aucs.values() for cell in by_cell))
    baseline = {cell: auc for cell, auc in aucs.get(BASELINE, {}).items() if cell in cells}
    comparisons = []
    for arm in arms:
        if arm.kind != "baseline":
            pairs = pair(aucs.get(arm.name, {}), baseline, cells)
            means = list(pairs.by_class().values())
            comparisons.append(Comparison(arm, pairs, effect(means) if means else None))
    return AblationResults(
        dataset,
        tuple(cells),
        baseline,
        tuple(_corrected(comparisons)),
        {cell: values for cell, values in z_scores.items() if cell in cells},
    )


def _corrected(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Correct the p-values, separately among single options and among combinations."""
    corrected: dict[str, float] = {}
    for alone in (True, False):
        family = [
            one
            for one in comparisons
            if (one.arm.kind == "option") is alone and any(one.pairs.differences.values())
        ]
        p_values = holm([one.effect.p for one in family if one.effect is not None])
        corrected |= dict(zip((one.arm.name for one in family), p_values, strict=True))
    return [replace(one, corrected=corrected.get(one.arm.name)) for one in comparisons]


def _key(params: Mapping[str, Any]) -> str:
    return json.dumps(params, sort_keys=True)
