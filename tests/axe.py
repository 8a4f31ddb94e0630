"""What axe-core finds on a page: rules of the Web Content Accessibility Guidelines, checked."""

from __future__ import annotations

from typing import Any

GRAVE = ("serious", "critical")


def grave_violations(page: Any) -> list[str]:
    """Return the serious and critical violations on a page, each with the element."""
    import pytest

    module = pytest.importorskip("axe_playwright_python.sync_playwright")
    found = module.Axe().run(page).response["violations"]
    return [
        f"{one['id']} ({one['help']}): {node['html'][:160]} {node['failureSummary'][:200]}"
        for one in found
        if one["impact"] in GRAVE
        for node in one["nodes"]
    ]
