"""Options that several commands share."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from insphere.errors import SpecError

if TYPE_CHECKING:
    from insphere.data import ReadOptions

Json = Annotated[
    bool,
    typer.Option(
        "--json", help="Print the result as JSON, and nothing else, to stdout.", show_default=False
    ),
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print only errors.", show_default=False)
]
SkipBad = Annotated[
    bool | None,
    typer.Option(
        "--skip-bad",
        help="Leave out images that cannot be read, instead of stopping.",
        show_default=False,
    ),
]
FollowLinks = Annotated[
    bool | None,
    typer.Option(
        "--follow-links",
        help="Also read images behind links that point outside the folder.",
        show_default=False,
    ),
]
Download = Annotated[
    bool | None,
    typer.Option(
        "--download",
        help="Allow torchvision to download a data set given by name.",
        show_default=False,
    ),
]
Grey = Annotated[
    bool | None,
    typer.Option("--grey/--colour", help="Convert images to grey, or to RGB.", show_default=False),
]
Normal = Annotated[
    list[str] | None,
    typer.Option(
        "--normal",
        help="Name of the normal class. Repeat it for several normal classes.",
        metavar="CLASS",
    ),
]
Size = Annotated[
    str | None,
    typer.Option(
        "--size",
        help="Resize images to SIZE pixels: 64 for squares, or height x width, such as 64x48. "
        "Without it they keep their size, and photos of different sizes their aspect.",
        metavar="SIZE",
    ),
]
TestSize = Annotated[
    float | None,
    typer.Option(
        help="Share of each class held out for evaluation, if the source has classes and "
        "no test part of its own; 0 trains on all of it (default 0.5)."
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(help="Seed: the number that all randomness starts from (default 0)."),
]
Kind = Annotated[
    str | None,
    typer.Option(
        "--kind",
        help="Kind of data: image, table, … (default: what the source looks like).",
        metavar="KIND",
    ),
]
Label = Annotated[
    str | None,
    typer.Option(
        "--label",
        help="Column of a table that says what each row is; it is not trained on.",
        metavar="COLUMN",
    ),
]
Column = Annotated[
    list[str] | None,
    typer.Option(
        "--column",
        help="What another column is for, such as time=stamp. Repeat it for several.",
        metavar="ROLE=COLUMN",
    ),
]
GroupBy = Annotated[
    str | None,
    typer.Option(
        "--group-by",
        help="Count false alarms by group, such as camera or shift: class, folder (folder:2 is the "
        "one above it), TABLE.csv:COLUMN (files in another column), or a column of a table.",
        metavar="WHAT",
    ),
]
Model = Annotated[
    str, typer.Argument(help="Folder of a saved model.", metavar="MODEL", show_default=False)
]
Source = Annotated[
    str,
    typer.Argument(
        help="Folder or zip file of images, one image, a .csv or .parquet file of a table, an .npz "
        "or .npy file, or the name of a data set (see insphere datasets).",
        metavar="SOURCE",
        show_default=False,
    ),
]


# The options of `insphere.data.ReadOptions` on the command line.
_READING: dict[str, Any] = {
    "normal": Normal,
    "size": Size,
    "grey": Grey,
    "skip_bad": SkipBad,
    "follow_links": FollowLinks,
    "download": Download,
    "test_size": TestSize,
    "seed": Seed,
    "kind": Kind,
    "label": Label,
    "column": Column,
}
# Options that say what a source is, for every command that reads one.
_WHAT = ("kind", "label", "column")
Reading = dict[str, Any]


def reads_images(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add the options for reading images to a command.

    They take the place of its parameter ``reading``. The command gets them there as a dict of those
    that were given, with the names of `insphere.data.ReadOptions`.

    Parameters
    ----------
    *names : str
        Names of the options; by default all of them.
    """
    wanted = {name: _READING[name] for name in ((*names, *_WHAT) if names else _READING)}

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def called(**values: Any) -> None:
            given = {name: values.pop(name) for name in wanted}
            command(**values, reading=_as_reading(given))

        hints = get_type_hints(command, include_extras=True)
        parameters: list[inspect.Parameter] = []
        for name, parameter in inspect.signature(command).parameters.items():
            if name == "reading":
                parameters += [
                    inspect.Parameter(one, parameter.kind, default=None, annotation=kind)
                    for one, kind in wanted.items()
                ]
            else:
                parameters.append(parameter.replace(annotation=hints[name]))
        called.__annotations__ = {one.name: one.annotation for one in parameters}
        called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return called

    return decorate


def read_options(reading: Mapping[str, Any]) -> ReadOptions:
    """Check the options for reading images that were given to a command.

    Raises
    ------
    SpecError
        If the size is not one.
    """
    from insphere.data.read_options import ReadOptions, parse_size

    given = dict(reading)
    if "size" in given:
        given["size"] = parse_size(given["size"])
    return ReadOptions(**given)


def _as_reading(given: dict[str, Any]) -> Reading:
    grey = given.pop("grey", None)
    channels = None if grey is None else 1 if grey else 3
    columns = _as_columns(given.pop("label", None), given.pop("column", None) or [])
    found = {**given, "channels": channels, "columns": columns or None}
    return {name: value for name, value in found.items() if value not in (None, [])}


def _as_columns(label: str | None, given: list[str]) -> dict[str, str]:
    columns = {} if label is None else {"label": label}
    for item in given:
        role, equals, name = item.partition("=")
        if not equals or not role or not name:
            raise SpecError(f"--column takes ROLE=COLUMN, such as time=stamp, but got {item!r}.")
        columns[role.strip().lower()] = name
    return columns
