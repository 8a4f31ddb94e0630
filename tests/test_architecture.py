"""The map in ``docs/architecture.md``, the rules of the rooms and the real imports agree."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import pytest

from test_layering import MAY_IMPORT, SOURCE

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "tools"))

import room_table  # noqa: E402

PAGE = room_table.PAGE.read_text("utf-8")
LAYERS = room_table.layers(PAGE)
LEVEL = {room: level for level, row in enumerate(LAYERS) for room in row}
TOP = {"__init__"}  # the package itself, which hands on names of two rooms


def test_the_diagram_shows_every_room_once():
    rooms = {path.relative_to(SOURCE).parts[0].removesuffix(".py") for path in SOURCE.rglob("*.py")}
    shown = [room for row in LAYERS for room in row]
    assert sorted(shown) == sorted(rooms - TOP)
    assert set(shown) == set(MAY_IMPORT) - TOP


@pytest.mark.parametrize("room", sorted(LEVEL))
def test_rules_and_imports_lead_downwards_in_the_diagram(room):
    allowed = {entry.split(".")[0] for entry in MAY_IMPORT[room]}
    for other in allowed | room_table.imports()[room]:
        assert LEVEL[other] > LEVEL[room], f"{room} is not above {other}"


def test_the_table_shows_the_real_imports():
    written = room_table.TABLE.search(PAGE)
    assert written is not None
    assert written[0] == room_table.table(PAGE), "run python tools/room_table.py"


def test_import_linter_has_the_same_layers():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]
    (contract,) = (c for c in settings["contracts"] if c.get("id") == "rooms")
    layers = [set(re.split(r"\s*[|:]\s*", layer)) for layer in contract["layers"]]
    shown = [set(row) for row in LAYERS]
    assert layers == [*shown[:-2], shown[-2] | shown[-1]]  # the lowest layer takes two lines


def test_paths_on_the_page_exist():
    named = set(re.findall(r"`((?:[a-z_]+/)+(?:[a-z_]+\.py)?)`", PAGE.partition("## What an ")[0]))
    assert len(named) > 30
    roots = (SOURCE, ROOT)
    missing = [path for path in named if not any((root / path).exists() for root in roots)]
    assert not missing
