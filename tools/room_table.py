"""The table of imports in ``docs/architecture.md``: ``python tools/room_table.py [--check]``.

Rewrites the table from the imports of the package. With ``--check`` nothing is written, and the
exit code is 1 if the page says anything else.
"""

from __future__ import annotations

import re
import sys
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "tests"))

from test_layering import TREES, room_of, rooms_imported  # noqa: E402

PAGE = ROOT / "docs" / "architecture.md"
TABLE = re.compile(r"(?<=<!-- imports -->\n\n).*?(?=\n<!-- end -->)", re.DOTALL)
DIAGRAM = re.compile(r"<!-- rooms -->\n\n```text\n(.*?)```", re.DOTALL)


def layers(page: str) -> list[list[str]]:
    """Return the rooms of the diagram, layer by layer from the top."""
    found = DIAGRAM.search(page)
    if found is None:
        raise ValueError("The page has no diagram of rooms.")
    rows = (line.replace("│", " ").split() for line in found[1].splitlines())
    return [row for row in rows if row]


@cache
def imports() -> dict[str, set[str]]:
    """Return the rooms that each room imports, as the source says."""
    found: dict[str, set[str]] = {}
    for path, tree in TREES.items():
        rooms = {name.split(".")[0] for name in rooms_imported(path, tree)}
        found.setdefault(room_of(path), set()).update(rooms)
    return found


def table(page: str) -> str:
    """Return the table of imports, in the order of the diagram."""
    order = [room for row in layers(page) for room in row]
    found = imports()
    lines = ["| room | imports |", "| --- | --- |"]
    for room in order:
        named = [f"`{other}`" for other in order if other in found.get(room, ())]
        lines.append(f"| `{room}` | {', '.join(named) or 'nothing of the package'} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Rewrite the page, or check it."""
    page = PAGE.read_text("utf-8")
    written = TABLE.sub(lambda _: table(page), page)
    if written == page:
        return 0
    print("docs/architecture.md: the table of imports differs from the code.")
    if "--check" in sys.argv:
        return 1
    PAGE.write_text(written, "utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
