"""What axe-core finds on a page: rules of the Web Content Accessibility Guidelines, checked."""

from __future__ import annotations

from collections.abc import Iterable
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


def check_pages(page: Any, address: str, paths: Iterable[str]) -> None:
    """Check that pages fit into narrow and wide windows and have no grave violation."""
    for width in (390, 1280):
        page.set_viewport_size({"width": width, "height": 844})
        for path in paths:
            page.goto(address + path)
            page.wait_for_selector("h1")
            page.wait_for_timeout(500)
            wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert wide <= 0, f"{path} is {wide} pixels too wide"
            assert grave_violations(page) == [], path
