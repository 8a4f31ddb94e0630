"""Self-supervised pretraining beside what it has to beat: ``python benchmarks/pretraining.py SET``.

For each class of MNIST, Fashion-MNIST or CIFAR-10 and each seed one row is appended to
``results/pretraining-SET.jsonl``: the AUC of the best recipe, of each part of its head alone, and
of nearest neighbours on blurred pixels. All parts are measured on one pretrained encoder. With
``--untrained`` rows of ``results/pretraining-untrained-SET.jsonl`` hold the control, the same
network and head without training (some rows of the first kind hold it too). With ``--sphere`` rows
of ``results/pretraining-sphere-SET.jsonl`` say what a sphere on this encoder adds over distances in
the same representation. With ``--epochs N`` rows of ``results/pretraining-N-epochs-SET.jsonl`` say
what longer pretraining brings. With ``--plain`` rows of
``results/pretraining-plain-SET.jsonl`` have a head that compares no image with those that look
alike. Started again, it continues where it was stopped.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from insphere.data.load import load_dataset
from insphere.data.split import OneClassSplit
from insphere.detectors import DeepSVDD, KNNDetector
from insphere.detectors.base.network_state import batched
from insphere.detectors.spheres.untrained import UntrainedDeepSVDD
from insphere.experiments.store.jsonl_rows import append_row, read_rows
from insphere.training.batch import Batch
from insphere.training.heads.combined import Combined, in_batches
from insphere.training.heads.ellipsoid import EllipsoidSpec
from insphere.training.heads.neighbors import NeighborsSpec
from insphere.versions import versions
from pretraining_blocks import ALIKE

RESULTS = Path(__file__).parent / "results"
SETS = ("mnist", "fashion-mnist", "cifar10")
PARTS = ("surprise", "ellipsoid", "neighbors", "pixels")
COMPARED = {"pixels": ALIKE}
"""Names of parts that are compared with what is usual, where the name itself is the plain one."""
SPHERES: dict[str, dict[str, Any]] = {"pretrained": {"epochs": 0}, "and a sphere trained": {}}
"""What happens to the encoder before its representations are enclosed."""


def auc(truth: np.ndarray, scores: np.ndarray) -> float:
    """Return an AUC for a row."""
    return round(float(roc_auc_score(truth, scores)), 5)


def parts_of(detector: DeepSVDD, X: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Return the AUC of the score and of each of its parts, from one pass.

    Parts are compared with what is usual for images that look alike if the head does so. "pixels"
    are the distances as they are, which is what `KNNDetector(blur=1.0)` has.
    """
    head = detector.sphere_.head
    assert isinstance(head, Combined)

    makers: list[Callable[[torch.Tensor], torch.Tensor]] = [head.parts]
    names = ["best", *head.names]
    if head.usual is not None:
        makers = [head.standardised, head.parts]
        compared = [COMPARED.get(name, name) for name in head.names]
        plain = [name if name in COMPARED else f"{name} as it is" for name in head.names]
        names = ["best", *compared, *plain]

    def all_of(x: torch.Tensor) -> torch.Tensor:
        rows = detector._scorer.represent(x)
        return torch.cat([head(rows)[:, None], *(make(rows) for make in makers)], dim=1)

    columns = batched(X, all_of, detector._scorer, detector.precision).T
    return {name: auc(truth, column) for name, column in zip(names, columns, strict=True)}


def untrained(data: Any, name: str, seed: int) -> dict[str, Any]:
    """Measure the network and head of the best recipe without training."""
    split = OneClassSplit(data, name, random_state=seed)
    detector = UntrainedDeepSVDD(recipe="best", random_state=seed, contamination=0.05)
    found = parts_of(detector.fit(split.X_train), split.X_test, split.truth)
    values = {
        "untrained" if part == "best" else f"untrained {part}": a for part, a in found.items()
    }
    return {"set": data.name, "normal": name, "seed": seed, "auc": values}


