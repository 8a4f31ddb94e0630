"""The commands, and what becomes of mistakes: one sentence on stderr and exit code 2."""

from __future__ import annotations

import errno
import inspect
import io
import os
import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated, Any

import typer

from insphere._version import __version__
from insphere.cli import console
from insphere.cli.commands.ablate import ablate
from insphere.cli.commands.cache import cache
from insphere.cli.commands.collapse import collapse
from insphere.cli.commands.demo import demo
from insphere.cli.commands.drift import drift
from insphere.cli.commands.figures import figures
from insphere.cli.commands.fit import fit
from insphere.cli.commands.info import datasets, info
from insphere.cli.commands.score import evaluate, report, score
from insphere.cli.commands.studio import studio
from insphere.cli.commands.sweep import sweep
from insphere.errors import InsphereError
from insphere.safe_text import visible

USER_MISTAKE = 2
INTERRUPTED = 130
BROKEN_PIPE = 141
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR)

# Typer brings its own copy of Click, or uses the installed one, depending on its version.
_click: Any = sys.modules[typer.BadParameter.__module__]

app = typer.Typer(
    name="insphere",
    help="One-class deep learning for images: learn what normal looks like, and say how far "
    "anything new lies outside it.",
    epilog="Start with: insphere demo",
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
commands = (
    *(demo, studio, datasets, fit, score, evaluate, report, drift, figures, info),
    *(ablate, collapse, cache),
)
for command in commands:
    paragraphs = inspect.cleandoc(command.__doc__ or "").split("\n\n")
    app.command(help="\n\n".join(" ".join(text.split()) for text in paragraphs))(command)
app.add_typer(sweep)


def _print_version(wanted: bool) -> None:
    if wanted:
        console.say(f"insphere {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _top(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Say the version."),
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        console.say(context.get_help())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        What follows the program's name; by default what the shell gave.

    Returns
    -------
    int
        Exit code: 0, 2 after a mistake of the user, 130 after Ctrl-C, 141 where what reads the
        output has gone.
    """
    streams = sys.stdout, sys.stderr
    try:
        return _run(arguments)
    except BrokenPipeError:
        pass
    except SystemExit as end:
        if end.code != 1:  # with which Click ends where what reads has gone
            raise
        sys.stdout, sys.stderr = streams
    for stream in streams:
        try:
            stream.flush()
        except OSError:  # Python would complain of it when it flushes at the end
            with suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return BROKEN_PIPE


def _run(arguments: Sequence[str] | None) -> int:
    # Processes that this one starts take no module from the current folder.
    os.environ.setdefault("PYTHONSAFEPATH", "1")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # file names need not be UTF-8
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        try:
            given = list(sys.argv[1:] if arguments is None else arguments)
            code = app(given, prog_name="insphere", standalone_mode=False)
            sys.stdout.flush()
        except InsphereError as error:
            console.fail(str(error))
            return USER_MISTAKE
        except _click.ClickException as error:
            message = error.format_message()
            console.fail(message if message.endswith((".", "?")) else f"{message}.")
            return USER_MISTAKE
        except console.Stopped as stopped:
            console.note(str(stopped))
            return INTERRUPTED
        except (KeyboardInterrupt, typer.Abort):
            code = INTERRUPTED
        except BrokenPipeError:
            raise
        except OSError as error:
            if error.errno not in (*_DISK_FULL, *_REFUSED):
                raise
            if error.errno in _DISK_FULL:
                console.fail("The disk is full: make room, or choose another place.")
            else:
                console.fail(f"{error.filename or 'A file'} cannot be used: {error.strerror}.")
            return USER_MISTAKE
    if code == INTERRUPTED:  # newer versions of Typer turn Ctrl-C into this code themselves
        console.note("Stopped.")
    return code if isinstance(code, int) else 0


def _show_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    """Show what the package has to say as a note; warnings of libraries say nothing to a user."""
    if issubclass(category, UserWarning):
        console.note(f"Note: {visible(str(message))}")
