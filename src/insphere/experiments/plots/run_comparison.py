"""Some runs of the store, compared: figures, tables and pages to take away."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from insphere import figures
from insphere.errors import DataError
from insphere.experiments.runs.run_builder import describe
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
from insphere.figures.measured import Measured, Runs, complete_table
from insphere.figures.points import Curve
from insphere.figures.points import roc as roc_points
from insphere.safe_text import csv_row

_COLUMNS = (
    *("run", "dataset", "normal", "method", "options", "seed", "auc", "average_precision"),
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


def measured(runs: Sequence[Run]) -> list[Measured]:
    """Turn finished runs into what figures are drawn from."""
    shares = (
        *("auc", "average_precision", "fpr_at_95_tpr", "recall", "false_alarm_rate", "f1"),
        "balanced_accuracy",
    )
    return [
        Measured(
            dataset=_short(run.dataset),
            normal=" + ".join(run.normal),
            option=describe(run.spec),
            seed=run.seed,
            values={k: v for k in shares if (v := getattr(run, k)) is not None},
            run=run.identity,
        )
        for run in runs
        if run.auc is not None
    ]


def draw(name: str, runs: Sequence[Run], files: RunFiles, *, printed: bool) -> Any:
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
    found = measured(runs)
    if not found:
        raise DataError("None of these runs is finished.")
    if name == "roc":
        return rooms.roc_curves(_rocs(runs, files))
    if name == "training":
        return rooms.training_lines(_histories(runs, files))
    drawers: Mapping[str, Callable[[], Any]] = {
        "classes": lambda: rooms.option_bars(found, baseline_name(found)),
        "changes": lambda: rooms.change_bars(found, baseline_name(found)),
        "histogram": lambda: rooms.auc_histogram(found),
        "violins": lambda: rooms.violins(found),
        "boxes": lambda: rooms.boxes(found),
        "heat": lambda: rooms.heat_map(auc_heatmap.heat_table(found, "class")),
        "space": lambda: rooms.auc_space(found),
        "radar": lambda: rooms.radar(found, baseline_name(found)),
        "joint": lambda: rooms.joint_density(relations.columns(found)),
        "pairs": lambda: rooms.pair_plot(relations.columns(found)),
        "ranks": lambda: rooms.critical_difference(_ranking(found)),
    }
    if name in ("classes", "changes") and len({run.dataset for run in found}) > 1:
        raise DataError("This figure compares runs on one dataset; select runs of one.")
    return drawers[name]()


def baseline_name(runs: Runs) -> str:
    """Return what others are compared with: plain Deep SVDD if it is there, else the first."""
    names = [run.option for run in runs]
    return "Deep SVDD" if "Deep SVDD" in names else names[0]


def groups(runs: Sequence[Run], by: str) -> list[dict[str, Any]]:
    """Summarise finished runs in groups.

    Parameters
    ----------
    runs : sequence of Run
        Any runs.
    by : {"method", "class", "dataset", "seed"}
        What the runs of a group have in common.

    Returns
    -------
    list of dict
        name, n, mean and std of the AUC (shares), and the identities; the best first.
    """
    keys: dict[str, Callable[[Run], str]] = {
        "method": lambda run: describe(run.spec),
        "class": lambda run: f"{_short(run.dataset)}: {' + '.join(run.normal)}",
        "dataset": lambda run: _short(run.dataset),
        "seed": lambda run: str(run.seed),
    }
    found: dict[str, list[Run]] = {}
    for run in runs:
        if run.auc is not None:
            found.setdefault(keys[by](run), []).append(run)
    rows = []
    for name, own in found.items():
        aucs = np.array([run.auc for run in own], np.float64)
        std = float(aucs.std(ddof=1)) if len(aucs) > 1 else None
        runs_ = [run.identity for run in own]
        rows.append({"name": name, "n": len(own), "mean": float(aucs.mean()), "std": std,
                     "runs": runs_})  # fmt: skip
    return sorted(rows, key=lambda row: -row["mean"])


def as_csv(runs: Sequence[Run]) -> str:
    """Write finished runs as a table."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for run in runs:
        if run.auc is None:
            continue
        row = run.row() | {"normal": " + ".join(run.normal), "options": describe(run.spec)}
        writer.writerow(csv_row(row.get(name, "") for name in _COLUMNS))
    return file.getvalue()


def as_page(runs: Sequence[Run], files: RunFiles) -> str:
    """Write finished runs with all figures that can be drawn of them as one HTML page."""
    body = [f"<tr>{''.join(f'<th>{title}</th>' for title in _HEADINGS)}</tr>"]
    for run in runs:
        if run.auc is None:
            continue
        values = (_short(run.dataset), " + ".join(run.normal), describe(run.spec), run.seed)
        cells = "".join(f"<td>{escape(str(value))}</td>" for value in values)
        body.append(f"<tr>{cells}<td class=r>{100 * run.auc:.2f}</td><td>{run.identity}</td></tr>")
    parts = []
    for name, title in FIGURES.items():
        try:
            drawn = draw(name, runs, files, printed=True)
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


def _rocs(runs: Sequence[Run], files: RunFiles) -> dict[str, Curve]:
    found: dict[str, Curve] = {}
    for name, run in _named(runs).items():
        try:
            curve = roc_points(*files.scores(run.identity))
        except DataError:
            continue
        if curve is not None:
            found[name] = curve
    if not found:
        raise DataError("The scores of these runs are not here, only their numbers.")
    return found


def _histories(runs: Sequence[Run], files: RunFiles) -> dict[str, list[dict[str, Any]]]:
    found = {name: files.history(run.identity) for name, run in _named(runs).items()}
    found = {name: history for name, history in found.items() if history}
    if not found:
        raise DataError("None of these methods is trained in epochs.")
    return found


def _named(runs: Sequence[Run]) -> dict[str, Run]:
    finished = [run for run in runs if run.auc is not None]
    if len(finished) > _CURVES:
        raise DataError(f"Select at most {_CURVES} runs to see their curves.")
    several = len({(run.dataset, tuple(run.normal), run.seed) for run in finished}) > 1
    named = {}
    for run in finished:
        name = describe(run.spec)
        if several:
            name += f", {' + '.join(run.normal)}, seed {run.seed}"
        named[name if name not in named else f"{name} ({run.identity})"] = run
    return named


def _ranking(runs: Runs) -> Any:
    names, _, table = complete_table(runs)
    return ranks.rank_methods(names, table)


def _short(dataset: str) -> str:
    """Return the name of a dataset, of a path its last part."""
    return dataset.replace("\\", "/").rsplit("/", 1)[-1].removesuffix(".npz")
