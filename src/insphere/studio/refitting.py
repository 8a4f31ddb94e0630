"""The button that trains again with the photos that a person reviewed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from nicegui import ui

from insphere.errors import InsphereError
from insphere.experiments.store.inspection_models import Inspection
from insphere.studio import controls, formatting
from insphere.studio.app_state import Studio
from insphere.studio.arrivals import free_place
from insphere.studio.frame import html, message


def outcome(studio: Studio, found: Inspection, lines: Sequence[tuple[str, str]]) -> None:
    """Show what reviews say, and offer a new training with them; nothing if there are no lines."""
    if not lines:
        return
    with ui.element("section").classes("card stack"):
        html("<h2>What your reviews say</h2>")
        html(formatting.statements(lines, "learned"))
        offer(studio, found)


def offer(studio: Studio, found: Inspection) -> None:
    """Say what a new training would add, and offer it; nothing without reviews."""
    good = len(studio.inspections.reviewed(found.identity, "normal"))
    bad = len(studio.inspections.reviewed(found.identity, "anomalous"))
    if not good:
        return
    kept = f" Confirmed defects ({bad:,}) are kept apart and are not trained on." if bad else ""
    photos = "photo" if good == 1 else "photos"
    html(
        f'<p data-test="would-add">A new training adds the <b>{good:,} {photos} that you called '
        "good</b> to the others, for training and for the alarm. The result is a new detector; "
        f"this one stays as it is.{kept}</p>"
    )
    with ui.element("div").classes("row"):
        controls.button(
            f"Train again with {good:,} more {photos}", partial(_again, studio, found), "go",
            data_test="train-again",
        )  # fmt: skip


async def _again(studio: Studio, found: Inspection) -> None:
    try:
        identity = await studio.ask(train_again, str(studio.store.path), found.identity)
    except InsphereError as error:
        message(str(error), "bad")
        return
    studio.jobs.keep_working()
    ui.navigate.to(f"/photos/{identity}")


def train_again(store: str, identity: str) -> str:
    """Add an inspection with the photos of another and those that were called good since.

    The defects that were confirmed lie in ``anomalies`` beside its photos, in the form that
    ``insphere fit --anomalies`` reads.

    Returns
    -------
    str
        Identity of the new inspection, which waits for its training.
    """
    from insphere.experiments.store.inspections import Inspections
    from insphere.experiments.store.run_store import Store

    inspections = Inspections(Store(store))
    before = inspections.need(identity)
    partial_folder = inspections.root / f".refit-{identity}-{os.getpid()}"
    shutil.rmtree(partial_folder, ignore_errors=True)
    photos, defects = partial_folder / "photos", partial_folder / "anomalies"
    photos.mkdir(parents=True)
    defects.mkdir()
    for path in sorted(inspections.photos(identity).iterdir()):
        _link(path, photos / path.name)
    old = inspections.folder(identity) / "anomalies"
    for path in sorted(old.iterdir()) if old.is_dir() else ():
        _link(path, defects / path.name)
    good = inspections.reviewed(identity, "normal")
    for photo, path in good:
        _link(path, free_place(photos, f"reviewed-{photo.file}"))
    for photo, path in inspections.reviewed(identity, "anomalous"):
        _link(path, free_place(defects, photo.file))
    settings = {"plan": before.settings["plan"], "added": len(good)}
    title = before.title.removesuffix(" (again)") + " (again)"
    found = inspections.add(title, settings, photos, parent=identity)
    shutil.move(defects, inspections.folder(found.identity) / "anomalies")
    shutil.rmtree(partial_folder, ignore_errors=True)
    return found.identity


def _link(source: Path, target: Path) -> None:
    """Let a file appear in a second place, without a copy where the disk allows it."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
