"""``insphere push`` and ``insphere pull``: models in repositories of the Hugging Face hub."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from insphere.cli import console
from insphere.cli.options import Model, Reading, read_options, reads_images


@reads_images("normal", "size", "grey", "skip_bad", "follow_links", "download")
def push(
    model: Model,
    to: Annotated[
        str,
        typer.Argument(
            help="OWNER/NAME on the hub, or a new folder for the same files.",
            metavar="REPOSITORY",
            show_default=False,
        ),
    ],
    *,
    images: Annotated[
        str | None,
        typer.Option(
            help="Labelled images whose AUC and other measures go on the card.",
            metavar="SOURCE",
            show_default=False,
        ),
    ] = None,
    golden: Annotated[
        bool,
        typer.Option(
            "--golden",
            help="Also send the golden samples, which are training samples.",
            show_default=False,
        ),
    ] = False,
    public: Annotated[
        bool, typer.Option("--public", help="Make a new repository public.", show_default=False)
    ] = False,
    reading: Reading,
) -> None:
    """Send a model to a repository of the Hugging Face hub, with a card of measured numbers.

    The token is the one that hf auth login stored, or HF_TOKEN.

    For example:

        insphere push model me/screws --images photos/labelled
    """
    from insphere.workflows.hub import push_model

    measured: dict[str, Any] | None = None
    if images is not None:
        from insphere.detectors import load_detector
        from insphere.workflows.score_source import score_source

        scored = score_source(load_detector(model), images, read_options(reading))
        measured = scored.evaluate().to_dict()
    place = push_model(
        model, to, measured=measured, measured_on=images or "", golden=golden, private=not public
    )
    console.say(f"Pushed: {place}")


def pull(
    source: Annotated[
        str,
        typer.Argument(
            help="OWNER/NAME on the hub, or a folder that insphere push wrote.",
            metavar="REPOSITORY",
            show_default=False,
        ),
    ],
    *,
    out: Annotated[str, typer.Option(help="Folder for the model.", metavar="FOLDER")] = "model",
    revision: Annotated[
        str | None, typer.Option(help="Branch, tag or commit.", show_default=False)
    ] = None,
    offline: Annotated[
        bool,
        typer.Option("--offline", help="Take it from the cache of the hub.", show_default=False),
    ] = False,
) -> None:
    """Take a model from a repository of the Hugging Face hub; every hash is checked.

    For example:

        insphere pull me/screws --out model
    """
    from insphere.workflows.hub import pull_model

    detector = pull_model(source, out, revision=revision, offline=offline)
    console.say(f"Pulled {detector.card.title}, trained on {detector.n_train_:,}: {out}")
