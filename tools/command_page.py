"""The site's page on the command line, made from the commands themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def text() -> str:
    """Return the Markdown of the page: every command with its arguments and options."""
    from typer.main import get_command

    from insphere.cli.app import app

    root: Any = get_command(app)
    parts = [
        "# Command line\n",
        "This page is made from the help texts of the commands: `insphere COMMAND --help` says "
        "the same.\n",
    ]
    for name in root.list_commands(None):
        parts += _of(f"insphere {name}", root.commands[name], 2)
    return "\n".join(parts)


def _of(name: str, command: Any, level: int) -> Iterator[str]:
    if command.hidden:
        return
    yield f"{'#' * level} {name}\n"
    yield f"{_paragraphs(command.help)}\n"
    if command.epilog:
        examples = [line for line in command.epilog.splitlines() if line.startswith("insphere ")]
        yield "\n".join(["```sh", *examples, "```\n"])
    shown = [p for p in command.params if not getattr(p, "hidden", False) and p.name != "help"]
    if shown:
        yield "| argument or option | meaning |\n| --- | --- |"
        yield "\n".join(_row(parameter) for parameter in shown) + "\n"
    for below, sub in getattr(command, "commands", {}).items():
        yield from _of(f"{name} {below}", sub, level + 1)


def _row(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        written = f"`{(parameter.metavar or parameter.name).upper()}`"
    else:
        names = " / ".join(f"`{n}`" for n in (*parameter.opts, *parameter.secondary_opts))
        value = "" if parameter.is_flag else f" `{parameter.metavar or 'VALUE'}`"
        written = names + value
    return f"| {written} | {_plain(parameter.help)} |".replace("\n", " ")


def _paragraphs(text: str | None) -> str:
    return "\n\n".join(map(_plain, (text or "").split("\n\n")))


def _plain(text: str | None) -> str:
    return " ".join((text or "").replace("|", "\\|").split()) if text else ""
