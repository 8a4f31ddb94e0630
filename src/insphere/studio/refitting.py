"""New detectors of photos from another: with photos that were reviewed, or without some."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from nicegui import ui

from insphere.errors import DataError, InsphereError
from insphere.experiments.store.inspection_models import REVIEWS, Inspection, Photo
from insphere.experiments.store.inspections import DEFECTS, REGION, Inspections
from insphere.experiments.store.run_store import Store
from insphere.studio import controls, formatting
from insphere.studio.app_state import Studio
from insphere.studio.arrivals import free_place
from insphere.studio.frame import html, message
from insphere.workflows.group_table import GROUPS
from insphere.workflows.inspecting import InspectionPlan, learners, promised

AGAIN = " (again)"
TAKEN_OUT = "taken-out"  # folder of photos that a person took out


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
    if bad and found.settings.get("plan", {}).get("method") in learners():
        kept = f" Confirmed defects ({bad:,}) are added to the defects that it learns from."
    photos = "photo" if good == 1 else "photos"
    html(
        f'<p data-test="would-add">A new training adds the <b>{good:,} {photos} that you called '
        "good</b> to the others, for training and for the alarm. The result is a new detector; "
        f"this one stays as it is.{kept}</p>"
    )
    with ui.element("div").classes("row"):
        controls.button(
            f"Train again with {good:,} more {photos}",
            partial(make_another, studio, train_again, found.identity), "go",
            data_test="train-again",
        )  # fmt: skip


async def make_another(studio: Studio, how: Any, *given: Any) -> None:
    """Call `train_again` or `train_without` in a helper process, and open the page of the new one.

    Parameters
    ----------
    studio : Studio
        The studio that trains.
    how : callable
        One of the two.
    *given
        Its arguments after the store.
    """
    try:
        identity = await studio.ask(how, str(studio.store.path), *given)
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
    inspections = Inspections(Store(store))
    good, bad = (inspections.reviewed(identity, kind) for kind in REVIEWS[::-1])
    with _Another(inspections, identity) as new:
        new.keep(())
        for photo, path in good:
            folder = new.folder_for(photo)
            folder.mkdir(exist_ok=True)
            _link(path, free_place(folder, f"reviewed-{photo.file}"))
        for photo, path in bad:
            _link(path, free_place(new.beside[DEFECTS], photo.file))
        return new.add({"added": len(good)}, confirmed=len(bad))


def train_without(store: str, identity: str, files: Sequence[str]) -> str:
    """Add an inspection with the photos of another but some, which are kept beside them.

    They lie in ``taken-out``, and are not called anomalous by that.

    Parameters
    ----------
    store : str
        The file of the store.
    identity : str
        The inspection.
    files : sequence of str
        Paths of the photos to leave out, from the folder of its photos.

    Returns
    -------
    str
        Identity of the new inspection, which waits for its training.

    Raises
    ------
    DataError
        If there is no such photo.
    SpecError
        If the others are too few for what was promised.
    """
    inspections = Inspections(Store(store))
    before = inspections.need(identity)
    photos = inspections.photos(identity)
    known = {path.relative_to(photos).as_posix(): path for path in _files(photos)}
    missing = [name for name in files if name not in known]
    if missing:
        raise DataError(f"{missing[0]} is not among the photos of this detector any more.")
    promised(len(known) - len(files), InspectionPlan.model_validate(before.settings["plan"]).rate)
    with _Another(inspections, identity) as new:
        new.keep(files)
        for name in files:
            _link(known[name], free_place(new.beside[TAKEN_OUT], name))
        return new.add({"taken_out": list(files)})


class _Another:
    """The files of a new inspection while they are put together.

    Parameters
    ----------
    inspections : Inspections
        The store.
    identity : str
        The inspection that it follows.
    """

    def __init__(self, inspections: Inspections, identity: str) -> None:
        self._inspections, self._before = inspections, inspections.need(identity)
        self._folder = inspections.root / f".refit-{identity}-{os.getpid()}"
        self.photos = self._folder / "photos"
        self.beside = {name: self._folder / name for name in (DEFECTS, TAKEN_OUT)}
        self._files = [self._folder / name for name in (GROUPS, REGION)]

    def __enter__(self) -> _Another:
        shutil.rmtree(self._folder, ignore_errors=True)
        for folder in (self.photos, *self.beside.values()):
            folder.mkdir(parents=True)
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def keep(self, without: Iterable[str]) -> None:
        """Take the photos of the inspection before but some, and what lies beside them."""
        left_out = set(without)
        photos = self._inspections.photos(self._before.identity)
        for path in _files(photos):
            name = path.relative_to(photos).as_posix()
            if name not in left_out:
                (self.photos / name).parent.mkdir(parents=True, exist_ok=True)
                _link(path, self.photos / name)
        for name, place in self.beside.items():
            old = self._inspections.folder(self._before.identity) / name
            for path in _files(old) if old.is_dir() else ():
                _link(path, place / path.name)
        for place in self._files:
            old = self._inspections.folder(self._before.identity) / place.name
            if old.is_file():
                _link(old, place)

    def folder_for(self, photo: Photo) -> Path:
        """Return where a photo that was called good belongs: to its kind, if there are several."""
        several = any(path.is_dir() for path in self.photos.iterdir())
        return self.photos / (photo.kind or "reviewed") if several else self.photos

    def add(self, settings: dict[str, Any], *, confirmed: int = 0) -> str:
        """Add the inspection, which waits for its training; return its identity."""
        before = self._before
        settings = {"confirmed": before.settings.get("confirmed", 0) + confirmed} | settings
        title = before.title.removesuffix(AGAIN) + AGAIN
        found = self._inspections.add(
            title, {"plan": before.settings["plan"]} | settings, self.photos,
            parent=before.identity,
            beside=[
                *(place for place in self.beside.values() if any(place.iterdir())),
                *(place for place in self._files if place.is_file()),
            ],
        )  # fmt: skip
        return found.identity


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _link(source: Path, target: Path) -> None:
    """Let a file appear in a second place, without a copy where the disk allows it."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
