"""Detectors on frozen features: ``python benchmarks/features.py {extract,heads,speed} …``.

``extract DATASET`` computes features of all images once, in several forms from one pass, and keeps
them in the cache. It goes on where it was stopped.

``heads DATASET --group NAME`` runs heads on every class and appends a line for each finished run to
``results/DATASET-features.jsonl``; what is there is not run again. Features that are not in the
cache are computed on the way.

Which of them is chosen, ``feature_develop.py`` says.

``speed`` measures extraction against a bare forward pass of the same network, in the same run.
"""

from __future__ import annotations

import time
from collections import defaultdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table

from insphere.data.load import load_dataset
from insphere.data.progress import Progress
from insphere.experiments.execution.engine import as_they_end, finished_rows, run_specs
from insphere.experiments.runs.spec import RunSpec
from insphere.experiments.store.jsonl_rows import read_rows
from insphere.experiments.store.run_record import Run
from insphere.experiments.store.run_store import Store
from insphere.features import Extractor, Form, features, pooled_form
from insphere.features.adapted import map_form
from insphere.nets.backbones import load_backbone
from machine import machine, write_json

RESULTS = Path(__file__).parent / "results"
RESOLUTIONS_OF = {"cifar10": 192}  # pixels; images of 28 pixels are enlarged to
SMALL_RESOLUTION = 128
TRAINED_STAGES = 2
FINETUNE = {"stages": TRAINED_STAGES, "epochs": 10, "lr": 1e-5}
CONTRAST = FINETUNE | {"objective": "contrastive", "epochs": 1, "views": 2}

Head = tuple[str, dict[str, Any]]


def head(method: str, **params: Any) -> Head:
    """Name a head: its method and what differs from the defaults, beside the resolution."""
    return method, params


def resolution_of(dataset: str) -> int:
    """Return the pixels that a dataset's images are enlarged to, unless a head says otherwise."""
    return RESOLUTIONS_OF.get(dataset, SMALL_RESOLUTION)


WHITENED = {"whiten": 0.1, "head": {"widths": [512], "rep_dim": 256}}
CORE: dict[str, Head] = {
    "2-NN": head("feature-knn"),
    "Mahalanobis": head("feature-mahalanobis"),
    "PCA": head("feature-pca"),
    "SVDD, pooled": head("feature-svdd"),
}
MORE: dict[str, Head] = {
    "5-NN": head("feature-knn", n_neighbors=5),
    "10-NN": head("feature-knn", n_neighbors=10),
    "SVDD, pooled, whitened": head("feature-svdd", **WHITENED),
}
VARIANTS: dict[str, Head] = {
    "2-NN, L2 only": head("feature-knn", normalize="l2"),
    "2-NN, as they are": head("feature-knn", normalize=None),
    "Mahalanobis, as they are": head("feature-mahalanobis", normalize=None),
    "Mahalanobis, s7 + head": head("feature-mahalanobis", stages=["s7", "head"]),
    "Mahalanobis, s5 + s6 + s7 + head": head(
        "feature-mahalanobis", stages=["s5", "s6", "s7", "head"]
    ),
}
PATCHES: dict[str, Head] = {
    "FPSVDD, patch": head("fpsvdd", objective="patch"),
    "FPSVDD, image": head("fpsvdd", objective="image"),
    "FPSVDD, both": head("fpsvdd", objective="both"),
    "patch memory": head("patch-memory"),
}
LATE: dict[str, Head] = {
    f"FPSVDD, {unit}, s7 + head": head("fpsvdd", objective=unit, stages=["s7", "head"], grid=6)
    for unit in ("patch", "image")
}
MIRRORED: dict[str, Head] = {
    "10-NN, mirrored": head("feature-knn", n_neighbors=10, mirrored=True),
    "2-NN, mirrored": head("feature-knn", mirrored=True),
    "Mahalanobis, mirrored": head("feature-mahalanobis", mirrored=True),
}
FOCUS = (0.7, 0.5, 0.35)
EVEN = {"n_neighbors": 10, "resampling": "bilinear", "mirrored": True}
FOCUSED: dict[str, Head] = {"10-NN, bilinear, mirrored": head("feature-knn", **EVEN)} | {
    f"10-NN, bilinear, mirrored, focus {focus}": head("feature-knn", **EVEN, focus=focus)
    for focus in FOCUS
}
MIDDLE = {"resampling": "bilinear", "mirrored": True, "focus": FOCUS[-1]}
ENCLOSED: dict[str, Head] = {
    "Mahalanobis, bilinear, mirrored, focus 0.35": head("feature-mahalanobis", **MIDDLE),
    "SVDD from whitened features, the same": head("feature-svdd", start="whitened", **MIDDLE),
    "SVDD from whitened features, 10 centres, the same": head(
        "feature-svdd", start="whitened", centers=10, **MIDDLE
    ),
}
JOINED = {
    "backbone": "efficientnet-lite0+efficientnet-lite1+efficientnet-lite2",
    "normalize": "l2",
} | MIDDLE
THREE: dict[str, Head] = {
    "10-NN, three networks": head("feature-knn", n_neighbors=10, **JOINED),
    "Mahalanobis, three networks": head("feature-mahalanobis", **JOINED),
    "SVDD from whitened features, three networks": head("feature-svdd", start="whitened", **JOINED),
}
RESOLUTIONS: dict[str, Head] = {
    f"{title}, {side} px": (method, {"resolution": side})
    for side in (128, 160, 224)
    for title, method in (("2-NN", "feature-knn"), ("Mahalanobis", "feature-mahalanobis"))
}
FINETUNED: dict[str, Head] = {
    "2-NN, fine-tuned": head("feature-knn", finetune=FINETUNE),
    "2-NN, fine-tuned by contrast": head("feature-knn", finetune=CONTRAST),
    "SVDD, pooled, fine-tuned": head("feature-svdd", finetune=FINETUNE),
} | {
    f"FPSVDD, {unit}, fine-tuned": head("fpsvdd", objective=unit, finetune=FINETUNE)
    for unit in ("patch", "image", "both")
}
GROUPS = {
    "core": CORE,
    "more": MORE,
    "variants": VARIANTS,
    "patches": PATCHES,
    "late": LATE,
    "mirrored": MIRRORED,
    "focused": FOCUSED,
    "enclosed": ENCLOSED,
    "joined": THREE,
    "resolutions": RESOLUTIONS,
    "finetuned": FINETUNED,
}
HEADS = {title: one for group in GROUPS.values() for title, one in group.items()}

