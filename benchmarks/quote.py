"""Writes measured numbers into README and docs: ``python benchmarks/quote.py [--check]``.

Text between ``<!-- results: NAME -->`` and ``<!-- end -->`` is replaced by the table NAME, made
from the rows in ``results/``. With ``--check`` nothing is written, and the exit code is 1 if a page
says anything else than the data. The table of methods, and the names of their classes that
``insphere.detectors`` offers to type checkers, are made from the cards of the methods.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ablation_blocks import BLOCKS as ABLATION
from choosing_blocks import BLOCKS as CHOOSING
from deploy_blocks import BLOCKS as DEPLOY
from everyday_blocks import BLOCKS as EVERYDAY
from feature_blocks import BLOCKS as FEATURES
from feature_blocks import chosen_mean
from figure_blocks import BLOCKS as FIGURES
from graph_blocks import BLOCKS as GRAPHS
from inspection_blocks import BLOCKS as INSPECTION
from insphere.data.datasets.table import DATASETS, named_dataset
from insphere.experiments.analysis.class_table import auc_by_class
from insphere.experiments.analysis.collapse_study import summary
from insphere.experiments.analysis.published_results import published_auc
from insphere.experiments.store.jsonl_rows import read_rows
from method_blocks import BLOCKS as METHODS
from method_blocks import exports
from performance_blocks import BLOCKS as PERFORMANCE
from pretraining_blocks import ALIKE, mean_of
from pretraining_blocks import BLOCKS as PRETRAINING
from radius_blocks import BLOCKS as RADIUS
from series_blocks import BLOCKS as SERIES
from sign_blocks import BLOCKS as SIGNS
from structured_blocks import BLOCKS as STRUCTURED
from table1_blocks import BLOCKS as TABLE1
from table_blocks import BLOCKS as TABULAR
from tables_of_rows import markdown, spread
from text_blocks import BLOCKS as TEXTS
from threshold_blocks import BLOCKS as THRESHOLDS

HERE = Path(__file__).parent
RESULTS = HERE / "results"
PAGES = (HERE.parent / "README.md", *sorted((HERE.parent / "docs").glob("*.md")))
EXPORTS = HERE.parent / "src" / "insphere" / "detectors" / "__init__.py"
EXPORTED = re.compile(r"(of methods\.\n).*?(# end\n)", re.DOTALL)
BLOCK = re.compile(r"(<!-- results: (?P<name>[\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def seeds(rows: list[dict[str, Any]]) -> str:
    """Say how many seeds each class has, from the rows."""
    counts: dict[tuple[Any, ...], int] = {}
    for row in rows:
        key = (tuple(row["normal"]), row["params"]["objective"])
        counts[key] = counts.get(key, 0) + 1
    low, high = min(counts.values()), max(counts.values())
    return f"{low}" if low == high else f"{low} to {high}"


def columns_of(suite: str) -> list[tuple[str, Any]]:
    """Return the measured columns of a suite: title, and AUCs by class."""
    return list(auc_by_class(read_rows(RESULTS / f"{suite}.jsonl")).items())


def mnist() -> str:
    """Set the paper's recipe and the fast one beside the published AUCs, class by class."""
    parts = []
    for objective in ("one-class", "soft-boundary"):
        columns: list[tuple[str, Any]] = [("published", published_auc("mnist")[objective])]
        notes = []
        for recipe in ("paper", "fast"):
            rows = read_rows(RESULTS / f"mnist-{recipe}.jsonl")
            rows = [row for row in rows if row["params"]["objective"] == objective]
            if rows:
                columns.append((f"{recipe} recipe", auc_by_class(rows)[objective]))
                notes.append(f"{recipe} recipe: {len(rows)} runs, {seeds(rows)} seeds a class")
        parts.append(f"**{objective}** ({'; '.join(notes)})\n\n{class_rows(columns)}")
    return "\n".join(parts)


def single(dataset: str) -> str:
    """Show the fast recipe on one dataset, beside published AUCs where there are any."""
    published = published_auc(dataset).get("one-class")
    columns: list[tuple[str, Any]] = [("published", published)] if published else []
    columns += [("fast recipe", values) for _, values in columns_of(f"{dataset}-fast")]
    return class_rows(columns)


