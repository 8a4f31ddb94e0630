"""Which figures finished runs suffice for, and what the others need.

Every function here offers the figures of one kind. It returns one for each dataset, or one for all,
and raises `NotEnough` where there is nothing to draw them from.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from insphere.experiments.captions import sentence, sources
from insphere.experiments.material import Material
from insphere.experiments.naming import options_of
from insphere.experiments.options import OPTIONS
from insphere.experiments.published import published_column, published_table
from insphere.experiments.spec import RunSpec
from insphere.figures import bars, comparison, distributions, gains, heat, relations, space
from insphere.figures.bars import Pair
from insphere.figures.measured import (
    Measured,
    Spread,
    by_class,
    chosen,
    classes,
    complete_table,
    options,
)
from insphere.figures.ranks import rank_methods
from insphere.report.gallery import Plate


class NotEnough(Exception):  # noqa: N818
    """There is nothing to draw; the text says what the figure needs."""


@dataclass(frozen=True)
class Kind:
    """Figures of one kind.

    Parameters
    ----------
    name : str
        As on the command line.
    title : str
        What they are, in a list.
    make : callable
        Returns the figures, from `Material`.
    """

    name: str
    title: str
    make: Callable[[Material], list[Plate]]


def slug(text: str) -> str:
    """Return a text as a part of a file name: small letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "x"


def plate(
    material: Material,
    runs: Sequence[Measured],
    name: str,
    title: str,
    caption: str,
    printed: Callable[..., Any],
    *arguments: Any,
    screen: bool = True,
) -> Plate:
    """Return a figure to be drawn later: `printed`, and what `interactive` calls by that name.

    Parameters
    ----------
    material : Material
        Where the runs are from.
    runs : sequence of Measured
        Runs that the figure shows.
    name, title, caption : str
        See `Plate`.
    printed : callable
        Draws it; is given the arguments and, as ``title``, the heading.
    *arguments
        What it draws.
    screen : bool
        Whether there is a counterpart for the screen.
    """

    def on_screen() -> Any:
        from insphere.figures import interactive

        return getattr(interactive, printed.__name__)(*arguments, title=title)

    rows = material.rows_of(runs)
    names = {run.run: run.option for run in runs}
    return Plate(
        name, title, caption, sentence(rows, names), partial(printed, *arguments, title=title),
        on_screen if screen else None, tuple(sources(rows, names)),
    )  # fmt: skip


# ---------------------------------------------------------------------- against the baseline


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
        known = options_of(row["params"]) if row["method"] == "deep-svdd" else None
        if known is not None and len(known[0]) == 1:
            assumed = OPTIONS[known[0][0]].assumed
            if assumed is not None:
                found[run.option] = 100 * assumed
    return found


def published_bars(material: Material) -> list[Plate]:
    """Published and measured AUCs, for each dataset."""
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


# ---------------------------------------------------------------------- all runs


def heat_maps(material: Material) -> list[Plate]:
    """Heat map of datasets and options, and of classes and options for each dataset."""
    found = []
    if len(material.datasets) > 1:
        found.append(
            plate(
                material, material.runs, "heat", "Mean AUC over the classes",
                "Mean over classes and seeds. In brackets: classes measured, where others have "
                "more.",
                heat.heat_map, heat.heat_table(material.runs),
            )
        )  # fmt: skip
    for data in material.datasets:
        runs = material.on(data)
        if len(classes(runs)) > 1:
            found.append(
                plate(
                    material, runs, f"heat-{slug(data)}", f"{data}: AUC by class and option",
                    "Mean over seeds.", heat.heat_map, heat.heat_table(runs, "class"),
                )
            )  # fmt: skip
    if not found:
        raise NotEnough("two datasets, or two classes of one")
    return found


def auc_histogram(material: Material) -> list[Plate]:
    """Histogram of all AUCs."""
    return _of_all(
        material, 3, "histogram", "AUCs of all runs",
        "How many runs reached which AUC. The dashed line is the median.",
        distributions.auc_histogram,
    )  # fmt: skip


