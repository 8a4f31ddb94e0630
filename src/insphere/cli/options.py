"""Options that several commands share."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

if TYPE_CHECKING:
    from insphere.data import ReadOptions

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
FollowLinks = Annotated[
    bool | None,
    typer.Option(
        "--follow-links", help="Follow links that lead out of the folder.", show_default=False
    ),
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
TestSize = Annotated[
    float | None,
    typer.Option(
        help="Share kept for evaluation if there are classes but no test part (default 0.5)."
    ),
]
Seed = Annotated[int | None, typer.Option(help="Source of all randomness (default 0).")]
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


# The options of `insphere.data.ReadOptions` as they are written on a command line.
_READING: dict[str, Any] = {
    "normal": Normal,
    "size": Size,
    "grey": Grey,
    "skip_bad": SkipBad,
    "follow_links": FollowLinks,
    "download": Download,
    "test_size": TestSize,
    "seed": Seed,
}
Reading = dict[str, Any]


def reads_images(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options that say how images are read.

    They stand where the command has its parameter ``reading``, which gets those that were given, as
    `insphere.data.ReadOptions` calls them.

    Parameters
    ----------
    *names : str
        Which options; by default all of them.
    """
    chosen = {name: _READING[name] for name in names or _READING}

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def called(**values: Any) -> None:
            given = {name: values.pop(name) for name in chosen}
            command(**values, reading=_as_reading(given))

        hints = get_type_hints(command, include_extras=True)
        parameters: list[inspect.Parameter] = []
        for name, parameter in inspect.signature(command).parameters.items():
            if name == "reading":
                parameters += [
                    inspect.Parameter(one, parameter.kind, default=None, annotation=kind)
                    for one, kind in chosen.items()
                ]
            else:
                parameters.append(parameter.replace(annotation=hints[name]))
        called.__annotations__ = {one.name: one.annotation for one in parameters}
        called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return called

    return decorate


def read_options(reading: Mapping[str, Any]) -> ReadOptions:
    """Check the reading options that were given to a command.

    Raises
    ------
    SpecError
        If the size is none.
    """
    from insphere.data.read_options import ReadOptions, parse_size

    given = dict(reading)
    if "size" in given:
        given["size"] = parse_size(given["size"])
    return ReadOptions(**given)


def _as_reading(given: dict[str, Any]) -> Reading:
    grey = given.pop("grey", None)
    channels = None if grey is None else 1 if grey else 3
    found = {**given, "channels": channels}
    return {name: value for name, value in found.items() if value not in (None, [])}
