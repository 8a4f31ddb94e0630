"""Golden samples: a few training samples in the model folder, and the scores that they have.

Whoever gets the model, on whatever machine, can see with them that it scores there as it did where
it was fitted. They are raw samples in the form that the exported model takes. Rows with texts or
gaps are kept as JSON.
"""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from insphere.atomic import write_atomic
from insphere.detectors.base.estimator import OneClassDetector
from insphere.detectors.persistence.model_format import check_model_path, read_description
from insphere.errors import DataError, ModelError
from insphere.export.graph import load_for_export
from insphere.modalities.tables.frame import Frame

FILE = "golden.safetensors"
COUNT = 16
MOST_BYTES = 8 << 20


@dataclass(frozen=True, eq=False)
class Golden:
    """Golden samples.

    Parameters
    ----------
    samples : ndarray, shape (n, H, W, C) or (n, d), or Frame
        Raw samples.
    scores : ndarray of float64, shape (n,)
        Their scores, computed by the saved model on the CPU and in float32.
    """

    samples: NDArray[Any] | Frame
    scores: NDArray[np.float64]


def keep_golden(
    model: str | PathLike[str],
    samples: NDArray[Any] | Frame,
    *,
    detector: OneClassDetector | None = None,
) -> Path:
    """Write golden samples into a model folder: some of these, evenly spaced, at most 8 MB.

    Parameters
    ----------
    model : path
        The model folder, complete.
    samples : ndarray, shape (N, H, W, C) or (N, d), or Frame
        Training samples as they were given to the detector.
    detector : OneClassDetector, optional
        The detector that was saved there. One without a network computes alike everywhere, and
        scores them itself: its arrays are not read into memory a second time.

    Raises
    ------
    ModelError
        If the folder is not a model, or the samples do not fit it.
    """
    folder = check_model_path(model)
    each = 1 if isinstance(samples, Frame) else max(1, samples[:1].nbytes)
    count = max(1, min(COUNT, len(samples), MOST_BYTES // each))
    rows = np.unique(np.linspace(0, len(samples) - 1, count).astype(np.int64))
    noted = {"model": read_description(folder).sha256}
    arrays: dict[str, NDArray[Any]] = {}
    chosen: NDArray[Any] | Frame
    if isinstance(samples, Frame):
        chosen = samples.take(rows)
        noted["frame"] = chosen.as_json()
    else:
        chosen = arrays["samples"] = np.ascontiguousarray(samples[rows])
    if detector is None or _has_network(detector):
        detector = load_for_export(folder)
    arrays["scores"] = detector.anomaly_score(chosen)
    write_atomic(folder / FILE, save(arrays, metadata=noted))
    return folder / FILE


def _has_network(detector: OneClassDetector) -> bool:
    given = detector.get_params(deep=False)
    return "device" in given or given.get("features") is not None or bool(detector.parts_)


def drop_golden(model: str | PathLike[str]) -> None:
    """Remove the golden samples from a model folder, if there are any."""
    (check_model_path(model) / FILE).unlink(missing_ok=True)


def read_golden(model: str | PathLike[str]) -> Golden | None:
    """Return the golden samples of a model folder.

    Returns
    -------
    Golden or None
        None if there are none, or those there are belong to another model.

    Raises
    ------
    ModelError
        If the file is damaged.
    """
    folder = check_model_path(model)
    file = folder / FILE
    if not file.is_file():
        return None
    try:
        with safe_open(file, framework="numpy") as arrays:
            noted = arrays.metadata()
            if noted.get("model") != read_description(folder).sha256:
                return None
            samples: NDArray[Any] | Frame
            if "frame" in noted:
                samples = Frame.of_json(noted["frame"])
            else:
                samples = np.array(arrays.get_tensor("samples"))
            scores = np.array(arrays.get_tensor("scores"))
    except (
        *(OSError, SafetensorError, AttributeError, KeyError, ValueError, TypeError),
        DataError,
    ) as error:
        raise ModelError(f"{file} is damaged; remove it, or get a fresh copy.") from error
    if scores.shape != (len(samples),) or scores.dtype != np.float64:
        raise ModelError(f"{file} is damaged; remove it, or get a fresh copy.")
    return Golden(samples, scores)


def check_golden(detector: OneClassDetector, golden: Golden, tolerance: float) -> float:
    """Return how far a loaded model is from the scores of its golden samples, relatively.

    Parameters
    ----------
    detector : OneClassDetector
        Of `load_for_export`.
    golden : Golden
        Of the same folder.
    tolerance : float
        Largest accepted difference; see `insphere.export.verify.differences`.

    Raises
    ------
    ModelError
        If it scores differently here.
    """
    from insphere.export.verify import differences

    found = float(
        differences(detector.anomaly_score(golden.samples), golden.scores, detector).max()
    )
    if found > tolerance:
        raise ModelError(
            f"The model scores its golden samples differently here than where it was fitted (by "
            f"{found:.2g} of their scores): other versions of packages or other weights of a "
            "backbone are in use; install those that card.md names."
        )
    return found
