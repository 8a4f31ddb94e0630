"""Figures of all runs: heat maps, distributions, relations, ranks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from insphere.experiments.analysis.run_collection import RunCollection
from insphere.experiments.plots.figure_spec import Content, FigureSpec, NotEnough, on_screen
from insphere.figures import auc_heatmap, comparison, distributions, relations, space
from insphere.figures.measured import Measured, classes, complete_table, options
from insphere.figures.ranks import rank_methods

_FEW, _METRICS = "3 runs", "3 runs with all metrics"


def _heat_maps(collection: RunCollection) -> list[Content]:
    """Heat map of datasets and options, and of classes and options for each dataset."""
    found = []
    if len(collection.datasets) > 1:
        found.append(
            Content(
                (), "Mean AUC over the classes",
                "Mean over classes and seeds. In brackets: classes measured, where others have "
                "more.",
                collection.runs, (auc_heatmap.heat_table(collection.runs),),
            )
        )  # fmt: skip
    for data in collection.datasets:
        runs = collection.on(data)
        if len(classes(runs)) > 1:
            title = f"{data}: AUC by class and option"
            table = auc_heatmap.heat_table(runs, "class")
            found.append(Content((data,), title, "Mean over seeds.", runs, (table,)))
    return found


def _auc_space(collection: RunCollection) -> list[Content]:
    """Three-dimensional scatter of dataset, option and AUC."""
    if len(options(collection.runs)) < 2:
        return []
    caption = (
        "Small points are single runs, large ones the mean over classes, on a stem from the floor."
    )
    return [Content((), "AUC by dataset and option", caption, collection.runs, (collection.runs,))]


def _pair_plot(collection: RunCollection) -> list[Content]:
    """Pair plot of figures of merit."""
    shown = _with(collection, relations.PAIRED)
    return [
        Content(
            (), "Four figures of merit",
            "In per cent, a point for each run. Above the diagonal: rank correlation (Spearman); "
            "on it: density.",
            shown, (relations.columns(shown),),
        )
    ]  # fmt: skip


def _joint_density(collection: RunCollection) -> list[Content]:
    """Joint density of AUC and balanced accuracy."""
    values = ("auc", "balanced_accuracy")
    shown = _with(collection, values)
    return [
        Content(
            (), "Ranking and deciding",
            "AUC measures the order of the scores. Balanced accuracy measures the decisions at "
            "the threshold, which was set without labels. Contours contain 25, 50, 75 and 95 % "
            "of the estimated density, which can extend beyond 100 %.",
            shown, (relations.columns(shown, values),),
        )
    ]  # fmt: skip


def _radar(collection: RunCollection) -> list[Content]:
    """Radar of the best options, for each dataset."""
    found = []
    for data in collection.datasets:
        runs = collection.on(data)
        names = space.best_options(runs, collection.baseline) if len(classes(runs)) > 2 else []
        shown = [run for run in runs if run.option in names]
        if shown:
            caption = (
                "The baseline and the options with the highest mean AUC, in per cent. The scale"
                " does not start at zero."
            )
            title = f"{data}: the best by class"
            found.append(Content((data,), title, caption, shown, (shown, collection.baseline)))
    return found


def _critical_difference(collection: RunCollection) -> list[Content]:
    """Critical-difference diagram, for each dataset and for all."""
    parts = {data: collection.on(data) for data in collection.datasets}
    if len(parts) > 1:
        parts["all datasets"] = collection.runs
    found = []
    for data, runs in parts.items():
        names, blocks, table = complete_table(runs)
        if len(names) < 3 or len(blocks) < 2:
            continue
        shown = [run for run in runs if run.option in names]
        found.append(
            Content(
                (data,), f"Average ranks on {data}",
                "Options ranked by AUC in every class (mean over seeds). Options joined by a "
                "bar differ by less than the critical difference of Nemenyi's test at 5 %. The "
                "test assumes that classes are independent, which is not quite true of those of"
                " one dataset.",
                shown, (rank_methods(names, table),),
            )
        )  # fmt: skip
    return found


def _of_all(title: str, caption: str) -> Callable[[RunCollection], list[Content]]:
    """Return a function that finds one figure of all runs, if there are three of them."""

    def contents(collection: RunCollection) -> list[Content]:
        if len(collection.runs) < 3:
            return []
        return [Content((), title, caption, collection.runs, (collection.runs,))]

    return contents


HEAT = FigureSpec(
    "heat", "Heat map of AUCs", "two datasets, or two classes of one",
    _heat_maps, auc_heatmap.heat_map, on_screen("auc_heatmap.heat_map"),
    shows="heat map of datasets or classes, and options",
)  # fmt: skip
RANKS = FigureSpec(
    "ranks", "Critical-difference diagram", "three options on the same two or more classes",
    _critical_difference, comparison.critical_difference,
    on_screen("comparison.critical_difference"),
    shows="critical-difference diagram",
)  # fmt: skip
HISTOGRAM = FigureSpec(
    "histogram", "Histogram of AUCs", _FEW,
    _of_all(
        "AUCs of all runs", "How many runs reached which AUC. The dashed line is the median."
    ),
    distributions.auc_histogram, on_screen("distributions.auc_histogram"),
    shows="histogram of AUCs",
)  # fmt: skip
VIOLINS = FigureSpec(
    "violins", "Violin plot by option", _FEW,
    _of_all(
        "AUC by option",
        "Violins are Gaussian kernel densities between the lowest and the highest run. Points "
        "are single runs (classes and seeds), the line is the median. Sorted by median.",
    ),
    distributions.violins, on_screen("distributions.violins"),
    shows="violin plot of AUCs by option",
)  # fmt: skip
BOXES = FigureSpec(
    "boxes", "Box plot by option", _FEW,
    _of_all(
        "AUC by option",
        "Boxes contain the middle half of the runs (classes and seeds), their line is the "
        "median, and whiskers extend up to 1.5 times the length of the box. Sorted by median.",
    ),
    distributions.boxes, on_screen("distributions.boxes"),
    shows="box plot of AUCs by option",
)  # fmt: skip
SPACE = FigureSpec(
    "space", "AUC by dataset and option, 3-D", "two options", _auc_space, space.auc_space,
    on_screen("space.auc_space"),
    shows="dataset × option × AUC in three dimensions",
)  # fmt: skip
RADAR = FigureSpec(
    "radar", "Radar of the best options", "an option on three classes of a dataset", _radar,
    space.radar, on_screen("space.radar"),
    shows="radar of the best options, a spoke for each class",
)  # fmt: skip
PAIRS = FigureSpec(
    "pairs", "Pair plot of figures of merit", _METRICS, _pair_plot, relations.pair_plot,
    on_screen("relations.pair_plot"),
    shows="pair plot of four figures of merit",
)  # fmt: skip
JOINT = FigureSpec(
    "joint", "Joint density", _METRICS, _joint_density, relations.joint_density,
    on_screen("relations.joint_density"),
    shows="joint density of AUC and balanced accuracy",
)  # fmt: skip


def _with(collection: RunCollection, values: Sequence[str]) -> list[Measured]:
    shown = [run for run in collection.runs if all(value in run.values for value in values)]
    if len(shown) < 3:
        raise NotEnough(_METRICS)
    return shown
