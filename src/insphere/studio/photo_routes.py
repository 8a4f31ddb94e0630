"""Addresses of photos: where they arrive, where their pictures are, and what is taken away."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fastapi import HTTPException, Request, Response
from fastapi.responses import FileResponse, StreamingResponse
from nicegui import app

from insphere.errors import InsphereError
from insphere.experiments.execution.photo_scoring import LARGE, draw_one, thumbnail
from insphere.experiments.store.inspection_models import Batch, Inspection
from insphere.experiments.store.inspections import IDENTITY, REGION
from insphere.safe_text import csv_row
from insphere.scoring.severity import severity_step
from insphere.studio.app_state import Studio
from insphere.studio.arrivals import unpack
from insphere.studio.batch_report import batch_report
from insphere.studio.downloads import packed_model
from insphere.workflows.group_table import GROUPS

COLUMNS = (
    "path", "score", "z_score", "verdict", "p_value", "severity", "step", "review", "error",
)  # fmt: skip
KEPT = {"Cache-Control": "private, max-age=86400"}


def register(studio: Studio) -> None:
    """Register the addresses."""
    inspections = studio.inspections

    @app.post("/photo-files/arriving/{ticket}")
    async def arriving(ticket: str, name: str, request: Request) -> dict[str, int | str]:
        try:
            path = await studio.arrivals.receive(ticket, name, request.stream())
            if path.suffix == ".zip":
                count = await studio.ask(unpack, path, studio.arrivals.photos(ticket))
                return {"photos": count}
        except InsphereError as error:
            return {"photos": 0, "refused": str(error)}
        return {"photos": 1}

    @app.get("/photo-files/{inspection}/pictures/{name}.jpg")
    def example(inspection: str, name: str) -> Response:
        _inspection(studio, inspection)
        if not name.replace("-", "").isalnum():
            raise HTTPException(404, "There is no such picture.")
        return _jpeg(inspections.pictures(inspection) / f"{name}.jpg")

    @app.get("/photo-files/batches/{batch}/{kind}/{key}.jpg")
    async def picture(batch: str, kind: str, key: int) -> Response:
        found = _batch(studio, batch)
        photo = inspections.photo(key)
        if photo is None or photo.batch != batch or kind not in ("thumb", "large", "map"):
            raise HTTPException(404, "There is no such photo.")
        folder = inspections.batch_folder(found)
        source = folder / "photos" / photo.file
        if kind == "map":
            path = folder / "maps" / f"{key}.jpg"
            if not path.is_file():
                try:
                    await studio.ask(draw_one, str(studio.store.path), key)
                except InsphereError as error:
                    raise HTTPException(422, str(error)) from error
            return _jpeg(path)
        path = folder / f"{kind}s" / f"{key}.jpg"
        if not path.is_file():
            await studio.ask(thumbnail, source, path, *((LARGE,) if kind == "large" else ()))
        return _jpeg(path)

    @app.get("/photo-files/{inspection}/model.zip")
    def model(inspection: str) -> Response:
        found = _inspection(studio, inspection)
        if found.state != "finished":
            raise HTTPException(404, "There is no model yet.")
        packed = packed_model(inspections.model(inspection), inspection)
        folder = inspections.folder(inspection)
        beside = (folder / name for name in ("fit.yaml", GROUPS, REGION))
        packed = _with_files(packed, beside, inspection)
        return _file(packed, "application/zip", f"{_named(found.title)}-model.zip")

    @app.get("/photo-files/batches/{batch}.csv")
    def table(batch: str) -> Response:
        found = _batch(studio, batch)
        name = f"{_named(found.title)}.csv"
        return StreamingResponse(
            _rows(studio, batch), media_type="text/csv; charset=utf-8", headers=_as_file(name)
        )

    @app.get("/photo-files/batches/{batch}.html")
    def report(batch: str) -> Response:
        found = _batch(studio, batch)
        inspection = _inspection(studio, found.inspection)
        page = batch_report(inspections, inspection, found)
        return _file(page.encode(), "text/html; charset=utf-8", f"{_named(found.title)}.html")

    @app.get("/photo-files/{inspection}/reviews.zip")
    def reviews(inspection: str) -> Response:
        found = _inspection(studio, inspection)
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            for kind, folder in (("normal", "good"), ("anomalous", "anomalous")):
                for photo, path in inspections.reviewed(inspection, kind):  # type: ignore[arg-type]
                    archive.write(path, f"reviews/{folder}/{photo.key}-{photo.file}")
        return _file(file.getvalue(), "application/zip", f"{_named(found.title)}-reviews.zip")


def _rows(studio: Studio, batch: str) -> Iterator[str]:
    """Yield the lines of the table, which need not fit the memory."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    kinds = _has_kinds(studio, batch)
    writer.writerow((*COLUMNS, "class") if kinds else COLUMNS)
    for photo in studio.inspections.every(batch):
        verdict = None if photo.alarm is None else "anomalous" if photo.alarm else "normal"
        step = None if photo.severity is None else severity_step(photo.severity)
        values: list[Any] = [photo.name, photo.score, photo.z_score, verdict, photo.p_value]
        values += [photo.severity, step, photo.review, photo.error]
        writer.writerow(csv_row([*values, photo.kind] if kinds else values))
        if file.tell() > 1 << 16:
            yield file.getvalue()
            file.seek(0)
            file.truncate()
    yield file.getvalue()


def _has_kinds(studio: Studio, batch: str) -> bool:
    """Whether the photos were scored by a detector of several kinds of parts."""
    found = studio.inspections.batch(batch)
    inspection = None if found is None else studio.inspections.get(found.inspection)
    return bool(inspection is not None and (inspection.result or {}).get("by_class"))


def _with_files(packed: bytes, files: Iterable[Path], name: str) -> bytes:
    """Add files to a packed model, those of them that there are."""
    file = io.BytesIO(packed)
    with zipfile.ZipFile(file, "a", zipfile.ZIP_DEFLATED) as archive:
        for path in files:
            if path.is_file():
                archive.write(path, f"insphere-{name}/{path.name}")
    return file.getvalue()


def _inspection(studio: Studio, identity: str) -> Inspection:
    found = studio.inspections.get(identity) if IDENTITY.fullmatch(identity) else None
    if found is None:
        raise HTTPException(404, "There are no such photos in this store.")
    return found


def _batch(studio: Studio, identity: str) -> Batch:
    found = studio.inspections.batch(identity) if IDENTITY.fullmatch(identity) else None
    if found is None:
        raise HTTPException(404, "There are no such photos in this store.")
    return found


def _jpeg(path: Path) -> Response:
    if not path.is_file():
        raise HTTPException(404, "There is no such picture.")
    return FileResponse(path, media_type="image/jpeg", headers=KEPT)


def _named(title: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in title)[:60] or "photos"


def _as_file(name: str) -> dict[str, str]:
    return {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(name)}"}


def _file(content: bytes, kind: str, name: str) -> Response:
    return Response(content, media_type=kind, headers=_as_file(name))
