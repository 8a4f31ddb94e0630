"""Stop signs under attack, measured: ``python benchmarks/stop_signs.py {rows,fool,…} …``.

    insphere sweep run sweeps/stop-signs.yaml --store signs.sqlite --save-models
    python benchmarks/stop_signs.py rows signs.sqlite
    python benchmarks/stop_signs.py fool signs.sqlite

``rows`` adds the AUC of each kind of anomaly to every finished run of the store, computed from its
stored scores, and writes ``results/stop-signs.jsonl``. ``fool`` attacks the models of the store and
writes ``results/stop-signs-fooled.jsonl``. ``picture`` draws attacked signs beside their originals.
``folder`` writes a folder of whole and broken signs under names that say nothing, for a person to
sort.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from PIL import Image

from insphere.attacks import fool as attack
from insphere.data.datasets.stop_signs import (
    BUDGETS,
    NORMAL,
    OTHERS,
    attack_class,
    damage_class,
    read_attacks,
)
from insphere.data.load import load_dataset
from insphere.data.perturb import KINDS
from insphere.data.split import OneClassSplit
from insphere.detectors import load_detector
from insphere.experiments.store.jsonl_rows import append_row, merge_rows, read_rows
from insphere.experiments.store.run_store import Store
from insphere.figures.grid import image_grid
from insphere.scoring import evaluate_scores
from sign_blocks import FOOLED, MAIN, ROWS

PICTURE = Path(__file__).parents[1] / "docs" / "images" / "stop-signs.png"
AS_IN_THE_PAPER, SAME = 20, min(BUDGETS.values())
ATTACKABLE = ("deep-svdd", "dcae", "fcdd")
STARTS = 50  # other signs, and as many damaged ones, to start from
STEPS = 20
RADII = {"linf": (1.0, 2.0, 4.0, 8.0, 16.0), "l2": (50.0, 100.0, 200.0, 400.0, 800.0)}
SHOWN = 10

app = typer.Typer(add_completion=False, help=(__doc__ or "").splitlines()[0])
StorePath = Annotated[Path, typer.Argument(help="Store of the sweep.")]


def kinds_of(scores: NDArray[np.float64], labels: NDArray[np.int64], names: Any) -> dict[str, Any]:
    """Return the AUC of each kind against all normal test signs, and of parts of the attacked.

    Parameters
    ----------
    scores : ndarray, shape (n_test,)
        Anomaly scores of all test images.
    labels : ndarray of int64, shape (n_test,)
        Their classes.
    names : sequence of str
        Names of the classes.
    """
    normal = scores[labels == list(names).index(NORMAL)]
    by_kind = {name: scores[labels == i] for i, name in enumerate(names) if name != NORMAL}
    parts = {attack_class(steps): by_kind[attack_class(steps)][:SAME] for steps in BUDGETS}
    return {
        "kinds": {name: auc(normal, one) for name, one in by_kind.items()},
        f"first_{SAME}": {name: auc(normal, one) for name, one in parts.items()},
        f"first_{AS_IN_THE_PAPER}": {MAIN: auc(normal, by_kind[MAIN][:AS_IN_THE_PAPER])},
    }


def auc(normal: NDArray[np.float64], anomalous: NDArray[np.float64]) -> float:
    """Return the AUC of two lists of scores."""
    truth = np.repeat([0, 1], [len(normal), len(anomalous)])
    return round(evaluate_scores(truth, np.concatenate([normal, anomalous])).auc, 6)


@app.command()
def rows(store: StorePath) -> None:
    """Write the finished runs of a store with the AUC of each kind."""
    runs = Store(store, create=False)
    data = load_dataset("stop-signs", progress=False)
    labels = data.labels[OneClassSplit(data, NORMAL).test]
    found = []
    for row in runs.rows():
        if row["dataset"] == "stop-signs" and row["data_fingerprint"]:
            scores, _ = runs.files.scores(row["run"])
            found.append(row | kinds_of(scores, labels, data.class_names))
    new = merge_rows(ROWS, found)
    typer.echo(f"{new} new rows of {len(found)} in {ROWS.name}")


@app.command()
def fool(
    store: StorePath,
    seeds: Annotated[int, typer.Option(help="How many seeds of each method.")] = 5,
) -> None:
    """Attack the models of a store with gradients of their own scores."""
    runs = Store(store, create=False)
    split = OneClassSplit(load_dataset("stop-signs", progress=False), NORMAL)
    starts = starting_images(split)
    there = {row["model"] for row in read_rows(FOOLED)}
    for row in sorted(runs.rows(), key=lambda row: row["seed"]):
        folder = runs.files.model(row["run"])
        if row["method"] not in ATTACKABLE or row["run"] in there or not folder.is_dir():
            continue
        if row["seed"] >= seeds or row["params"].get("objective") == "soft-boundary":
            continue  # that objective ends in nearly the same network
        detector: Any = load_detector(folder)
        normal = detector.anomaly_score(split.X_test[split.truth == 0])
        passing = float(np.quantile(normal, 0.95))
        before = detector.anomaly_score(starts)
        told: dict[str, Any] = {"none": {"0": measured(normal, before, passing)}}
        for norm, radii in RADII.items():
            told[norm] = {}
            for radius in radii:
                after = attack(detector, starts, norm=norm, epsilon=radius, steps=STEPS).after
                told[norm][f"{radius:g}"] = measured(normal, after, passing)
        kept = ("dataset", "normal", "method", "params", "seed", "versions")
        described = {"model": row["run"]} | {key: row[key] for key in kept}
        append_row(FOOLED, described | {"steps": STEPS, "attacked": told})
        typer.echo(f"{row['method']} {row['params']} seed {row['seed']}: {told['linf']}")


def starting_images(split: OneClassSplit) -> NDArray[np.uint8]:
    """Return the anomalies that attacks on detectors start from: other signs, and damaged ones."""
    rng = np.random.default_rng(0)
    labels = split.data.labels[split.test]
    names = list(split.data.class_names)
    chosen = [rng.choice(np.flatnonzero(labels == names.index(OTHERS)), STARTS, replace=False)]
    for kind in KINDS:
        here = np.flatnonzero(labels == names.index(damage_class(kind, 5)))
        chosen.append(rng.choice(here, STARTS // len(KINDS), replace=False))
    return np.asarray(split.X_test[np.concatenate(chosen)])


def measured(
    normal: NDArray[np.float64], anomalous: NDArray[np.float64], passing: float
) -> dict[str, float]:
    """Return the AUC, and the share that scores below what 5 % of the normal test signs exceed."""
    return {"auc": auc(normal, anomalous), "passing": float((anomalous <= passing).mean())}


@app.command()
def picture() -> None:
    """Draw starting signs, attacked ones by budget, and originals, one sign in each column."""
    images, about = read_attacks()
    data = load_dataset("gtsrb", roi="border", size=32, channels=3, progress=False)
    assert data.paths is not None
    place = {path.rpartition("/")[2]: i for i, path in enumerate(data.paths) if "Test" in path}
    lines = [
        [data.images[place[name]] for name in about["starts"][:SHOWN]],
        *(signs[:SHOWN] for signs in images.values()),
        [data.images[place[name]] for name in about["originals"][:SHOWN]],
    ]
    grid = np.concatenate([np.asarray(line) for line in lines])
    figure = image_grid(grid, columns=SHOWN)
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(PICTURE, dpi=100)


@app.command()
def folder(
    out: Annotated[Path, typer.Argument(help="Folder to write.")],
    key: Annotated[Path, typer.Argument(help="CSV file that says what each image is.")],
    seed: Annotated[int, typer.Option(help="Decides which signs, and their names.")] = 0,
) -> None:
    """Write 100 whole stop signs and 60 broken ones under numbers, and the key to them apart."""
    split = OneClassSplit(load_dataset("stop-signs", progress=False), NORMAL)
    data, rng = split.data, np.random.default_rng(seed)
    labels = data.labels[split.test]
    wanted = {NORMAL: 100, OTHERS: 10, MAIN: 10}
    wanted |= {damage_class(kind, int(rng.integers(2, 6))): 4 for kind in KINDS}
    chosen = np.concatenate([
        rng.choice(np.flatnonzero(labels == data.class_index(name)), count, replace=False)
        for name, count in wanted.items()
    ])  # fmt: skip
    out.mkdir(parents=True)
    lines = ["file,what"]
    for number, index in enumerate(rng.permutation(chosen)):
        name = f"{number:04d}.png"
        Image.fromarray(split.X_test[index]).save(out / name)
        lines.append(f"{name},{data.class_names[labels[index]]}")
    key.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    app()
