"""Scoring a batch of photos, a few at a time, and the pictures of them for the screen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from insphere.data.image_set import ImageSet
from insphere.data.letterbox import content_size
from insphere.data.load import load_paths
from insphere.data.pixels import open_image
from insphere.data.read_options import ReadOptions
from insphere.data.value_range import shown_as_uint8
from insphere.detectors.base.estimator import OneClassDetector
from insphere.detectors.model_folder import load_detector
from insphere.errors import DataError
from insphere.experiments.store.inspection_models import Batch, Inspection, Photo
from insphere.experiments.store.inspections import Inspections
from insphere.experiments.store.run_store import Store
from insphere.explain.heat import HeatScale, heat_maps
from insphere.figures.overlay import heat_overlay
from insphere.workflows.provenance import read_like_training
from insphere.workflows.score_source import score_images

BATCH = 16  # photos that are read, scored and recorded together
QUALITY = 88  # of pictures for the screen
THUMB, LARGE = 200, 1600  # longest side in pixels


def score(inspections: Inspections, identity: str) -> None:
    """Score the photos of a batch that have no score yet, a few at a time.

    What was recorded stays if the process is killed. The memory that is needed does not depend on
    the number of photos.
    """
    batch = inspections.batch(identity)
    inspection = None if batch is None else inspections.get(batch.inspection)
    if batch is None or inspection is None:
        return
    if inspection.state != "finished":
        raise DataError("The detector of these photos is not trained yet.")
    detector = load_detector(inspections.model(inspection.identity))
    while photos := inspections.to_do(identity, BATCH):
        _score_some(inspections, batch, inspection, detector, photos)
    inspections.finish_batch(identity)


def _score_some(
    inspections: Inspections,
    batch: Batch,
    inspection: Inspection,
    detector: OneClassDetector,
    photos: Sequence[Photo],
) -> None:
    folder = inspections.batch_folder(batch)
    rows: list[tuple[int, dict[str, Any]]] = []
    good, bad = _read(folder / "photos", photos, detector)
    for some, data in good:
        scored = score_images(
            detector, data, np.arange(len(data)), "all images", (), progress=False
        )
        flagged = scored.flagged
        kinds = _kinds(inspection, detector, data)
        for place, photo in enumerate(some):
            values = {
                "score": float(scored.scores[place]),
                "z_score": float(scored.z_scores[place]),
                "alarm": bool(flagged[place]),
                "kind": kinds[place],
            }
            if scored.calibrated:
                values["p_value"] = float(scored.p_values[place])
                values["severity"] = float(scored.severities[place])
            rows.append((photo.key, values))
            thumbnail(folder / "photos" / photo.file, folder / "thumbs" / f"{photo.key}.jpg")
        alarms = np.flatnonzero(flagged)
        if len(alarms):
            images = data.take(alarms)
            keys = [some[int(place)].key for place in alarms]
            for photo in (some[int(row)] for row in alarms):
                large = folder / "larges" / f"{photo.key}.jpg"
                thumbnail(folder / "photos" / photo.file, large, LARGE)
            reference = _reference(inspections, inspection)
            draw_maps(detector, images, keys, folder / "maps", _scale(inspection), reference)
    for photo, reason in bad:
        rows.append((photo.key, {"error": reason}))
    inspections.record(rows)


def _kinds(inspection: Inspection, detector: OneClassDetector, data: ImageSet) -> list[str | None]:
    """Return the kind of part that each photo is most like; None of a detector of one kind."""
    if not (inspection.result or {}).get("by_class"):
        return [None] * len(data)
    found: list[str | None] = [str(kind) for kind in detector.predict_class(data.images)]
    return found


def _read(
    folder: Path, photos: Sequence[Photo], detector: OneClassDetector
) -> tuple[list[tuple[list[Photo], ImageSet]], list[tuple[Photo, str]]]:
    """Read photos together, or one by one if one of them cannot be read."""
    try:
        return [(list(photos), read_photos([folder / one.file for one in photos], detector))], []
    except DataError as error:
        if len(photos) == 1:
            return [], [(photos[0], str(error))]
    good: list[tuple[list[Photo], ImageSet]] = []
    bad: list[tuple[Photo, str]] = []
    for photo in photos:
        try:
            good.append(([photo], read_photos([folder / photo.file], detector)))
        except DataError as error:
            bad.append((photo, str(error)))
    return good, bad


def read_photos(paths: Sequence[Path], detector: OneClassDetector) -> ImageSet:
    """Read photos as those that the detector was trained on.

    Raises
    ------
    DataError
        If one of them cannot be read.
    """
    reading = read_like_training(detector, ReadOptions())
    return load_paths(
        list(paths), size=reading.size, fit=reading.fit, channels=reading.channels, progress=False
    )


def draw_maps(
    detector: OneClassDetector,
    images: Any,
    keys: Sequence[int],
    folder: Path,
    scale: HeatScale | None,
    reference: Any = None,
) -> None:
    """Save the heat maps of photos over them, named by their keys; nothing without a scale."""
    if scale is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    shown = shown_as_uint8(images, detector.value_range_)
    maps = heat_maps(detector, images, reference=reference)
    for key, image, heat in zip(keys, shown, maps, strict=True):
        save_picture(overlay(image, heat, scale), folder / f"{key}.jpg")


def draw_one(store: str, photo: int) -> bool:
    """Save the heat map of one photo that has none yet; whether there is one now.

    For helper processes: they keep the last model in memory.
    """
    inspections = Inspections(Store(store))
    found = inspections.photo(photo)
    batch = None if found is None else inspections.batch(found.batch)
    inspection = None if batch is None else inspections.get(batch.inspection)
    if found is None or batch is None or inspection is None or found.error:
        return False
    folder = inspections.batch_folder(batch)
    if not (folder / "maps" / f"{photo}.jpg").is_file():
        detector = _model(str(inspections.model(inspection.identity)))
        data = read_photos([folder / "photos" / found.file], detector)
        reference = _reference(inspections, inspection)
        draw_maps(detector, data.images, [photo], folder / "maps", _scale(inspection), reference)
    return (folder / "maps" / f"{photo}.jpg").is_file()


_models: dict[str, OneClassDetector] = {}


def _model(folder: str) -> OneClassDetector:
    if folder not in _models:
        _models.clear()
        _models[folder] = load_detector(folder)
    return _models[folder]


def _reference(inspections: Inspections, inspection: Inspection) -> Any:
    """Return the mean good photo, with which maps from outside compare; None if none is kept."""
    path = inspections.reference(inspection.identity)
    return np.load(path, allow_pickle=False) if path.is_file() else None


def _scale(inspection: Inspection) -> HeatScale | None:
    values = (inspection.result or {}).get("scale")
    return None if values is None else HeatScale(*values)


# ---------------------------------------------------------------------- pictures


def thumbnail(source: Path, target: Path, side: int = THUMB) -> None:
    """Save a reduced copy of a photo as JPEG; what cannot be read has none."""
    try:
        image = open_image(source.read_bytes())
        if image.format == "JPEG":
            image.draft("RGB", (side, side))
        image = ImageOps.exif_transpose(image)
        image.thumbnail((side, side))
        if image.mode not in ("L", "RGB"):
            image = _eight_bits(image)
        target.parent.mkdir(parents=True, exist_ok=True)
        image.save(target, "JPEG", quality=QUALITY)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return


def _eight_bits(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "I;16", "F"):
        values = np.asarray(image, np.float64)
        low, high = float(values.min()), float(values.max())
        scaled = (values - low) / max(high - low, 1e-12) * 255
        return Image.fromarray(np.rint(scaled).astype(np.uint8))
    return image.convert("RGB")


def save_picture(image: Any, target: Path) -> None:
    """Save pixels as JPEG."""
    shown = image[..., 0] if image.shape[-1] == 1 else image
    Image.fromarray(np.ascontiguousarray(shown)).save(target, "JPEG", quality=QUALITY)


def overlay(image: Any, heat: Any, scale: HeatScale) -> Any:
    """Return a heat map over its photo, without the padding."""
    height, width = content_size(image)
    return heat_overlay(image[:height, :width], heat[:height, :width], scale.threshold, scale.top)


def content(image: Any) -> Any:
    """Return a photo without its padding."""
    height, width = content_size(image)
    return image[:height, :width]