def measured(
    data: Any,
    name: str,
    seed: int,
    chosen: dict[str, Any],
    checkpoints: Path,
    epochs: int | None = None,
) -> dict[str, Any]:
    """Measure one class with one seed; `chosen` and `epochs` replace what the recipe has."""
    split = OneClassSplit(data, name, random_state=seed)
    train, test, truth = split.X_train, split.X_test, split.truth
    options: dict[str, Any] = {"recipe": "best", "random_state": seed, "contamination": 0.05}
    started = time.perf_counter()
    own = {"head": {"kind": "combined"} | chosen} if chosen else {}
    kept = {"checkpoint_dir": checkpoints}
    detector = DeepSVDD(pretrain_epochs=epochs, **options, **own, **kept).fit(train)
    fitted = time.perf_counter()
    found = parts_of(detector, test, truth)
    scored = time.perf_counter()
    if "pixels" not in found:
        ruler = KNNDetector(blur=1.0, contamination=None).fit(train)
        found["pixels"] = auc(truth, ruler.anomaly_score(test))
    last = detector.history_[-1]
    return {
        "set": data.name,
        "normal": name,
        "seed": seed,
        "auc": found,
        "told": {key: value for key, value in last.items() if key.endswith("_told")},
        "pretraining": detector.spec_.pretraining.model_dump(mode="json"),
        "epochs": last["epoch"],
        "fit_seconds": round(fitted - started, 1),
        "score_seconds": round(scored - fitted, 1),
        "n_train": detector.n_train_,
        "versions": versions(),
    }


def enclosed(data: Any, name: str, seed: int, how: str, checkpoints: Path) -> dict[str, Any]:
    """Measure heads on the pretrained encoder, which is loaded if it is there."""
    split = OneClassSplit(data, name, random_state=seed)
    detector = DeepSVDD(
        recipe="best", head="center", random_state=seed, contamination=0.05,
        checkpoint_dir=checkpoints, **SPHERES[how],
    ).fit(split.X_train)  # fmt: skip
    train, test = (torch.from_numpy(detector.transform(X)) for X in (split.X_train, split.X_test))
    found = {"center": auc(split.truth, detector.anomaly_score(split.X_test))}
    for title, spec in (("ellipsoid", EllipsoidSpec()), ("neighbors", NeighborsSpec())):
        head = spec.build(train.shape[1])
        head.fit(Batch(train))
        found[title] = auc(split.truth, in_batches(head, test).numpy())
    return {"set": data.name, "normal": name, "seed": seed, "how": how, "auc": found}


def main() -> None:
    """Measure what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", choices=SETS)
    parser.add_argument("--classes", type=int, nargs="+", default=list(range(10)))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument(
        "--parts", action="store_true", help="Measure every part, also unused ones."
    )
    parser.add_argument("--plain", action="store_true", help="Measure without appearance.")
    parser.add_argument("--sphere", action="store_true", help="Measure spheres on the encoder.")
    parser.add_argument("--untrained", action="store_true", help="Measure the control.")
    parser.add_argument("--epochs", type=int, help="Pretrain for another number of epochs.")
    parser.add_argument("--checkpoints", type=Path, default=Path("runs"))
    given = parser.parse_args()
    data = load_dataset(given.dataset)
    kind = "-sphere" if given.sphere else "-untrained" if given.untrained else ""
    if given.epochs:
        kind = f"-{given.epochs}-epochs"
    chosen: dict[str, Any] = {"parts": PARTS} if given.parts else {}
    if given.plain:
        kind, chosen = "-plain", chosen | {"appearance": False}
    out = RESULTS / f"pretraining{kind}-{given.dataset}.jsonl"
    done = {(row["normal"], row["seed"], row.get("how")) for row in read_rows(out)}
    folder = given.checkpoints / f"pretraining-{given.dataset}"
    for seed in range(given.seeds):
        for name in (data.class_names[index] for index in given.classes):
            for how in SPHERES if given.sphere else (None,):
                if (name, seed, how) in done:
                    continue
                if how is not None:
                    row = enclosed(data, name, seed, how, folder)
                elif given.untrained:
                    row = untrained(data, name, seed)
                else:
                    row = measured(data, name, seed, chosen, folder, given.epochs)
                append_row(out, row)
                print(row, flush=True)


if __name__ == "__main__":
    main()
