"""AUC and loss by epoch: ``python benchmarks/epochs.py``, about a quarter of an hour.

Deep SVDD on the embedded MNIST digits, one after the other. Each finished run is one line of
``results/mnist-5k-epochs.jsonl``, a row like any other with the history of its training beside it.
Started again, it continues where it was stopped.
"""

from __future__ import annotations

from pathlib import Path

from insphere.data.load import load_dataset
from insphere.experiments.runs.auc_by_epoch import run_with_auc
from insphere.experiments.runs.spec import RunSpec
from insphere.experiments.store.jsonl_rows import append_row, read_rows

ROWS = Path(__file__).parent / "results" / "mnist-5k-epochs.jsonl"
CHECKPOINTS = Path("runs") / "mnist-5k-epochs"
KEPT = ("phase", "epoch", "loss", "radius", "outside", "auc")


def main() -> None:
    """Run all ten digits."""
    data = load_dataset("mnist-5k")
    there = {row["run"] for row in read_rows(ROWS)}
    for name in data.class_names:
        spec = RunSpec(
            dataset="mnist-5k", normal=(name,), params={"recipe": "fast", "objective": "one-class"}
        )
        if spec.identity in there:
            continue
        result, history = run_with_auc(spec, data, CHECKPOINTS / spec.identity)
        told = [{key: record[key] for key in KEPT if key in record} for record in history]
        append_row(ROWS, result.row() | {"history": told})
        print(f"{name}: AUC {100 * result.evaluation.auc:.2f} % in {result.fit_seconds:.0f} s")


if __name__ == "__main__":
    main()
