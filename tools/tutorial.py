"""Runs the tutorial: ``python tools/tutorial.py [--write]``.

Every ``python`` block of ``docs/tutorial.md`` is executed, in order and in one namespace, and every
``insphere`` command in a ``sh`` block. What they print is compared with the ``text`` block that
follows. With ``--write`` it replaces that block instead. All of it happens in an empty temporary
folder.

Words must be the same. Numbers may differ by 5 % and two hundredths, because processors round
differently and training amplifies that; times are not compared.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[1] / "docs" / "tutorial.md"
BLOCK = re.compile(
    r"^```(?P<language>python|sh)\n(?P<code>.*?)^```\n(?:\n```text\n(?P<output>.*?)^```\n)?",
    re.DOTALL | re.MULTILINE,
)
NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?")
TIME = re.compile(r"\bin [\d.]+ s\b")


@dataclass(frozen=True)
class Difference:
    """A block that printed something else than the page says.

    Parameters
    ----------
    code, expected, printed : str
        What was run, what the page says, and what came out.
    """

    code: str
    expected: str
    printed: str


def run_block(language: str, code: str, namespace: dict[str, Any]) -> str:
    """Run one block in the current folder and return what it prints.

    Raises
    ------
    RuntimeError
        If a command fails.
    """
    if language == "python":
        out = StringIO()
        with redirect_stdout(out):
            exec(compile(code, str(PAGE), "exec"), namespace)
        return out.getvalue()
    printed = []
    for line in code.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words[:1] != ["insphere"]:
            continue  # installs something, or is empty
        done = subprocess.run(
            [sys.executable, "-m", *words], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{line}\n{done.stderr}")
        printed.append(done.stdout)
    return "".join(printed)


def agree(expected: str, printed: str) -> bool:
    """Compare two outputs: words exactly, numbers within the tolerance, times not at all."""
    sides = [TIME.sub("in … s", text).split() for text in (expected, printed)]
    words = [[NUMBER.sub("#", word) for word in side] for side in sides]
    if words[0] != words[1]:
        return False
    numbers = [[float(n) for word in side for n in NUMBER.findall(word)] for side in sides]
    return all(
        abs(a - b) <= 0.05 * max(abs(a), abs(b)) + 0.02 for a, b in zip(*numbers, strict=True)
    )


def run(text: str) -> tuple[str, list[Difference]]:
    """Run all blocks of a page in the current folder.

    Returns
    -------
    str
        The page with what was printed in place of what it said.
    list of Difference
        Blocks whose output does not agree with the page.
    """
    namespace: dict[str, Any] = {"__name__": "tutorial"}
    differences: list[Difference] = []

    def replaced(match: re.Match[str]) -> str:
        code, expected = match["code"], match["output"] or ""
        printed = run_block(match["language"], code, namespace)
        printed = "".join(f"{line.rstrip()}\n" for line in printed.splitlines())
        if not agree(expected, printed):
            differences.append(Difference(code, expected, printed))
        block = f"```{match['language']}\n{code}```\n"
        return f"{block}\n```text\n{printed}```\n" if printed else block

    return BLOCK.sub(replaced, text), differences


def main() -> int:
    """Run the page, and check or rewrite it."""
    os.environ.setdefault("MPLBACKEND", "agg")
    text = PAGE.read_text("utf-8")
    with tempfile.TemporaryDirectory() as folder:
        before = Path.cwd()
        os.chdir(folder)
        try:
            written, differences = run(text)
        finally:
            os.chdir(before)
    if "--write" in sys.argv:
        PAGE.write_text(written, "utf-8")
        return 0
    for difference in differences:
        print(f"{difference.code}\nsays:\n{difference.expected}\nbut prints:\n{difference.printed}")
    return int(bool(differences))


if __name__ == "__main__":
    raise SystemExit(main())