def violins(material: Material) -> list[Plate]:
    """Violins by option."""
    return _of_all(
        material, 3, "violins", "AUC by option",
        "Violins are Gaussian kernel densities between the outermost runs, points are single runs "
        "(classes and seeds), the line is the median. Sorted by median.",
        distributions.violins,
    )  # fmt: skip


def boxes(material: Material) -> list[Plate]:
    """Box plot by option."""
    return _of_all(
        material, 3, "boxes", "AUC by option",
        "Boxes hold the middle half of the runs (classes and seeds), their line is the median, "
        "whiskers reach to 1.5 times the length of the box. Sorted by median.",
        distributions.boxes,
    )  # fmt: skip


def auc_space(material: Material) -> list[Plate]:
    """Three-dimensional scatter of dataset, option and AUC."""
    if len(options(material.runs)) < 2:
        raise NotEnough("two options")
    return _of_all(
        material, 2, "space", "AUC by dataset and option",
        "Small points are single runs, large ones the mean over classes, on a stem from the floor.",
        space.auc_space,
    )  # fmt: skip


def pair_plot(material: Material) -> list[Plate]:
    """Pair plot of figures of merit."""
    shown = _with(material, relations.PAIRED)
    return [
        plate(
            material, shown, "pairs", "Four figures of merit",
            "In per cent, a point for each run. Above the diagonal: rank correlation (Spearman); on "
            "it: density.",
            relations.pair_plot, relations.columns(shown),
        )
    ]  # fmt: skip


def joint_density(material: Material) -> list[Plate]:
    """Joint density of AUC and balanced accuracy."""
    values = ("auc", "balanced_accuracy")
    shown = _with(material, values)
    return [
        plate(
            material, shown, "joint", "Ranking and deciding",
            "AUC judges the order of the scores, balanced accuracy the decisions at the threshold, "
            "which no label has touched. Contours hold 25, 50, 75 and 95 % of the density; it knows "
            "no limit at 100 %.",
            relations.joint_density, relations.columns(shown, values),
        )
    ]  # fmt: skip


def radar(material: Material) -> list[Plate]:
    """Radar of the best options, for each dataset."""
    found = []
    for data in material.datasets:
        runs = material.on(data)
        names = space.best_options(runs, material.baseline) if len(classes(runs)) > 2 else []
        shown = [run for run in runs if run.option in names]
        if shown:
            found.append(
                plate(
                    material, shown, f"radar-{slug(data)}", f"{data}: the best by class",
                    "The baseline and the options with the highest mean AUC, in per cent; the "
                    "middle is not zero.",
                    space.radar, shown, material.baseline,
                )
            )  # fmt: skip
    if not found:
        raise NotEnough("an option on three classes of a dataset")
    return found


def critical_difference(material: Material) -> list[Plate]:
    """Critical-difference diagram, for each dataset and for all."""
    parts = {data: material.on(data) for data in material.datasets}
    if len(parts) > 1:
        parts["all datasets"] = material.runs
    found = []
    for data, runs in parts.items():
        names, blocks, table = complete_table(runs)
        if len(names) < 3 or len(blocks) < 2:
            continue
        shown = [run for run in runs if run.option in names]
        found.append(
            plate(
                material, shown, f"ranks-{slug(data)}", f"Average ranks on {data}",
                "Options ranked by AUC in every class (mean over seeds). Those joined by a bar "
                "differ by less than the critical difference of Nemenyi's test at 5 %. The test "
                "takes classes as independent, which those of one dataset are not quite.",
                comparison.critical_difference, rank_methods(names, table),
            )
        )  # fmt: skip
    if not found:
        raise NotEnough("three options on the same two or more classes")
    return found


def _of_all(
    material: Material,
    least: int,
    name: str,
    title: str,
    caption: str,
    printed: Callable[..., Any],
) -> list[Plate]:
    if len(material.runs) < least:
        raise NotEnough(f"{least} runs")
    return [plate(material, material.runs, name, title, caption, printed, material.runs)]


def _with(material: Material, values: Sequence[str]) -> list[Measured]:
    shown = [run for run in material.runs if all(value in run.values for value in values)]
    if len(shown) < 3:
        raise NotEnough("3 runs with all metrics")
    return shown
