"""Some runs of the store, compared: figures, tables and pages to take away."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

from insphere import figures
from insphere.errors import DataError
from insphere.experiments.runs.display_names import (
    dataset_titles,
    distinct_runs,
    measured_runs,
    normal_title,
    plain_baseline,
    run_names,
)
from insphere.experiments.store.run_files import RunFiles
from insphere.experiments.store.run_record import Run
from insphere.figures import (
    auc_heatmap,
    bars,
    comparison,
    distributions,
    epochs,
    ranks,
    relations,
    space,
)
from insphere.figures.measured import Measured, Runs, complete_table, over_classes
from insphere.figures.points import Curve
from insphere.figures.points import roc as roc_points

_COLUMNS = (
    *("run", "dataset", "normal", "method", "name", "seed", "auc", "average_precision"),
    *("fpr_at_95_tpr", "threshold", "false_alarm_rate", "recall", "n_train", "n_normal"),
    *("n_anomalous", "fit_seconds", "score_seconds"),
)
_CURVES = 6  # runs whose curves still can be told apart

#: Name and title of each figure, in the order in which they are offered.
FIGURES = {
    "classes": "AUC by class",
    "changes": "Paired differences",
    "roc": "ROC curves",
    "training": "Training",
    "heat": "Heat map",
    "boxes": "Spread",
    "violins": "Distribution",
    "histogram": "Histogram of AUCs",
    "space": "AUC space",
    "radar": "Best options",
    "joint": "Joint density",
    "pairs": "Pair plot",
    "ranks": "Critical difference",
}


def measured(runs: Sequence[Run], among: Sequence[Run] = ()) -> list[Measured]:
    """Turn finished runs into what figures are drawn from, each once.

    Parameters
    ----------
    runs : sequence of Run
        Any runs.
    among : sequence of Run
        Further runs from which the names tell these apart; see `run_names`.
    """
    finished = [run for run in runs if run.auc is not None]
    return measured_runs([run.row() for run in distinct_runs(finished)], [*among, *runs])


def draw(
    name: str, runs: Sequence[Run], files: RunFiles, *, printed: bool, among: Sequence[Run] = ()
) -> Any:
    """Draw one of `FIGURES`.

    Parameters
    ----------
    name : str
        Which.
    runs : sequence of Run
        Finished runs.
    files : RunFiles
        Their files.
    printed : bool
        As a Matplotlib figure; else as one of Plotly.
    among : sequence of Run
        Further runs from which the names tell these apart.

    Raises
    ------
    DataError
        If these runs do not make this figure; the message says what it needs.
    """
    if name not in FIGURES:
        raise DataError(f"There is no figure called {name[:40]!r}.")
    if printed:
        rooms: Any = _Printed
    else:
        from insphere.figures import interactive as rooms
    found = measured(runs, among)
    if not found:
        raise DataError("None of these runs is finished.")
    if name == "roc":
        return rooms.roc_curves(_rocs(runs, files, among))
    if name == "training":
        return rooms.training_lines(_histories(runs, files, among))
    baseline = baseline_name(runs, found)
    drawers: Mapping[str, Callable[[], Any]] = {
        "classes": lambda: rooms.option_bars(found, baseline),
        "changes": lambda: rooms.change_bars(found, baseline),
        "histogram": lambda: rooms.auc_histogram(found),
        "violins": lambda: rooms.violins(found),
        "boxes": lambda: rooms.boxes(found),
        "heat": lambda: rooms.heat_map(auc_heatmap.heat_table(found, "class")),
        "space": lambda: rooms.auc_space(found),
        "radar": lambda: rooms.radar(found, baseline),
        "joint": lambda: rooms.joint_density(relations.columns(found)),
        "pairs": lambda: rooms.pair_plot(relations.columns(found)),
        "ranks": lambda: rooms.critical_difference(_ranking(found)),
    }
    if name in ("classes", "changes") and len({run.dataset for run in found}) > 1:
        raise DataError("This figure compares runs on one dataset; select runs of one.")
    return drawers[name]()


def baseline_name(runs: Sequence[Run], found: Runs) -> str:
    """Return what others are compared with: plain Deep SVDD if it is there, else the first."""
    names = {run.run: run.option for run in found}
    own = [run for run in runs if run.identity in names]
    return plain_baseline(own, names) or found[0].option


def groups(runs: Sequence[Run], by: str, among: Sequence[Run] = ()) -> list[dict[str, Any]]:
    """Summarise finished runs in groups that differ in nothing but class and seed.

    Runs of different settings or data sets are never averaged: each has a group of its own,
    whatever the groups are arranged by. The mean is that of the classes' means, and its standard
    deviation is taken over seeds; see `over_classes`.

    Parameters
    ----------
    runs : sequence of Run
        Any runs.
    by : {"method", "class", "dataset", "seed"}
        By what the groups are arranged. By "class" a group has one class, by "seed" one seed.
    among : sequence of Run
        Further runs from which the names tell these apart.

    Returns
    -------
    list of dict
        name, n, mean and std of the AUC (shares; std is None for one seed), and the identities.
        By "method" and "class" the best first, else in the order of data sets or seeds.
    """
    found: dict[tuple[str, str, Any], list[Measured]] = {}
    for one in measured(runs, among):
        detail = {"class": one.normal, "seed": one.seed}.get(by)
        found.setdefault((one.dataset, one.option, detail), []).append(one)
    several = len({dataset for dataset, _, _ in found}) > 1
    rows: list[tuple[Any, dict[str, Any]]] = []
    for (dataset, option, detail), own in found.items():
        spread = over_classes(own)
        place = dataset if several or by == "dataset" else ""
        words = {
            "method": (option, place),
            "class": (f"{place}: {detail}" if place else detail, option),
            "dataset": (place, option),
            "seed": (f"seed {detail}", option, place),
        }[by]
        order = {"dataset": dataset, "seed": own[0].seed}.get(by, 0)
        rows.append((order, {
            "name": ", ".join(word for word in words if word),
            "n": len(own),
            "mean": spread.mean / 100,
            "std": None if spread.std is None else spread.std / 100,
            "runs": [one.run for one in own],
        }))  # fmt: skip
    rows.sort(key=lambda row: (row[0], -row[1]["mean"]))
    return [row for _, row in rows]


def as_csv(runs: Sequence[Run], among: Sequence[Run] = ()) -> str:
    """Write finished runs as a table; `among` as in `measured`."""
    names = run_names([*among, *runs])
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for run in runs:
        if run.auc is None:
            continue
        row = run.row() | {"normal": normal_title(run.normal), "name": names[run.identity]}
        writer.writerow([row.get(name, "") for name in _COLUMNS])
    return file.getvalue()


def as_page(runs: Sequence[Run], files: RunFiles, among: Sequence[Run] = ()) -> str:
    """Write finished runs with all figures that can be drawn of them as one HTML page.

    `among` is as in `measured`.
    """
    names = run_names([*among, *runs])
    titles = dataset_titles(run.dataset for run in [*among, *runs])
    body = [f"<tr>{''.join(f'<th>{title}</th>' for title in _HEADINGS)}</tr>"]
    for run in runs:
        if run.auc is None:
            continue
        name = names[run.identity]
        values = (titles[run.dataset], normal_title(run.normal), name, run.seed)
        cells = "".join(f"<td>{escape(str(value))}</td>" for value in values)
        body.append(f"<tr>{cells}<td class=r>{100 * run.auc:.2f}</td><td>{run.identity}</td></tr>")
    parts = []
    for name, title in FIGURES.items():
        try:
            drawn = draw(name, runs, files, printed=True, among=among)
        except DataError:
            continue
        svg = figures.to_inline_svg(drawn, prefix=name, alt=title)
        parts.append(f"<section><h2>{escape(title)}</h2>{svg}</section>")
    return _PAGE.format(rows="\n".join(body), figures="\n".join(parts), count=len(body) - 1)


_HEADINGS = ("dataset", "normal", "method", "seed", "AUC, %", "run")
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Runs compared</title><style>
:root {{ --fig-ink:#24292f; --fig-muted:#656d76; --fig-grid:#e4e7eb; --fig-paper:#fff;
  --fig-normal:#0072b2; --fig-anomalous:#d55e00; --fig-accent:#007a5a; }}
body {{ font: 15px/1.5 system-ui, sans-serif; color: #191d21; max-width: 60rem; margin: 3rem auto;
  padding: 0 1rem; font-variant-numeric: tabular-nums; }}
table {{ border-collapse: collapse; width: 100%; }} th, td {{ text-align: left; padding: .3rem .8rem
  .3rem 0; border-bottom: 1px solid #e2e3de; }} .r {{ text-align: right; }}
svg {{ max-width: 100%; height: auto; }} h2 {{ margin-top: 2.5rem; font-size: 1.1rem; }}
</style></head><body><h1>{count} runs compared</h1><table>{rows}</table>{figures}</body></html>
"""


