"""Inspection of one image: its score in all units, its heat map, the nearest normal images."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insphere.data.image_set import take_images
from insphere.data.read_options import ReadOptions
from insphere.data.value_range import shown_as_uint8
from insphere.detectors.base.estimator import OneClassDetector
from insphere.detectors.model_folder import load_detector
from insphere.errors import InsphereError
from insphere.experiments.runs.spec import RunSpec
from insphere.explain import HeatScale, heat_maps, heat_method, heat_scale
from insphere.explain.heat import METHODS
from insphere.report.words import severity as severity_in_words
from insphere.workflows.score_source import score_source

NEAREST = 6
_REFERENCES = 1000  # training images that are searched for the nearest
_SCALE_IMAGES = 40  # those of them whose heat maps set the colour scale


@dataclass(frozen=True, eq=False)
class ImageInspection:
    """The results of a detector for one image.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, C)
        The image.
    score, threshold, z_score : float
        Anomaly score, threshold, and the score in standard deviations above the mean of normal
        images.
    calibrated : bool
        Whether the detector has held-out calibration images, which a p-value needs.
    p_value : float or None
        Share of normal images that score at least as high; None without calibration images.
    severity : str or None
        How rare such a score is among normal images, as a number and a word; None without
        calibration images.
    heat : ndarray of float, shape (H, W), or None
        Heat map; None if the detector has none.
    heat_scale : HeatScale or None
        The colour scale of the heat map, from training images.
    heat_method : str
        How the heat map was computed, in words.
    reconstruction : ndarray of uint8, shape (H, W, C), or None
        The reconstruction of the image, if the detector makes one.
    nearest : ndarray of uint8, shape (k, H, W, C)
        The training images closest to it.
    distances : ndarray of float, shape (k,)
        Their distances in `space`.
    space : str
        "representations" or "pixels".
    """

    image: NDArray[np.uint8]
    score: float
    threshold: float
    z_score: float
    calibrated: bool
    p_value: float | None
    severity: str | None
    heat: NDArray[np.float32] | None
    heat_scale: HeatScale | None
    heat_method: str
    reconstruction: NDArray[np.uint8] | None
    nearest: NDArray[np.uint8]
    distances: NDArray[np.float64]
    space: str

    @property
    def anomalous(self) -> bool:
        """Whether the score is above the threshold."""
        return self.score > self.threshold


def inspect_image(model: Path, spec: RunSpec, image: NDArray[np.uint8]) -> ImageInspection:
    """Inspect one image with a saved model.

    Parameters
    ----------
    model : pathlib.Path
        Folder of the model.
    spec : RunSpec
        The run that trained the model.
    image : ndarray of uint8, shape (H, W, C)
        The image, of the shape of the training images.

    Raises
    ------
    InsphereError
        If the model or its training images cannot be read.
    """
    detector, references, space = _prepared(str(model), spec.model_dump_json())
    detector.require_threshold()
    batch = image[None]
    z = _points(detector, batch, space)
    distances = np.linalg.norm(_reference_points(str(model), spec.model_dump_json()) - z, axis=1)
    order = np.argsort(distances, kind="stable")[:NEAREST]
    calibrated = detector.n_calibration_ > 0
    restored = detector.reconstruct(batch) if hasattr(detector, "reconstruct") else None
    heat, scale, method = _heat(str(model), spec.model_dump_json(), batch)
    return ImageInspection(
        image=shown_as_uint8(batch, detector.value_range_)[0],
        score=float(detector.anomaly_score(batch)[0]),
        threshold=float(detector.threshold_),
        z_score=float(detector.z_score(batch)[0]),
        calibrated=calibrated,
        p_value=float(detector.p_value(batch)[0]) if calibrated else None,
        severity=_severity(detector, batch) if calibrated else None,
        heat=heat,
        heat_scale=scale,
        heat_method=method,
        reconstruction=None if restored is None else _as_pixels(np.asarray(restored)[0]),
        nearest=shown_as_uint8(references[order], detector.value_range_),
        distances=distances[order],
        space="representations" if space else "pixels",
    )


@dataclass(frozen=True, eq=False)
class ScoredList:
    """The scores of a source, without the model and the images.

    Parameters
    ----------
    what, verdict : str
        Sentences: which images were scored, and how many are anomalous; see `Scored`.
    skipped : int
        Images that were left out because they cannot be read.
    names : list of str
        File names, or positions in the source if it has no files.
    scores : ndarray of float64, shape (n,)
        Their anomaly scores.
    threshold : float
        Images with a higher score are called anomalous.
    """

    what: str
    verdict: str
    skipped: int
    names: list[str]
    scores: NDArray[np.float64]
    threshold: float


def score_all(model: Path, dataset: str, every_image: bool = False) -> ScoredList:
    """Score a source with a saved model, as ``insphere score`` does; called in a helper process.

    Images are resized like the training images. Those that cannot be read are left out.

    Parameters
    ----------
    model : pathlib.Path
        Folder of the model.
    dataset : str
        Name or path of the source.
    every_image : bool
        Whether to score images that the model was trained on as well; see `part_to_score`.

    Raises
    ------
    DataError
        If the source cannot be read.
    """
    detector = _model(str(model))
    shape = detector.modality_.image_shape
    reading = ReadOptions(
        size=None if shape is None else (shape[0], shape[1]),
        channels=None if shape is None else 3 if shape[2] == 3 else 1,
        skip_bad=True,
    )
    detector.require_threshold()
    scored = score_source(detector, dataset, reading, every_image=every_image, progress=False)
    return ScoredList(
        scored.what,
        scored.verdict,
        len(scored.data.skipped),
        [Path(scored.name(row)).name for row in range(len(scored))],
        scored.scores,
        float(detector.threshold_),
    )


@lru_cache(maxsize=4)
def _model(folder: str) -> OneClassDetector:
    return load_detector(folder)


@lru_cache(maxsize=4)
def _prepared(folder: str, spec: str) -> tuple[OneClassDetector, NDArray[np.uint8], bool]:
    """Return the model, its training images, and whether it has representations."""
    detector = _model(folder)
    run = RunSpec.model_validate_json(spec)
    split = run.reading.split(run.reading.load(run.dataset, progress=False))
    count = min(_REFERENCES, len(split.train))
    rows = np.linspace(0, len(split.train) - 1, count).astype(np.int64)
    return detector, take_images(split.X_train, rows), hasattr(detector, "transform")


@lru_cache(maxsize=4)
def _reference_points(folder: str, spec: str) -> NDArray[np.float64]:
    detector, references, space = _prepared(folder, spec)
    return _points(detector, references, space)


def _points(
    detector: OneClassDetector, images: NDArray[np.uint8], space: bool
) -> NDArray[np.float64]:
    if space:
        return np.asarray(detector.transform(images), np.float64).reshape(len(images), -1)
    return images.reshape(len(images), -1).astype(np.float64) / 255


def _severity(detector: OneClassDetector, batch: NDArray[np.uint8]) -> str:
    return severity_in_words(float(detector.severity(batch)[0]), detector.severity_scale.resolution)


def _heat(
    folder: str, spec: str, batch: NDArray[np.uint8]
) -> tuple[NDArray[np.float32] | None, HeatScale | None, str]:
    """Return the heat map of an image, its colour scale, and the name of its method."""
    detector, references, _ = _prepared(folder, spec)
    method = heat_method(detector)
    try:
        normal = _normal_maps(folder, spec)
        found = heat_maps(detector, batch, method, reference=references)
    except InsphereError:
        return None, None, ""  # this detector has no heat maps
    return found[0], heat_scale(normal, found), METHODS[method]


@lru_cache(maxsize=4)
def _normal_maps(folder: str, spec: str) -> NDArray[np.float32]:
    """Return heat maps of some training images."""
    detector, references, _ = _prepared(folder, spec)
    some = references[:: max(1, len(references) // _SCALE_IMAGES)][:_SCALE_IMAGES]
    return heat_maps(detector, some, heat_method(detector), reference=references)


def _as_pixels(values: NDArray[Any]) -> NDArray[np.uint8]:
    if values.dtype != np.uint8:
        values = np.clip(np.rint(255 * values), 0, 255)
    pixels: NDArray[np.uint8] = values.astype(np.uint8)
    return pixels
