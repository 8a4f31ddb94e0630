"""Printing: results go to stdout, everything else to stderr."""

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
    """A console that shows control characters instead of sending them to the terminal."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Render as Rich does; the styles of Rich itself are kept."""
        for segment in super().render(renderable, options):
            text = segment.text if segment.control else visible_lines(segment.text)
            yield segment if text == segment.text else Segment(text, segment.style)

    def on_broken_pipe(self) -> None:
        """Leave it to `insphere.cli.main` to end when the reader of the output has ended."""
        raise BrokenPipeError


out = SafeConsole(highlight=False)
err = SafeConsole(stderr=True, highlight=False)


class Stopped(Exception):  # noqa: N818
    """Ctrl-C, with a message that says how to continue."""


# Options as messages for Python name them, and as the command line does; longer ones first.
_PYTHON_TO_SHELL = {
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


def with_shell_options(message: str) -> str:
    """Rewrite a message so that it names options of the command line."""
    for python, shell in _PYTHON_TO_SHELL.items():
        message = message.replace(python, shell)
    return message


def fail(message: str) -> None:
    """Print an error, which is one sentence."""
    err.print("[bold red]Error:[/] ", end="")
    err.print(visible(with_shell_options(message)), markup=False, soft_wrap=True)


def note(message: str) -> None:
    """Print a note to stderr."""
    err.print(message, markup=False, soft_wrap=True)


def say(message: str, style: str = "") -> None:
    """Print a result on lines that are not wrapped, so that paths stay whole."""
    out.print(message, markup=False, soft_wrap=True, style=style)


def explain(message: str, style: str = "") -> None:
    """Print sentences, wrapped at the width of the terminal."""
    out.print(with_shell_options(message), markup=False, style=style)


def print_json(values: Mapping[str, Any]) -> None:
    """Print one JSON object to stdout."""
    json.dump(values, sys.stdout, indent=2, ensure_ascii=False, allow_nan=False)
    sys.stdout.write("\n")


def print_json_line(values: Mapping[str, Any]) -> None:
    """Print values as one line of JSON, at once."""
    print(json.dumps(values), flush=True)


def shown(path: str | Path) -> str:
    """Return a path relative to the current folder if it lies below."""
    absolute = Path(path).absolute()
    try:
        return visible(str(absolute.relative_to(Path.cwd())))
    except ValueError:
        return visible(str(path))


def shortened(text: str, width: int) -> str:
    """Return a text on one line; of one that is too long, the end."""
    text = visible(text)
    return text if len(text) <= width else "…" + text[-(width - 1) :]


def open_in_browser(path: str | Path) -> None:
    """Open a local page in the browser, or print a note if there is none."""
    import webbrowser

    if not webbrowser.open(Path(path).absolute().as_uri()):
        note("The report cannot be opened: no browser was found.")
