"""Tables of the page on processing options, from the rows in ``results/``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from insphere.experiments.analysis.ablation_results import AblationResults, arms_in, find
from insphere.experiments.analysis.ablation_study import OPT_IN
from insphere.experiments.analysis.ablation_summary import in_words, points
from insphere.experiments.analysis.ablation_table import across, by_class, summary, z_score_table
from insphere.experiments.analysis.text_table import Column, Layout, Text, markdown, markdown_grid
from insphere.experiments.runs.display_names import dataset_title
from insphere.experiments.runs.processing_options import OPTIONS
from insphere.experiments.store.jsonl_rows import read_rows

RESULTS = Path(__file__).parent / "results"
DATASETS = ("mnist", "fashion-mnist", "cifar10")
NOT_YET = "Not measured yet.\n"


def measured(dataset: str) -> AblationResults | None:
    """Return the results on a dataset; None if it was not measured."""
    rows = read_rows(RESULTS / f"{dataset}-ablation.jsonl")
    return find(rows, arms_in(rows))[0] if rows else None


def one_table(dataset: str, table: Callable[[AblationResults], Layout]) -> str:
    """Lay out one table of a dataset."""
    found = measured(dataset)
    return NOT_YET if found is None else markdown(table(found))


def at_a_glance() -> str:
    """Lay out all options on all datasets, with a sentence on what helps."""
    found = [one for one in map(measured, DATASETS) if one is not None]
    if not found:
        return NOT_YET
    words = "".join(f"- **{dataset_title(one.dataset)}**: {in_words(one)}\n" for one in found)
    return f"{markdown(across(found))}\n{words}"


def options() -> str:
    """List the options: name on the command line, group, what they do, assumed gain."""
    columns = [
        Column("name", words=True),
        Column("group", words=True),
        Column("what it is", words=True),
        Column("assumed gain"),
    ]
    lines = []
    for name, option in OPTIONS.items():
        what = f"{option.title}: {option.note}" if option.note else option.title
        assumed = "–" if option.assumed is None else points(option.assumed)
        shown = f"{name} *" if name in OPT_IN else name
        lines.append([Text(text) for text in (shown, option.group, what, assumed)])
    return markdown_grid(Layout("", "", "", columns, [lines]))


BLOCKS: dict[str, Callable[[], str]] = {
    "ablation": at_a_glance,
    "ablation-options": options,
} | {
    f"ablation-{dataset}-{name}": partial(one_table, dataset, table)
    for dataset in DATASETS
    for name, table in (("gains", summary), ("classes", by_class), ("z-score", z_score_table))
}
