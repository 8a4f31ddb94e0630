"""The rule by which a head is chosen: nothing that concerns a class decides for it."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
CLASSES = ("a", "b", "c", "d")


def row(head: str, normal: str, aucs: dict[str, float]) -> dict[str, object]:
    return {"head": head, "normal": normal, "auc": aucs}


@pytest.fixture
def rows():
    """Head "even" has 0.8 everywhere; "odd" has 1.0 where "a" takes part, and 0.7 elsewhere."""
    found = []
    for normal in CLASSES:
        others = [name for name in CLASSES if name != normal]
        found.append(row("even", normal, dict.fromkeys(others, 0.8)))
        odd = {name: 1.0 if "a" in (name, normal) else 0.7 for name in others}
        found.append(row("odd", normal, odd))
    return found


def test_what_concerns_a_class_does_not_choose_its_head(rows, monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    develop = importlib.import_module("feature_develop")
    monkeypatch.setattr(develop, "read_rows", lambda path: rows)
    monkeypatch.setattr(develop, "CANDIDATES", ["even", "odd"])
    assert develop.means_without("a", rows) == pytest.approx({"even": 0.8, "odd": 0.7})
    # Without "b" four of six pairs have "a" in them.
    assert develop.means_without("b", rows)["odd"] == pytest.approx((4 * 1.0 + 2 * 0.7) / 6)
    assert develop.chosen_heads() == {"a": "even", "b": "odd", "c": "odd", "d": "odd"}


def test_nothing_is_chosen_before_all_was_run(rows, monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    develop = importlib.import_module("feature_develop")
    monkeypatch.setattr(develop, "read_rows", lambda path: rows[:-1])
    monkeypatch.setattr(develop, "CANDIDATES", ["even", "odd"])
    assert develop.chosen_heads() == {}
