"""``insphere refit``: train again with reviewed photos."""

from __future__ import annotations

import shlex
from typing import Annotated, Any

import typer

from insphere.cli import console
from insphere.cli.options import Json, Model, Quiet
from insphere.errors import SpecError


def refit(
    model: Model,
    *,
    normals: Annotated[
        str,
        typer.Option(
            help="The normal photos that the model was trained on.", metavar="SOURCE",
            show_default=False,
        ),
    ],
    reviews: Annotated[
        str,
        typer.Option(
            help="Reviewed photos: a folder with the subfolders good and anomalous, as the studio "
            "gives it, or a .csv file with the columns path and review.",
            metavar="REVIEWS",
            show_default=False,
        ),
    ],
    photos: Annotated[
        str | None,
        typer.Option(
            help="Folder to which the paths in a .csv file of reviews are relative (default: that "
            "of the file).",
            metavar="FOLDER",
        ),
    ] = None,
    out: Annotated[
        str, typer.Option(help="Folder for the new model.", metavar="MODEL")
    ] = "insphere-model-2",
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite", help="Replace the model that is in that folder.", show_default=False
        ),
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:  # fmt: skip
    """Train a model again with photos that a person reviewed.

    Photos that were called good are added to the normals, for training and for calibration. The
    command says how many. The result is a new model, and the old one stays. Reviewed anomalies are
    not trained on; insphere fit --anomalies takes their folder.

    For example:

        insphere refit model --normals photos/good --reviews reviews --out model-2
    """
    from pathlib import Path

    from insphere.detectors.model_folder import check_destination
    from insphere.workflows.refitting import refit as train_again

    if Path(out).resolve() == Path(model).resolve():
        raise SpecError("The new model needs another folder than the old one: name it with --out.")
    check_destination(out, overwrite=overwrite)
    bars = False if quiet or as_json else None
    done = train_again(model, normals, reviews, photos=photos, progress=bars)
    done.detector.save(out, overwrite=overwrite)
    if as_json:
        console.print_json(_summary(done, out))
    elif not quiet:
        for sentence in done.sentences():
            console.say(sentence)
        console.say(f"Promise: {done.detector.guarantee}")
        console.say(f"\nNext: insphere score {shlex.quote(out)} NEW-IMAGES", style="bold")


def _summary(done: Any, out: str) -> dict[str, Any]:
    counts = done.counts
    return {
        "model": out,
        "n_before": done.n_before,
        "n_added": done.n_added,
        "n_known": done.n_known,
        "n_anomalous": done.n_anomalous,
        "right": counts.right,
        "false": counts.false,
        "missed": counts.missed,
        "confirmed": counts.confirmed,
        "same_normals": done.same_normals,
        "threshold_rule": done.detector.threshold_rule_,
        "seconds": round(done.seconds, 3),
    }