def controls(dataset: str) -> str:
    """Show what is always to be seen beside Deep SVDD."""
    return class_rows(columns_of(f"{dataset}-controls"))


def class_rows(columns: list[tuple[str, Any]]) -> str:
    """Lay out one line a class and one for the mean over classes."""
    names = list(dict.fromkeys(name for _, values in columns for name in values))
    order = [name for known in DATASETS for name in named_dataset(known).class_names]
    names.sort(key=order.index)
    lines = []
    for name in names:
        cells = [name]
        for _, values in columns:
            value = values.get(name, [])
            cells.append(f"{value:.1f}" if isinstance(value, float) else spread(value))
        lines.append(cells)
    means = ["**mean**"]
    for _, values in columns:
        if set(values) == set(names):
            means.append(f"**{np.mean([np.mean(v) for v in values.values()]):.2f}**")
        else:
            means.append(f"({len(values)} of {len(names)} classes)")
    return markdown(["normal class", *(title for title, _ in columns)], [*lines, means])


def mean_over_classes(suite: str, column: str) -> str:
    """Return the mean AUC over ten classes, or a dash while some are missing."""
    measured = dict(columns_of(suite)).get(column, {})
    if len(measured) < 10:
        return "–"
    return f"{np.mean([np.mean(values) for values in measured.values()]):.1f}"


def headline() -> str:
    """Show means over ten classes only: what the README's first page says."""
    rows = []
    for title, name, dataset in (
        ("MNIST, best recipe", "mnist", "mnist"),
        ("Fashion-MNIST, best recipe", "fashion-mnist", "fashion-mnist"),
        ("CIFAR-10, best recipe", "cifar10", "cifar10"),
        ("CIFAR-10, best recipe, 360 epochs", "360-epochs-cifar10", "cifar10"),
    ):
        measured = [mean_of(name, column) for column in ("best", "untrained", "pixels")]
        if measured[0] != "–" and "classes" not in measured[0]:
            best, untrained, blurred = ("–" if "classes" in mean else mean for mean in measured)
            ruler, compared = f"{blurred}, blurred", mean_of(name, ALIKE)
            if compared != "–":
                ruler += f"; {compared} beside images that look alike"
            beside = [untrained, ruler, chosen_mean(dataset)]
            rows.append([title, best, "–", *beside])
    for title, dataset, recipe, objective in (
        ("MNIST, paper's recipe", "mnist", "paper", "one-class"),
        ("MNIST, fast recipe", "mnist", "fast", "one-class"),
        ("MNIST, fast recipe, soft boundary", "mnist", "fast", "soft-boundary"),
        ("Fashion-MNIST, fast recipe", "fashion-mnist", "fast", "one-class"),
        ("CIFAR-10, fast recipe", "cifar10", "fast", "one-class"),
    ):
        measured = mean_over_classes(f"{dataset}-{recipe}", objective)
        if measured == "–":
            continue
        published = published_auc(dataset).get(objective)
        reference = f"{np.mean(list(published.values())):.1f}" if published else "–"
        beside = [mean_over_classes(f"{dataset}-controls", c) for c in ("untrained", "knn")]
        rows.append([title, measured, reference, *beside, chosen_mean(dataset)])
    header = [
        *("mean AUC over ten classes, %", "Deep SVDD", "published", "untrained", "2-NN, pixels"),
        "10-NN, pretrained",
    ]
    return markdown(header, rows)


def calibration(scheme: str) -> str:
    """Show the mean false-alarm rate that each detector kept, by the rate that was wanted."""
    rows = [row for row in read_rows(RESULTS / "calibration.jsonl") if row["scheme"] == scheme]
    alphas = sorted({row["alpha"] for row in rows})
    lines = []
    for name in dict.fromkeys(row["detector"] for row in rows):
        cells = [name]
        for alpha in alphas:
            row = next(r for r in rows if (r["detector"], r["alpha"]) == (name, alpha))
            mean, error = row["mean_false_alarm_rate"], row["standard_error"]
            cells.append(f"{100 * mean:.2f} ± {100 * error:.2f}")
        lines.append(cells)
    return markdown(["false alarms, %, wanted at most", *(f"{100 * a:g}" for a in alphas)], lines)


