"""Figures that compare options with the baseline, and measurements with what was published.

Every function offers the figures of one kind. It returns one for each dataset, and raises
`NotEnough` where there is nothing to draw them from.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from insphere.experiments.analysis.published_results import published_column, published_table
from insphere.experiments.analysis.run_collection import Material
from insphere.experiments.plots.figure_spec import NotEnough, plate, slug
from insphere.experiments.runs.display_names import option_keys, options_of
from insphere.experiments.runs.processing_options import OPTIONS
from insphere.experiments.runs.spec import RunSpec
from insphere.figures import bars, gains
from insphere.figures.bars import Pair
from insphere.figures.measured import Measured, Spread, by_class, chosen, options
from insphere.report.gallery import Plate


def option_bars(material: Material) -> list[Plate]:
    """Bars of baseline and option, for each dataset."""
    return [
        plate(
            material, runs, f"bars-{slug(data)}", f"{data}: AUC by normal class",
            f"Grey is {baseline}, blue what is named above the panel. Bars start at chance, 50 %; "
            "lines are one standard deviation over seeds.",
            bars.option_bars, runs, baseline,
        )
        for data, runs, baseline in _compared(material)
    ]  # fmt: skip


def change_bars(material: Material) -> list[Plate]:
    """Bars of the change, for each dataset."""
    found = [
        plate(
            material, runs, f"change-{slug(data)}", f"{data}: change against {baseline}",
            "Points of AUC gained or lost by class, each run compared with that of the baseline "
            "with the same class and seed. Dots are single seeds, the dashed line is the mean over "
            "classes. Every panel has a scale of its own.",
            bars.change_bars, runs, baseline,
        )
        for data, runs, baseline in _compared(material)
        if gains.mean_gains(runs, baseline)
    ]  # fmt: skip
    if not found:
        raise NotEnough("runs of two options with the same class and seed")
    return found


def gain_bars(material: Material) -> list[Plate]:
    """Mean change of each option with its interval, for each dataset."""
    found = []
    for data, runs, baseline in _compared(material):
        assumed = assumed_gains(material, runs)
        shown = gains.mean_gains(runs, baseline, assumed)
        if not shown:
            continue
        told = " Diamonds are gains that were assumed, not measured." if assumed else ""
        caption = (
            "Mean change over classes in points of AUC, paired by class and seed, with the 95 % "
            f"interval of the mean (Student's t, one value a class).{told}"
        )
        found.append(
            plate(
                material, runs, f"gains-{slug(data)}", f"{data}: mean change against {baseline}",
                caption, gains.gain_bars, shown,
            )
        )  # fmt: skip
    if not found:
        raise NotEnough("runs of two options with the same class and seed")
    return found


def assumed_gains(material: Material, runs: Sequence[Measured]) -> dict[str, float]:
    """Return the gains in points that were assumed of single options, by the name of the option."""
    found = {}
    for run in runs:
        row = material.by_run[run.run]
        found_options = option_keys(row["params"]) if row["method"] == "deep-svdd" else ()
        if len(found_options) == 1:
            assumed = OPTIONS[found_options[0]].assumed
            if assumed is not None:
                found[run.option] = 100 * assumed
    return found


def published_bars(material: Material) -> list[Plate]:
    """Bars of published and measured AUCs, for each dataset."""
    found = []
    for data in material.datasets:
        shown, used = [], []
        for name in options(material.on(data)):
            runs = chosen(material.on(data), option=name)
            published = _published(material.by_run[runs[0].run])
            if published:
                measured = by_class(runs)
                beside = {k: v for k, v in published.items() if k in measured}
                shown.append(Pair(name, beside, measured))
                used += runs
        if used:
            found.append(
                plate(
                    material, used, f"published-{slug(data)}", f"{data}: published and measured",
                    "Grey is what Ruff et al. 2018 published (mean and standard deviation over ten "
                    "seeds), blue what was measured here.",
                    bars.published_bars, shown,
                )
            )  # fmt: skip
    if not found:
        raise NotEnough("runs of a method and on a dataset of the paper")
    return found


def _published(row: dict[str, Any]) -> dict[str, Spread]:
    known = options_of(row["params"]) if row["method"] == "deep-svdd" else ((), {})
    if known is None or known[0]:
        return {}
    names = ("dataset", "normal", "method", "params", "seed")
    column = published_column(RunSpec.model_validate({name: row[name] for name in names}))
    if column is None:
        return {}
    table = published_table(row["dataset"])[column]
    return {name: Spread(value.mean, value.std, 10) for name, value in table.items()}


def _compared(material: Material) -> list[tuple[str, list[Measured], str]]:
    """Return datasets with a baseline and something to compare with it."""
    baseline = material.baseline
    if baseline is None:
        raise NotEnough("runs of plain Deep SVDD, or another --baseline")
    found = [
        (data, material.on(data), baseline)
        for data in material.datasets
        if baseline in (names := options(material.on(data))) and len(names) > 1
    ]
    if not found:
        raise NotEnough(f"runs of another option than {baseline}")
    return found