app = typer.Typer(add_completion=False, help=(__doc__ or "").splitlines()[0])
console = Console()
Dataset = Annotated[str, typer.Argument(help="mnist, fashion-mnist, cifar10, or any other.")]


def results_of(dataset: str) -> Path:
    """Return the file of a dataset's rows."""
    return RESULTS / f"{dataset}-features.jsonl"


def title_of(row: dict[str, Any]) -> str | None:
    """Return the title of the head that a row belongs to, if it is one of those here."""
    side = resolution_of(row["dataset"])
    return next(
        (
            title
            for title, (method, params) in HEADS.items()
            if row["method"] == method and row["params"] == {"resolution": side} | params
        ),
        None,
    )


def by_head(dataset: str) -> dict[str, dict[str, list[float]]]:
    """Collect AUCs in per cent: head, then class, then one value a seed."""
    found: dict[str, dict[str, list[float]]] = {title: defaultdict(list) for title in HEADS}
    for row in read_rows(results_of(dataset)):
        title = title_of(row)
        if title is not None:
            found[title][" + ".join(row["normal"])].append(100 * row["auc"])
    return {title: dict(values) for title, values in found.items() if values}


def complete_means(dataset: str) -> dict[str, float]:
    """Return the mean AUC over classes of the heads that have all ten."""
    return {
        title: float(np.mean([np.mean(values) for values in classes.values()]))
        for title, classes in by_head(dataset).items()
        if len(classes) == 10
    }


