"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

Json = Annotated[
    bool, typer.Option("--json", help="Print JSON to stdout, and nothing else.", show_default=False)
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print nothing but errors.", show_default=False)
]
SkipBad = Annotated[
    bool | None,
    typer.Option("--skip-bad", help="Leave out images that cannot be read.", show_default=False),
]
Download = Annotated[
    bool | None,
    typer.Option("--download", help="Let torchvision download a named set.", show_default=False),
]
Grey = Annotated[
    bool | None,
    typer.Option("--grey/--colour", help="Turn images grey, or RGB.", show_default=False),
]
Normal = Annotated[
    list[str] | None,
    typer.Option("--normal", help="Name of the normal class; may be repeated.", metavar="CLASS"),
]
Size = Annotated[
    str | None,
    typer.Option(
        "--size", help="Resize images: 64, or height x width as in 64x48.", metavar="SIZE"
    ),
]
Model = Annotated[
    str, typer.Argument(help="Folder of a saved model.", metavar="MODEL", show_default=False)
]
Source = Annotated[
    str,
    typer.Argument(
        help="Folder or zip of images, image, .npz, .npy, or name of a data set.",
        metavar="SOURCE",
        show_default=False,
    ),
]


def channels(grey: bool | None) -> int | None:
    """Return the channels that --grey or --colour asks for."""
    return None if grey is None else 1 if grey else 3
