"""The program ``insphere``: its commands, and how errors are shown.

A mistake of the user is one sentence on stderr and exit code 2.
"""

from __future__ import annotations

import errno
import inspect
import io
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from insphere._version import __version__
from insphere.cli import console
from insphere.cli.command_table import COMMANDS
from insphere.errors import InsphereError, SpecError
from insphere.safe_text import visible

USER_MISTAKE = 2
INTERRUPTED = 130
BROKEN_PIPE = 141
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR)

# Typer brings its own copy of Click, or uses the installed one, depending on its version.
_click: Any = sys.modules[typer.BadParameter.__module__]


class _InOrder(TyperGroup):
    """The commands in the order of `COMMANDS`; Typer would put groups last."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the commands."""
        names = [name for names in COMMANDS.values() for name in names]
        return sorted(self.commands, key=names.index)


def _help_texts(command: Callable[..., Any]) -> dict[str, Any]:
    """Return the help text of a command and its examples, both from its docstring."""
    text, _, examples = inspect.cleandoc(command.__doc__ or "").partition("\n\nFor example:\n")
    paragraphs = [" ".join(paragraph.split()) for paragraph in text.split("\n\n")]
    lines = ["For example:", *(line.strip() for line in examples.splitlines() if line.strip())]
    # Typer shows each paragraph of an epilog as one line.
    return {"help": "\n\n".join(paragraphs)} | ({"epilog": "\n\n".join(lines)} if examples else {})


def _print_version(wanted: bool) -> None:
    if wanted:
        console.say(f"insphere {__version__}")
        raise typer.Exit


def _top(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        console.say(context.get_help())


def build_app() -> typer.Typer:
    """Return the program with all commands of `COMMANDS`."""
    built = typer.Typer(
        name="insphere",
        cls=_InOrder,
        help="One-class deep learning for images. Train a detector on normal images only. It then "
        "gives every new image a score: the higher, the more anomalous.",
        epilog="Start with: insphere demo\n\nHelp for one command: insphere COMMAND --help",
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        add_completion=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    for panel, commands in COMMANDS.items():
        for name, place in commands.items():
            module, _, function = place.partition(":")
            command = getattr(import_module(f"insphere.cli.commands.{module}"), function)
            if isinstance(command, typer.Typer):
                built.add_typer(command, name=name, rich_help_panel=panel)
            else:
                built.command(name, rich_help_panel=panel, **_help_texts(command))(command)
    built.callback(invoke_without_command=True)(_top)
    return built


app = build_app()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        The arguments after the name of the program; by default those of the process.

    Returns
    -------
    int
        Exit code: 0; 2 after a mistake of the user; 130 after Ctrl-C; 141 if the program that
        reads the output has ended.
    """
    streams = sys.stdout, sys.stderr
    try:
        return _run(arguments)
    except BrokenPipeError:
        pass
    except SystemExit as end:
        if end.code != 1:  # Click ends with 1 if the reader of the output has ended
            raise
        sys.stdout, sys.stderr = streams
    for stream in streams:
        try:
            stream.flush()
        except OSError:  # otherwise Python reports it when it flushes at exit
            with suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return BROKEN_PIPE


def _refuse_empty(given: Sequence[str]) -> None:
    """Refuse what a shell passes for a variable that is not set: as a path, "" is this folder."""
    for place, argument in enumerate(given, start=1):
        if not argument:
            raise SpecError(
                f"Argument {place} of the command is empty, such as a variable of the shell that "
                "is not set; a dot stands for the current folder."
            )


def _run(arguments: Sequence[str] | None) -> int:
    if arguments is None:  # a process of our own
        # Child processes import no module from the current folder.
        os.environ.setdefault("PYTHONSAFEPATH", "1")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # file names need not be UTF-8
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        try:
            given = list(sys.argv[1:] if arguments is None else arguments)
            _refuse_empty(given)
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
                console.fail("The disk is full: free some space, or choose another folder.")
            else:
                console.fail(f"{error.filename or 'A file'} cannot be used: {error.strerror}.")
            return USER_MISTAKE
    if code == INTERRUPTED:  # newer versions of Typer turn Ctrl-C into this code themselves
        console.note("Stopped.")
    return code if isinstance(code, int) else 0


def _show_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    """Print warnings of this package as notes; warnings of libraries do not help a user."""
    if issubclass(category, UserWarning):
        console.note(f"Note: {visible(str(message))}")
