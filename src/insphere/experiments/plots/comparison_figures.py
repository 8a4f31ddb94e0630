"""Figures that compare options with the baseline, and measured with published results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from insphere.experiments.analysis.published_results import published_column, published_table
from insphere.experiments.analysis.run_collection import RunCollection
from insphere.experiments.plots.figure_spec import Content, FigureSpec, NotEnough, on_screen
from insphere.experiments.runs.display_names import option_keys, options_of
from insphere.experiments.runs.processing_options import OPTIONS
from insphere.experiments.runs.spec import RunSpec
from insphere.figures import bars, gains
from insphere.figures.bars import Pair
from insphere.figures.measured import Measured, Spread, by_class, options, select_runs

_PAIRED = "runs of two options with the same class and seed"


def _option_bars(collection: RunCollection) -> list[Content]:
    """Bars of baseline and option, for each dataset."""
    return [
        Content(
            (data,), f"{data}: AUC by normal class",
            f"Grey: {baseline}. Blue: the option named above the panel. Bars start at chance, 50"
            " %. Lines are one standard deviation over seeds.",
            runs, (runs, baseline),
        )
        for data, runs, baseline in _compared(collection)
    ]  # fmt: skip


def _change_bars(collection: RunCollection) -> list[Content]:
    """Bars of the change, for each dataset."""
    return [
        Content(
            (data,), f"{data}: change against {baseline}",
            "Points of AUC gained or lost by class. Each run is compared with the run of the "
            "baseline with the same class and seed. Dots are single seeds, the dashed line is "
            "the mean over classes. Every panel has its own scale.",
            runs, (runs, baseline),
        )
        for data, runs, baseline in _compared(collection)
        if gains.mean_gains(runs, baseline)
    ]  # fmt: skip


def _gain_bars(collection: RunCollection) -> list[Content]:
    """Mean change of each option with its interval, for each dataset."""
    found = []
    for data, runs, baseline in _compared(collection):
        assumed = assumed_gains(collection, runs)
        shown = gains.mean_gains(runs, baseline, assumed)
        if not shown:
            continue
        diamonds = " Diamonds are gains that were assumed, not measured." if assumed else ""
        caption = (
            "Mean change over classes in points of AUC, paired by class and seed, with the 95 % "
            f"interval of the mean (Student's t, one value a class).{diamonds}"
        )
        title = f"{data}: mean change against {baseline}"
        found.append(Content((data,), title, caption, runs, (shown,)))
    return found


def assumed_gains(collection: RunCollection, runs: Sequence[Measured]) -> dict[str, float]:
    """Return the gains in points that were assumed of single options, by the name of the option."""
    found = {}
    for run in runs:
        row = collection.by_run[run.run]
        known = option_keys(row["params"]) if row["method"] == "deep-svdd" else ()
        if len(known) == 1:
            assumed = OPTIONS[known[0]].assumed
            if assumed is not None:
                found[run.option] = 100 * assumed
    return found


def _published_bars(collection: RunCollection) -> list[Content]:
    """Bars of published and measured AUCs, for each dataset."""
    found = []
    for data in collection.datasets:
        shown, used = [], []
        for name in options(collection.on(data)):
            runs = select_runs(collection.on(data), option=name)
            published = _published(collection.by_run[runs[0].run])
            if published:
                measured = by_class(runs)
                beside = {k: v for k, v in published.items() if k in measured}
                shown.append(Pair(name, beside, measured))
                used += runs
        if used:
            found.append(
                Content(
                    (data,), f"{data}: published and measured",
                    "Grey: published by Ruff et al. 2018 (mean and standard deviation over ten "
                    "seeds). Blue: measured here.",
                    used, (shown,),
                )
            )  # fmt: skip
    return found


BARS = FigureSpec(
    "bars", "AUC by class", "runs of plain Deep SVDD and of another option",
    _option_bars, bars.option_bars, on_screen("bars.option_bars"), formerly=("classes",),
    shows="bars of baseline and option by class",
)  # fmt: skip
CHANGE = FigureSpec(
    "change", "Paired differences by class", _PAIRED,
    _change_bars, bars.change_bars, on_screen("bars.change_bars"), formerly=("changes",),
    shows="bars of the change by class, paired by seed",
)  # fmt: skip
GAINS = FigureSpec(
    "gains", "Mean gain of each option", _PAIRED, _gain_bars, gains.gain_bars,
    on_screen("gains.gain_bars"),
    shows="mean change with its interval, beside what was assumed",
)  # fmt: skip
PUBLISHED = FigureSpec(
    "published", "Published and measured", "runs of a method and on a dataset of the paper",
    _published_bars, bars.published_bars, on_screen("bars.published_bars"),
    shows="published and measured AUC by class",
)  # fmt: skip


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


def _compared(collection: RunCollection) -> list[tuple[str, list[Measured], str]]:
    """Return data sets with a baseline and another option."""
    baseline = collection.baseline
    if baseline is None:
        raise NotEnough("runs of plain Deep SVDD, or another --baseline")
    found = [
        (data, collection.on(data), baseline)
        for data in collection.datasets
        if baseline in (names := options(collection.on(data))) and len(names) > 1
    ]
    if not found:
        raise NotEnough(f"runs of another option than {baseline}")
    return found
