"""Makes the pictures of the studio's pages for photos: ``python tools/photo_pictures.py``.

Needs ``magnetic-tiles.zip`` in the folder that INSPHERE_DATA names, the extras "dev" and
"pretrained", and Chromium. It trains on some good tiles, scores others, and writes pictures to
``docs/images``. With the name of a folder, it also writes every page there, wide and narrow, light
and dark, to be looked at.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from studio_pictures import FLAGS, WIDTH, keep, opened, running_studio

GOOD, NEW = 65, 41  # tiles
READY = "document.querySelector('[data-test=photos]')?.ready"
NARROW = 390
EAGER = "document.querySelectorAll('img').forEach((i) => { i.loading = 'eager' })"


def tiles(folder: Path) -> tuple[list[Path], list[Path]]:
    """Write some good tiles, and new ones of which about half are defective."""
    found: dict[str, list[Path]] = {"good": [], "new": []}
    with zipfile.ZipFile(Path(os.environ["INSPHERE_DATA"]) / "magnetic-tiles.zip") as archive:
        names = [name for name in sorted(archive.namelist()) if name.endswith(".jpg")]
        parts = {
            "good": [name for name in names if "/train/good/" in name],
            "new": [name for name in names if "/test/" in name],
        }
        for kind, count in (("good", GOOD), ("new", NEW)):
            (folder / kind).mkdir()
            for name in parts[kind][:: len(parts[kind]) // count][:count]:
                path = folder / kind / f"tile-{len(found[kind]) + 1:03}.jpg"
                path.write_bytes(archive.read(name))
                found[kind].append(path)
    return found["good"], found["new"]


def give(page: Page, files: list[Path]) -> None:
    """Hand files to the field of a page."""
    page.wait_for_function(READY)
    page.set_input_files("[data-test=files]", files)


def main() -> None:
    """Make all pictures."""
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    look_at = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    with (
        tempfile.TemporaryDirectory() as place,
        running_studio(Path(place)) as address,
        sync_playwright() as playwright,
    ):
        good, new = tiles(Path(place))
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        page = opened(browser, f"{address}/photos")
        give(page, good)
        page.wait_for_selector("text=/about .* here/")
        page.fill("input[name=title]", "Magnetic tiles, line 2")
        page.press("input[name=title]", "Tab")
        show(page, look_at, "form")
        page.click("[data-test=train-photos]")
        page.wait_for_selector("[data-test=step]")
        show(page, look_at, "training")
        page.wait_for_selector("[data-state=finished]")
        detector = page.url
        give(page, new)
        page.wait_for_url(re.compile("/photos/[0-9a-f]{12}/[0-9a-f]{12}"))
        page.wait_for_selector(f"text={len(new)} of {len(new)}")
        queue = page.url
        groups = of_groups(page, address, Path(place), good, look_at) if look_at else detector
        for scheme, name in (("light", "photos-queue.png"), ("dark", "photos-queue-dark.png")):
            page = opened(browser, queue, scheme)
            page.wait_for_selector("[data-test=shot-map]")
            keep(page, name, 1085)
        for key in "rrf":
            before = page.inner_text("[data-test=place]")
            page.keyboard.press(key)
            page.wait_for_function(
                "(b) => document.querySelector('[data-test=place]').innerText !== b", arg=before
            )
        page = opened(browser, detector)
        page.evaluate(EAGER)
        keep(page, "photos-known.png", 730)
        everything = {
            "start": address, "photos": f"{address}/photos", "known": detector, "queue": queue,
            "all": f"{queue.partition('?')[0]}?show=all", "groups": groups,
            "unreadable": f"{queue.partition('?')[0]}?show=unreadable",
            "no-detector": f"{address}/photos/{12 * '0'}",
        }  # fmt: skip
        for scheme in ("light", "dark"):
            for name, where in everything.items():
                page = opened(browser, where, scheme)
                show(page, look_at, f"{name}-{scheme}")
                if name == "queue":
                    page.set_viewport_size({"width": WIDTH, "height": 1000})
                    page.keyboard.press("e")
                    page.wait_for_selector("[data-test=enlarged-map]")
                    show(page, look_at, f"enlarged-{scheme}")
                page.close()
        browser.close()


def of_groups(page: Page, address: str, folder: Path, good: list[Path], look_at: Path) -> str:
    """Train on photos in two folders, as kinds and groups; return the detector's address."""
    packed, bad = folder / "groups.zip", folder / "bad.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for number, path in enumerate(good):
            archive.write(path, f"{'early' if number % 2 else 'late'}/{path.name}")
    with zipfile.ZipFile(bad, "w") as archive:
        for path in sorted((folder / "new").iterdir())[:5]:
            archive.write(path, path.name)
    page.goto(f"{address}/photos")
    give(page, [packed])
    page.wait_for_selector("[data-test=take-folder]")
    show(page, look_at, "folders")
    page.click("[aria-label='Folders of good parts'] [role=checkbox][aria-checked=false]")
    page.click("[data-test=take-folder]:has-text('these folders')")
    page.wait_for_selector("input[name=by-folder]")
    page.wait_for_function("document.querySelector('[data-test=defect-photos]').ready")
    page.set_input_files("[data-test=defect-files]", [bad])
    page.wait_for_selector("[data-test=n-defects]")
    page.click("[role=radio]:has-text('Each is a kind of its own')")
    page.check("input[name=by-folder]")
    show(page, look_at, "kinds-and-defects")
    page.click("[data-test=no-defects]")
    page.click("[data-test=train-photos]")
    page.wait_for_selector("[data-state=finished]")
    return page.url


def show(page: Page, folder: Path | None, name: str) -> None:
    """Write a whole page, wide and narrow, to be looked at."""
    if folder is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    page.evaluate(EAGER)
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    for width in (WIDTH, NARROW):
        page.set_viewport_size({"width": width, "height": 1000})
        page.wait_for_timeout(2000)
        page.screenshot(path=folder / f"{name}-{width}.png", full_page=True)


if __name__ == "__main__":
    main()