MAPS = {
    "own": "its own map",
    "gradient": "gradient × input",
    "integrated-gradients": "integrated gradients",
    "occlusion": "occlusion",
}


def heat() -> str:
    """Show how well each map finds known damage, and how faithful it is, the best first."""
    lines = []
    for row in read_rows(RESULTS / "heat.jsonl"):
        kinds = row["kinds"].values()
        auc, pointing = (
            100 * float(np.mean([values[key] for values in kinds]))
            for key in ("pixel_auc", "pointing")
        )
        cells = [
            f"{auc:.1f}",
            f"{pointing:.0f}",
            f"{row['deletion']:.2f}",
            f"{row['insertion']:.2f}",
        ]
        lines.append((auc, [f"{row['title']}: {MAPS[row['map']]}", *cells]))
    lines.sort(key=lambda line: -line[0])
    header = ["map", "pixel AUC, %", "pointing, %", "deletion", "insertion"]
    return markdown(header, [cells for _, cells in lines])


def collapse(batch_norm: bool) -> str:
    """Show what became of radius and AUC, and what the guard does, over seeds."""
    rows = read_rows(RESULTS / "collapse.jsonl")
    rows = [row for row in rows if row["batch_norm"] == batch_norm]
    lines = []
    for name in dict.fromkeys(row["scenario"] for row in rows):
        summaries = [summary(row) for row in rows if row["scenario"] == name]
        radius = float(np.exp(np.mean([np.log(max(t["radius_share"], 1e-12)) for t in summaries])))
        stopped = [t["guard_epoch"] for t in summaries if t["guard_epoch"] is not None]
        guard = "refuses to build it" if summaries[0]["refused"] else "nothing to stop"
        if stopped:
            guard += f"; would stop {len(stopped)} of {len(summaries)} from epoch {min(stopped)} on"
        cells = [spread([100 * t[key] for t in summaries]) for key in ("auc_start", "auc_end")]
        rank = f"{np.mean([t['effective_rank'] for t in summaries]):.1f}"
        lines.append([summaries[0]["title"], f"{radius:.2g}", *cells, rank, guard])
    header = ["network", "radius, of its start", "AUC before, %", "AUC after, %", "directions"]
    return markdown([*header, "guard"], lines)


TABLES: dict[str, Callable[[], str]] = {
    "headline": headline,
    "mnist": mnist,
    "fashion-mnist": lambda: single("fashion-mnist"),
    "cifar10": lambda: single("cifar10"),
    "calibration-split": lambda: calibration("split"),
    "calibration-cross": lambda: calibration("cross"),
    "heat": heat,
    "collapse": lambda: collapse(False),
    "collapse-batch-norm": lambda: collapse(True),
    "mnist-controls": lambda: controls("mnist"),
    "fashion-mnist-controls": lambda: controls("fashion-mnist"),
    "cifar10-controls": lambda: controls("cifar10"),
    **ABLATION,
    **DEPLOY,
    **FEATURES,
    **INSPECTION,
    **METHODS,
    **FIGURES,
    **CHOOSING,
    **EVERYDAY,
    **PERFORMANCE,
    **PRETRAINING,
    **SERIES,
    **SIGNS,
    **TABULAR,
    **STRUCTURED,
    **RADIUS,
    **TABLE1,
    **TEXTS,
    **GRAPHS,
    **THRESHOLDS,
}


def quoted(text: str) -> str:
    """Replace every block of a page by what the data says."""
    return BLOCK.sub(lambda m: f"{m[1]}\n{TABLES[m['name']]()}\n{m[3]}", text)


def main() -> int:
    """Rewrite the pages, and what type checkers read of the methods, or check them."""
    wanted = {page: quoted(page.read_text()) for page in PAGES}
    wanted[EXPORTS] = EXPORTED.sub(lambda m: m[1] + exports() + m[2], EXPORTS.read_text())
    stale = [page for page, text in wanted.items() if text != page.read_text()]
    for page in stale:
        print(f"{page.name}: differs from the data")
        if "--check" not in sys.argv:
            page.write_text(wanted[page])
    return int(bool(stale) and "--check" in sys.argv)


if __name__ == "__main__":
    raise SystemExit(main())
