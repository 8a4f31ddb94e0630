"""What the commands print: results on stdout, everything else on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from insphere.safe_text import visible, visible_lines


class SafeConsole(Console):
    """A console that shows control characters in texts instead of obeying them."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Render as Rich does; its own styles stay, since they are no text."""
        for segment in super().render(renderable, options):
            text = segment.text if segment.control else visible_lines(segment.text)
            yield segment if text == segment.text else Segment(text, segment.style)

    def on_broken_pipe(self) -> None:
        """Leave it to the program what to do when nobody reads on."""
        raise BrokenPipeError


out = SafeConsole(highlight=False)
err = SafeConsole(stderr=True, highlight=False)


class Stopped(Exception):  # noqa: N818
    """Ctrl-C, with what to say about it."""


# What Python calls an option, and what the command line does; longer ones come first.
_IN_WORDS_OF_THE_SHELL = {
    "with OneClassSplit(data, normal) or --normal": "with --normal",
    ", or pass overwrite=True": ", or add --overwrite",
    "with calibration=5": "with --option calibration=5",
    "or set contamination=0.05": "or set --contamination 0.05",
    "with a false-alarm rate, such as false_alarm_rate=0.05": "with --false-alarm-rate 0.05",
    "with false_alarm_rate= for": "with --false-alarm-rate for",
    "with skip_bad=True": "with --skip-bad",
    "with root= or INSPHERE_DATA": "with the environment variable INSPHERE_DATA",
    "with download=True": "with --download",
    "download=True": "--download",
    ", or keep them in memory with cache=False": "",
    ", or keep decoded images in memory with cache=False": "",
    "with channels=1": "with --grey",
    "with channels=3": "with --colour",
    "with normal=": "with --normal",
    "with size=, for example size=": "with --size, for example --size ",
    "with size=": "with --size ",
}


def in_words_of_the_shell(message: str) -> str:
    """Rewrite a message so that it names options of the command line."""
    for python, shell in _IN_WORDS_OF_THE_SHELL.items():
        message = message.replace(python, shell)
    return message


def fail(message: str) -> None:
    """Print one sentence about what went wrong."""
    err.print("[bold red]Error:[/] ", end="")
    err.print(visible(in_words_of_the_shell(message)), markup=False, soft_wrap=True)


def note(message: str) -> None:
    """Print something to know that is no result."""
    err.print(message, markup=False, soft_wrap=True)


def say(message: str, style: str = "") -> None:
    """Print a result in words; paths in it are never broken."""
    out.print(message, markup=False, soft_wrap=True, style=style)


def explain(message: str, style: str = "") -> None:
    """Print a few sentences, broken between words."""
    out.print(in_words_of_the_shell(message), markup=False, style=style)


def print_json(values: Mapping[str, Any]) -> None:
    """Print one JSON object, and nothing else, to stdout."""
    json.dump(values, sys.stdout, indent=2, ensure_ascii=False, allow_nan=False)
    sys.stdout.write("\n")


def shown(path: str | Path) -> str:
    """Return a path relative to the current folder if it lies below."""
    absolute = Path(path).absolute()
    try:
        return visible(str(absolute.relative_to(Path.cwd())))
    except ValueError:
        return visible(str(path))


def shortened(text: str, width: int) -> str:
    """Return the end of a text that is too long, on one line."""
    text = visible(text)
    return text if len(text) <= width else "…" + text[-(width - 1) :]


def open_in_browser(path: str | Path) -> None:
    """Open a local page, or say that there is no browser."""
    import webbrowser

    if not webbrowser.open(Path(path).absolute().as_uri()):
        note("There is no browser here to open the report in.")
