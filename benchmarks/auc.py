"""AUC over all ten classes of a dataset: ``python benchmarks/auc.py SUITE --jobs 2``.

Each suite writes one line for each run to ``results/SUITE.jsonl`` as soon as the run is finished.
Started again, it continues where it was stopped. ``--table`` prints what is there.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from insphere.data.load import load_dataset
from insphere.experiments.analysis.class_table import class_table
from insphere.experiments.analysis.published_results import published_auc
from insphere.experiments.execution.engine import as_they_end, finished_rows, run_specs
from insphere.experiments.runs.spec import RunSpec
from insphere.experiments.store.jsonl_rows import read_rows
from insphere.experiments.store.run_record import Run
from insphere.experiments.store.run_store import Store

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Suite:
    """Which runs make a suite: every method on every class with every seed."""

    dataset: str
    methods: tuple[tuple[str, dict[str, Any]], ...]
    seeds: int = 1

    def specs(self, classes: tuple[str, ...]) -> list[RunSpec]:
        """List the runs, seed by seed."""
        return [
            RunSpec(dataset=self.dataset, normal=(name,), method=method, params=params, seed=seed)
            for seed, name, (method, params) in product(range(self.seeds), classes, self.methods)
        ]


def deep_svdd(recipe: str, *objectives: str) -> tuple[tuple[str, dict[str, Any]], ...]:
    """Name Deep SVDD with one recipe and some objectives."""
    return tuple(("deep-svdd", {"recipe": recipe, "objective": o}) for o in objectives)


CONTROLS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("untrained", {"recipe": "fast"}), ("knn", {}), ("oc-svm", {}), ("isolation-forest", {}),
)  # fmt: skip
SUITES = {
    "mnist-paper": Suite("mnist", deep_svdd("paper", "one-class", "soft-boundary"), seeds=2),
    "mnist-fast": Suite("mnist", deep_svdd("fast", "one-class", "soft-boundary"), seeds=2),
    "mnist-controls": Suite("mnist", CONTROLS),
    "fashion-mnist-fast": Suite("fashion-mnist", deep_svdd("fast", "one-class")),
    "fashion-mnist-controls": Suite("fashion-mnist", CONTROLS),
    "cifar10-fast": Suite("cifar10", deep_svdd("fast", "one-class")),
    "cifar10-controls": Suite("cifar10", CONTROLS),
}


def main(
    suite: Annotated[str, typer.Argument(help=f"One of {', '.join(SUITES)}.")],
    jobs: Annotated[int, typer.Option(help="Processes, each with one thread.")] = 2,
    checkpoints: Annotated[Path, typer.Option(help="Folder of checkpoints.")] = Path("runs"),
    table: Annotated[bool, typer.Option("--table", help="Only print what is there.")] = False,
) -> None:
    """Run a suite, or continue it, and print its table."""
    if suite not in SUITES:
        raise typer.BadParameter(f"Unknown suite {suite}; use one of {', '.join(SUITES)}.")
    rows = RESULTS / f"{suite}.jsonl"
    console = Console()
    if not table:
        classes = load_dataset(SUITES[suite].dataset).class_names

        def report(run: Run) -> None:
            what = run.params.get("objective", run.method)
            told = f"failed: {run.reason}"
            if run.auc is not None:
                told = f"AUC {100 * run.auc:.2f} in {run.fit_seconds:.0f} s"
            console.print(f"{run.normal[0]:>12} seed {run.seed} {what:>16}: {told}")

        runs = run_specs(
            SUITES[suite].specs(classes),
            Store(checkpoints / f"{suite}.sqlite"),
            jobs=jobs,
            threads=1,
            retry_failed=True,
            rows=rows,
            checkpoints=checkpoints / suite,
            watch=as_they_end(report),
        )
        finished_rows(runs)
    console.print(class_table(read_rows(rows), published_auc(SUITES[suite].dataset)))


if __name__ == "__main__":
    typer.run(main)