class _Printed:
    """The printed figures under the names that those for the screen have."""

    option_bars = staticmethod(bars.option_bars)
    change_bars = staticmethod(bars.change_bars)
    auc_histogram = staticmethod(distributions.auc_histogram)
    violins = staticmethod(distributions.violins)
    boxes = staticmethod(distributions.boxes)
    heat_map = staticmethod(auc_heatmap.heat_map)
    auc_space = staticmethod(space.auc_space)
    radar = staticmethod(space.radar)
    joint_density = staticmethod(relations.joint_density)
    pair_plot = staticmethod(relations.pair_plot)
    critical_difference = staticmethod(comparison.critical_difference)
    training_lines = staticmethod(epochs.training_lines)

    @staticmethod
    def roc_curves(curves: Mapping[str, Curve]) -> Any:
        """Draw ROC curves."""
        from insphere.figures.curves import roc_curves

        return roc_curves(curves)


def _rocs(runs: Sequence[Run], files: RunFiles, among: Sequence[Run]) -> dict[str, Curve]:
    found: dict[str, Curve] = {}
    for name, run in _named(runs, among).items():
        try:
            curve = roc_points(*files.scores(run.identity))
        except DataError:
            continue
        if curve is not None:
            found[name] = curve
    if not found:
        raise DataError("The scores of these runs are not here, only their numbers.")
    return found


def _histories(
    runs: Sequence[Run], files: RunFiles, among: Sequence[Run]
) -> dict[str, list[dict[str, Any]]]:
    found = {name: files.history(run.identity) for name, run in _named(runs, among).items()}
    found = {name: history for name, history in found.items() if history}
    if not found:
        raise DataError("None of these methods is trained in epochs.")
    return found


def _named(runs: Sequence[Run], among: Sequence[Run]) -> dict[str, Run]:
    finished = distinct_runs(run for run in runs if run.auc is not None)
    if len(finished) > _CURVES:
        raise DataError(f"Select at most {_CURVES} runs to see their curves.")
    names = run_names([*among, *runs])
    titles = dataset_titles(run.dataset for run in [*among, *runs])
    several = len({(run.dataset, tuple(run.normal), run.seed) for run in finished}) > 1
    named = {}
    for run in finished:
        name = names[run.identity]
        if len({run.dataset for run in finished}) > 1:
            name += f", {titles[run.dataset]}"
        if several:
            name += f", {normal_title(run.normal)}, seed {run.seed}"
        named[name] = run
    return named


def _ranking(runs: Runs) -> Any:
    names, _, table = complete_table(runs)
    return ranks.rank_methods(names, table)
