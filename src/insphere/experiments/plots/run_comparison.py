"""Some runs of the store, compared: in groups, as a table and as a page to take away."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import numpy as np

from insphere import figures
from insphere.errors import DataError
from insphere.experiments.analysis.run_collection import selected_runs
from insphere.experiments.plots.catalogue import FIGURES, plan
from insphere.experiments.runs.run_builder import describe
from insphere.experiments.store.run_files import RunFiles
from insphere.experiments.store.run_record import Run

_COLUMNS = (
    *("run", "dataset", "normal", "method", "options", "seed", "auc", "average_precision"),
    *("fpr_at_95_tpr", "threshold", "false_alarm_rate", "recall", "n_train", "n_normal"),
    *("n_anomalous", "fit_seconds", "score_seconds"),
)


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
        writer.writerow([row.get(name, "") for name in _COLUMNS])
    return file.getvalue()


def as_page(runs: Sequence[Run], files: RunFiles) -> str:
    """Write finished runs with all figures that can be drawn of their numbers as one HTML page."""
    body = [f"<tr>{''.join(f'<th>{title}</th>' for title in _HEADINGS)}</tr>"]
    for run in runs:
        if run.auc is None:
            continue
        values = (_short(run.dataset), " + ".join(run.normal), describe(run.spec), run.seed)
        cells = "".join(f"<td>{escape(str(value))}</td>" for value in values)
        body.append(f"<tr>{cells}<td class=r>{100 * run.auc:.2f}</td><td>{run.identity}</td></tr>")
    parts = []
    light = [spec.key for spec in FIGURES if not spec.pictures]
    for planned in plan(selected_runs(runs, files), light)[0]:
        try:
            svg = figures.to_inline_svg(planned.draw(), prefix=planned.name, alt=planned.title)
        except DataError:
            continue
        said = f"<p>{escape(planned.caption)}</p>"
        parts.append(f"<section><h2>{escape(planned.title)}</h2>{svg}{said}</section>")
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


def _short(dataset: str) -> str:
    """Return the name of a dataset, of a path its last part."""
    return dataset.replace("\\", "/").rsplit("/", 1)[-1].removesuffix(".npz")
