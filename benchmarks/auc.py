"""AUC of Deep SVDD over all ten classes: ``python benchmarks/auc.py SUITE --jobs 2``.

Each suite writes one line for each run to ``results/SUITE.jsonl`` as soon as the run is finished.
Started again, it continues where it was stopped. ``--table`` prints what is there.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from insphere.data.load import load_dataset
from insphere.experiments.published import published_auc
from insphere.experiments.rows import read_rows
from insphere.experiments.spec import RunSpec
from insphere.experiments.sweep import run_sweep
from insphere.experiments.tables import class_table

RESULTS = Path(__file__).parent / "results"
OBJECTIVES = ("one-class", "soft-boundary")
SUITES: dict[str, dict[str, Any]] = {
    "mnist-paper": {"dataset": "mnist", "recipe": "paper", "seeds": 2, "objectives": OBJECTIVES},
    "mnist-fast": {"dataset": "mnist", "recipe": "fast", "seeds": 2, "objectives": OBJECTIVES},
    "cifar10-fast": {
        "dataset": "cifar10", "recipe": "fast", "seeds": 1, "objectives": OBJECTIVES[:1],
    },
    "fashion-mnist-fast": {
        "dataset": "fashion-mnist", "recipe": "fast", "seeds": 1, "objectives": OBJECTIVES[:1],
    },
}  # fmt: skip


def specs_of(suite: str, classes: tuple[str, ...]) -> list[RunSpec]:
    """List the runs of a suite, seed by seed."""
    settings = SUITES[suite]
    return [
        RunSpec(
            dataset=settings["dataset"],
            normal=(name,),
            params={"recipe": settings["recipe"], "objective": objective},
            seed=seed,
        )
        for seed, name, objective in product(
            range(settings["seeds"]), classes, settings["objectives"]
        )
    ]


def main(
    suite: Annotated[str, typer.Argument(help=f"One of {', '.join(SUITES)}.")],
    jobs: Annotated[int, typer.Option(help="Processes, each with one thread.")] = 2,
    checkpoints: Annotated[Path, typer.Option(help="Folder of checkpoints.")] = Path("runs"),
    table: Annotated[bool, typer.Option("--table", help="Only print what is there.")] = False,
) -> None:
    """Run a suite, or continue it, and print its table."""
    rows = RESULTS / f"{suite}.jsonl"
    console = Console()
    if not table:
        classes = load_dataset(SUITES[suite]["dataset"]).class_names

        def report(row: dict[str, Any]) -> None:
            console.print(
                f"{row['normal'][0]:>12} seed {row['seed']} {row['params']['objective']:>13}: "
                f"AUC {100 * row['auc']:.2f} in {row['fit_seconds']:.0f} s"
            )

        run_sweep(
            specs_of(suite, classes), rows, checkpoints=checkpoints / suite, jobs=jobs,
            report=report,
        )  # fmt: skip
    console.print(class_table(read_rows(rows), published_auc(SUITES[suite]["dataset"])))


if __name__ == "__main__":
    typer.run(main)
