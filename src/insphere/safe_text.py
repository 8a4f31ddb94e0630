"""Safe output of foreign text, such as names of files, classes and data sets.

A terminal obeys control characters, and a spreadsheet evaluates a cell that starts like a formula.
Here both are only shown.
"""

from __future__ import annotations

import os
import re
from os import PathLike
from typing import Any

# C0 and C1 controls, line and paragraph separators, marks that reverse the reading direction, and
# bytes of file names that are not UTF-8.
_MARKS = r"\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff"
_CONTROLS = re.compile(rf"[\x00-\x1f{_MARKS}]")
_BUT_NEWLINES = re.compile(rf"[\x00-\x09\x0b-\x1f{_MARKS}]")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def visible(text: str) -> str:
    r"""Write control characters, including newlines, as escapes.

    Parameters
    ----------
    text : str
        A text that must stay on one line.

    Examples
    --------
    >>> visible("a\x1b[2Jb\nError: c")
    'a\\x1b[2Jb\\nError: c'
    """
    return _CONTROLS.sub(_escaped, text)


def visible_lines(text: str) -> str:
    r"""Write control characters as escapes, but leave newlines.

    Examples
    --------
    >>> visible_lines("one\r\ntwo")
    'one\\r\ntwo'
    """
    return _BUT_NEWLINES.sub(_escaped, text)


def shown_path(path: str | PathLike[str]) -> str:
    """Return a path for a message: `visible`, and shortened if it is long.

    Examples
    --------
    >>> shown_path("a" * 500) == "a" * 60 + "…" + "a" * 40
    True
    """
    text = os.fspath(path)
    return visible(text if len(text) <= 120 else f"{text[:60]}…{text[-40:]}")


def reason(error: BaseException) -> str:
    """Return what a library said of a file, for a message: some quote the file at full length.

    Examples
    --------
    >>> len(reason(ValueError("a" * 5000)))
    161
    """
    text = visible(str(error))
    return text if len(text) <= 200 else f"{text[:120]}…{text[-40:]}"


def csv_cell(value: Any) -> Any:
    """Return a value for a cell of a CSV file; text that starts like a formula gets a quote first.

    Numbers stay as they are. See OWASP, "CSV injection".

    Examples
    --------
    >>> csv_cell("=cmd()"), csv_cell("good/1.png"), csv_cell(-1.5)
    ("'=cmd()", 'good/1.png', -1.5)
    """
    if isinstance(value, str) and value.lstrip(" \u00a0").startswith(_FORMULA):
        return "'" + value
    return value


def csv_row(values: Any) -> Any:
    """Apply `csv_cell` to a list, or to the values of a dict."""
    if isinstance(values, dict):
        return {key: csv_cell(value) for key, value in values.items()}
    return [csv_cell(value) for value in values]


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")
