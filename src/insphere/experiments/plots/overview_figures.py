"""Figures of all runs: heat maps, distributions, relations, ranks.

Every function offers the figures of one kind. It returns one for each dataset or one for all, and
raises `NotEnough` where there is nothing to draw them from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from insphere.experiments.analysis.run_collection import Material
from insphere.experiments.plots.figure_spec import NotEnough, plate, slug
from insphere.figures import auc_heatmap, comparison, distributions, relations, space
from insphere.figures.measured import Measured, classes, complete_table, options
from insphere.figures.ranks import rank_methods
from insphere.report.gallery import Plate


def heat_maps(material: Material) -> list[Plate]:
    """Heat map of datasets and options, and of classes and options for each dataset."""
    found = []
    if len(material.datasets) > 1:
        found.append(
            plate(
                material, material.runs, "heat", "Mean AUC over the classes",
                "Mean over classes and seeds. In brackets: classes measured, where others have "
                "more.",
                auc_heatmap.heat_map, auc_heatmap.heat_table(material.runs),
            )
        )  # fmt: skip
    for data in material.datasets:
        runs = material.on(data)
        if len(classes(runs)) > 1:
            found.append(
                plate(
                    material, runs, f"heat-{slug(data)}", f"{data}: AUC by class and option",
                    "Mean over seeds.", auc_heatmap.heat_map, auc_heatmap.heat_table(runs, "class"),
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
            "In per cent, a point for each run. Above the diagonal: rank correlation (Spearman); "
            "on it: density.",
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
            "which no label has touched. Contours hold 25, 50, 75 and 95 % of the density; it "
            "knows no limit at 100 %.",
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
