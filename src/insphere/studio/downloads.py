"""Downloads: tables, figures, pages and models."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fastapi import HTTPException, Response
from nicegui import app

from insphere.detectors.model_folder import model_files
from insphere.errors import DataError, InsphereError
from insphere.experiments.analysis.run_collection import selected_runs
from insphere.experiments.plots.catalogue import plan
from insphere.experiments.plots.run_comparison import as_csv, as_page
from insphere.experiments.store.run_record import Run
from insphere.figures import to_png
from insphere.studio.app_state import Studio

MOST = 200  # runs in a figure or a page
_IDENTITY = re.compile(r"[0-9a-f]{12}")


def register(studio: Studio) -> None:
    """Register the downloads at their addresses."""

    @app.get("/download/runs.csv")
    def runs_csv(runs: str = "") -> Response:
        with _refusals():
            selected = studio.store.runs(runs.split(",")) if runs else studio.store.runs()
            table = as_csv(selected, studio.store.runs())
        return _file(table.encode(), "text/csv; charset=utf-8", "runs.csv")

    @app.get("/download/runs.png")
    def runs_png(runs: str, figure: str = "bars") -> Response:
        with _refusals():
            selected, among = _some(studio, runs), studio.store.runs()
            collection = selected_runs(selected, studio.store.files, among)
            found, left_out = plan(collection, [figure])
            if not found:
                needs = ", ".join(left_out.values())
                raise DataError(f"This figure needs {needs}.")
            drawn = to_png(found[0].draw())
        return _file(drawn, "image/png", f"{found[0].name}.png")

    @app.get("/download/runs.html")
    def runs_html(runs: str) -> Response:
        with _refusals():
            page = as_page(_some(studio, runs), studio.store.files, studio.store.runs())
        return _file(page.encode(), "text/html; charset=utf-8", "runs.html")

    @app.get("/download/models/{name}.zip")
    def model_zip(name: str) -> Response:
        if not _IDENTITY.fullmatch(name) or not studio.has_model(name):
            raise HTTPException(404, "There is no such model in this store.")
        with _refusals():
            packed = packed_model(studio.store.files.model(name), name)
        return _file(packed, "application/zip", f"insphere-{name}.zip")


@contextmanager
def _refusals() -> Iterator[None]:
    """Answer what cannot be made with status 422 and the sentence that says why."""
    try:
        yield
    except InsphereError as error:
        raise HTTPException(422, str(error)) from error


def packed_model(folder: Path, name: str) -> bytes:
    """Return a zip file that contains the folder of a model."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for part, content in model_files(folder).items():
            archive.writestr(f"insphere-{name}/{part}", content)
    return file.getvalue()


def _some(studio: Studio, names: str) -> list[Run]:
    identities = [name for name in names.split(",") if _IDENTITY.fullmatch(name)][:MOST]
    return studio.store.runs(identities)


def _file(content: bytes, kind: str, name: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(content, media_type=kind, headers=headers)
