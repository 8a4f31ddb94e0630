"""The field for uploads: it checks limits and decodes what arrives."""

from __future__ import annotations

import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from nicegui import events, ui

from insphere.errors import InsphereError
from insphere.studio.app_state import Studio
from insphere.studio.frame import message
from insphere.studio.image_sources import Source
from insphere.studio.uploads import keep_new, keep_zip
from insphere.web.uploads import LIMITS


def drop_zip(
    studio: Studio,
    then: Callable[[Source], Awaitable[None] | None],
    *,
    only_scored: bool = False,
) -> None:
    """Add a field for a zip of images. `then` is called with the new source.

    Parameters
    ----------
    studio : Studio
        Whose folder of uploads is used.
    then : callable
        What is done with the images.
    only_scored : bool
        Whether the images are only scored: they need no classes, and are not offered as a source.
    """
    keep = keep_new if only_scored else keep_zip
    result = ui.element("div").props('aria-live="polite"')

    async def arrived(event: events.UploadEventArguments) -> None:
        result.clear()
        with result:
            busy = ui.label("Reading the images…").classes("muted")
        uploader.reset()
        try:
            path = await _kept(studio, event.file, keep)
            source = (
                Source(path.stem, str(path), path.stem, "uploaded")
                if only_scored
                else studio.sources.get(str(path))
            )
        except InsphereError as error:
            result.clear()
            with result:
                message(str(error), "bad")
            return
        busy.delete()
        outcome = then(source)
        if outcome is not None:
            await outcome

    def rejected(_: Any) -> None:
        result.clear()
        with result:
            message(f"This is no zip, or it is larger than {LIMITS.bytes // 1_000_000} MB.", "bad")

    uploader = drop(".zip", "Drop a zip file here, or choose one", arrived, rejected)


def drop(accept: str, label: str, arrived: Any, rejected: Any) -> ui.upload:
    """Add a field for one file, which can be dropped or chosen."""
    uploader = ui.upload(
        label=label,
        auto_upload=True,
        max_file_size=LIMITS.bytes,
        on_upload=arrived,
        on_rejected=rejected,
    )
    uploader.props["accept"] = accept
    return uploader.props("flat bordered no-thumbnails")


async def _kept(studio: Studio, file: Any, keep: Callable[[Path, Path, str], Path]) -> Path:
    """Save an upload under a fixed name, and check it in a helper process."""
    studio.uploads.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=studio.uploads, prefix=".arriving-") as folder:
        path = Path(folder) / "upload.zip"
        await file.save(path)
        return await studio.ask(keep, path, studio.uploads, str(file.name))
