"""Comparison of selected runs: in groups, as CSV and as an HTML page."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from html import escape
from typing import Any

from insphere import figures
from insphere.errors import DataError
from insphere.experiments.analysis.run_collection import selected_runs
from insphere.experiments.plots.catalogue import figure_specs, plan
from insphere.experiments.runs.display_names import (
    dataset_titles,
    distinct_runs,
    measured_runs,
    normal_title,
    run_names,
)
from insphere.experiments.store.run_files import RunFiles
from insphere.experiments.store.run_record import Run
from insphere.figures.measured import Measured, over_classes
from insphere.safe_text import csv_row

_COLUMNS = (
    *("run", "dataset", "normal", "method", "name", "seed", "auc", "average_precision"),
    *("fpr_at_95_tpr", "threshold", "false_alarm_rate", "recall", "n_train", "n_normal"),
    *("n_anomalous", "fit_seconds", "score_seconds"),
)


def groups(runs: Sequence[Run], by: str, among: Sequence[Run] = ()) -> list[dict[str, Any]]:
    """Summarise finished runs in groups that differ in nothing but class and seed.

    Runs with different settings or data sets are never averaged: each has its own group. The mean
    is that of the means of the classes, and its standard deviation is that over seeds; see
    `over_classes`.

    Parameters
    ----------
    runs : sequence of Run
        Any runs.
    by : {"method", "class", "dataset", "seed"}
        Arrangement of the groups. With "class" a group has one class, with "seed" one seed.
    among : sequence of Run
        Further runs from which the names must differ.

    Returns
    -------
    list of dict
        name, n, mean and std of the AUC (shares; std is None for one seed), and the identities.
        By "method" and "class" the best first, else in the order of data sets or seeds.
    """
    found: dict[tuple[str, str, Any], list[Measured]] = {}
    finished = distinct_runs(run for run in runs if run.auc is not None)
    for one in measured_runs([run.row() for run in finished], [*among, *runs]):
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
    """Return finished runs as CSV; for `among` see `groups`."""
    names = run_names([*among, *runs])
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for run in runs:
        if run.auc is None:
            continue
        row = run.row() | {"normal": normal_title(run.normal), "name": names[run.identity]}
        writer.writerow(csv_row(row.get(name, "") for name in _COLUMNS))
    return file.getvalue()


def as_page(runs: Sequence[Run], files: RunFiles, among: Sequence[Run] = ()) -> str:
    """Return finished runs with all figures of their numbers as one HTML page.

    `among` are further runs from which the names must differ.
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
    light = [spec.key for spec in figure_specs() if not spec.pictures]
    for planned in plan(selected_runs(runs, files, among), light)[0]:
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