@app.command()
def extract(
    dataset: Dataset,
    resolution: Annotated[int | None, typer.Option(help="Pixels.")] = None,
    mirrored: Annotated[bool, typer.Option("--mirrored", help="With mirror images.")] = False,
    focused: Annotated[
        bool,
        typer.Option("--focused", help="With mirror images, bilinear, pooled with every focus."),
    ] = False,
    pooled_only: Annotated[
        bool, typer.Option("--pooled-only", help="Neither patches nor maps.")
    ] = False,
) -> None:
    """Compute features of all images; stop it whenever you like, it goes on where it was."""
    data = load_dataset(dataset)
    resolution = resolution or resolution_of(dataset)
    extractor = Extractor(
        load_backbone(),
        resolution=resolution,
        resampling="bilinear" if focused else "bicubic",
        mirrored=mirrored or focused,
        device=torch.device("cpu"),
    )
    card = extractor.card
    forms = [pooled_form(card)]
    if focused:
        forms += [pooled_form(card, focus=focus) for focus in FOCUS]
    elif not pooled_only:
        forms += [
            Form("patches", card.default_patches, 3, resolution // 16),
            map_form(extractor, TRAINED_STAGES),
        ]
    started, step = time.perf_counter(), 2048
    # The test part first, then class by class, so that heads can run on what is there.
    is_train = np.zeros(len(data), bool) if data.is_test is None else ~data.is_test
    order = np.lexsort((data.labels, is_train))
    with Progress("Features", len(order)) as bar:
        for first in range(0, len(order), step):  # what is in memory at once
            images = data.images[np.sort(order[first : first + step])]
            features(extractor, images, forms, progress=bar.advance)
    seconds = time.perf_counter() - started
    console.print(f"{len(order):,} images in {seconds:.0f} s: {len(order) / seconds:.0f} a second")


@app.command()
def heads(
    dataset: Dataset,
    group: Annotated[
        list[str] | None, typer.Option(help=f"Any of {', '.join(GROUPS)}; all by default.")
    ] = None,
    title: Annotated[
        list[str] | None, typer.Option("--head", help="Title of a head, in place of a group.")
    ] = None,
    normal: Annotated[list[str] | None, typer.Option(help="Normal class; all by default.")] = None,
    jobs: Annotated[int, typer.Option(help="Processes, each with one thread.")] = 1,
    checkpoints: Annotated[Path, typer.Option(help="Folder of checkpoints.")] = Path("runs"),
) -> None:
    """Run heads on every class, or continue, and print what is there."""
    titles = title or [one for name in group or GROUPS for one in GROUPS[name]]
    chosen = [HEADS[one] for one in titles]
    side = {"resolution": resolution_of(dataset)}
    specs = [
        RunSpec(dataset=dataset, normal=(name,), method=method, params=side | params)
        for name in normal or load_dataset(dataset).class_names
        for method, params in chosen
    ]

    def report(run: Run) -> None:
        told = f"failed: {run.reason}"
        if run.auc is not None:
            told = f"AUC {100 * run.auc:.2f} in {run.fit_seconds:.0f} + {run.score_seconds:.0f} s"
        console.print(f"{run.normal[0]:>12} {title_of(run.row())}: {told}")

    name = f"{dataset}-features"
    runs = run_specs(
        specs,
        Store(checkpoints / f"{name}.sqlite"),
        jobs=jobs,
        threads=1,
        retry_failed=True,
        rows=results_of(dataset),
        checkpoints=checkpoints / name,
        watch=as_they_end(report),
    )
    finished_rows(runs)
    show(dataset)


@app.command()
def show(dataset: Dataset) -> None:
    """Print mean AUCs, the best first."""
    table = Table("head", "classes", "mean AUC, %")
    found = by_head(dataset)
    means = {title: np.mean([np.mean(v) for v in found[title].values()]) for title in found}
    for title in sorted(means, key=lambda name: -means[name]):
        table.add_row(title, str(len(found[title])), f"{means[title]:.2f}")
    console.print(table)


@app.command()
def speed(
    images: Annotated[int, typer.Option(help="Images in each round.")] = 512,
    rounds: Annotated[int, typer.Option(help="Interleaved rounds.")] = 5,
    resolution: Annotated[int, typer.Option(help="Pixels.")] = RESOLUTIONS_OF["cifar10"],
) -> None:
    """Compare extraction (resize, normalise, forward, pool) with a bare forward pass.

    Of each, the fastest of the interleaved rounds counts: what else the machine does only slows.
    """
    extractor = Extractor(load_backbone(), resolution=resolution, device=torch.device("cpu"))
    pixels = np.random.default_rng(0).integers(0, 256, (images, 32, 32, 3), dtype=np.uint8)
    forms = {"pooled": [pooled_form(extractor.card)]}
    forms["pooled and patches"] = [
        *forms["pooled"],
        Form("patches", extractor.card.default_patches, 3, resolution // 16),
    ]
    parts = [extractor.prepare(pixels[s : s + 32]) for s in range(0, images, 32)]
    names = extractor.card.stage_names

    def bare() -> None:
        with torch.inference_mode():
            for part in parts:
                extractor.backbone(part, names)

    seconds: dict[str, list[float]] = defaultdict(list)
    for round_ in range(rounds + 1):  # the first one warms up
        works = {"bare": bare} | {
            name: (lambda chosen=chosen: extractor(pixels, chosen))
            for name, chosen in forms.items()
        }
        for name, work in works.items():
            started = time.perf_counter()
            work()
            if round_:
                seconds[name].append(time.perf_counter() - started)
    result: dict[str, Any] = {
        "resolution": resolution,
        "images": images,
        "dtype": str(extractor.dtype),
        "images_per_second": {
            k: round(images / float(np.median(v)), 1) for k, v in seconds.items()
        },
        "share_of_bare": {
            k: round(float(np.median(np.divide(seconds["bare"], v))), 3) for k, v in seconds.items()
        },
        "machine": machine("timm", "torchvision"),
    }
    write_json(RESULTS / "features-speed.json", result)
    console.print(result["images_per_second"], result["share_of_bare"])


if __name__ == "__main__":
    app()
