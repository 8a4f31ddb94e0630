"""A fitted detector as a folder: weights, a description that is checked, and a readable card.

``weights.safetensors``
    Every array that the detector needs to score.
``detector.json``
    Format version, class, parameters, fitted values, versions, fingerprints.
``card.md``
    The same for people. It is not read by load_detector.
"""

from __future__ import annotations

import math
from contextlib import nullcontext, suppress
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insphere.atomic import locked_folder
from insphere.data.column_scale import ColumnScale
from insphere.data.value_range import ValueRange, read_values
from insphere.detectors.base.estimator import Array, OneClassDetector
from insphere.detectors.method_table import method_of_class
from insphere.detectors.persistence.model_format import (
    CALIBRATION,
    COLUMNS,
    DESCRIPTION,
    STRATA,
    Description,
    SavedRange,
    SavedTail,
    check_model_path,
    damaged,
    part_prefix,
    read_files,
    read_model,
)
from insphere.detectors.persistence.model_writer import check_destination
from insphere.detectors.registry import detector_class
from insphere.errors import InsphereError, ModelError
from insphere.scoring.severity import Tail, fit_tail
from insphere.scoring.strata import GroupedScores

__all__ = ["check_destination", "describe_model", "load_detector", "model_files", "save_detector"]

_OF_KIND = {"modality_", "image_shape_", "image_dtype_"}  # said by `Fitted.modality`
_ELSEWHERE = _OF_KIND | {"strata_"}  # or part of another attribute


def save_detector(
    detector: OneClassDetector, path: str | PathLike[str], *, overwrite: bool = False
) -> Path:
    """Write a fitted detector to a folder that `load_detector` reads back.

    Parameters
    ----------
    detector : OneClassDetector
        One of the detectors of this package, fitted.
    path, overwrite
        See `insphere.detectors.base.savable.Savable.save`, which this calls.
    """
    return detector.save(path, overwrite=overwrite)


def load_detector(
    path: str | PathLike[str], *, device: str | None = None, precision: str | None = None
) -> OneClassDetector:
    """Read a detector that `save_detector` wrote; its scores are the same bit for bit.

    Parameters
    ----------
    path : path
        The model folder.
    device, precision : str, optional
        Where and in which number format networks compute, instead of what the model says; for
        detectors that have such a parameter.

    Returns
    -------
    OneClassDetector
        Fitted, of the class that was saved.

    Raises
    ------
    ModelError
        If the folder is not a model, was saved by a newer version, is damaged or incomplete, or
        contains a link that leads outside.
    """
    folder = check_model_path(path)
    description, arrays = read_model(folder)
    method = method_of_class(description.detector)
    assert method is not None  # `read_description` refuses others
    cls = detector_class(method)
    try:
        detector = cls(**_computing(description.params, cls, device, precision))
        fitted = description.fitted
        detector.modality_ = fitted.modality
        for name, value in fitted.model_dump(exclude_unset=True, exclude=_ELSEWHERE).items():
            setattr(detector, name, value)
        if fitted.threshold_ is None:
            detector.threshold_ = math.inf
        detector.offset_ = -detector.threshold_
        if description.fitted.feature_names_in_ is not None:
            names = np.array(description.fitted.feature_names_in_, dtype=object)
            detector.feature_names_in_ = names
        detector.value_range_ = _value_range(description.fitted.value_range_)
        detector.trained_on_ = description.fitted.trained_on_
        detector.column_scale_ = _column_scale(detector, arrays)
        detector.calibration_scores_ = arrays.pop(CALIBRATION)
        codes = arrays.pop(STRATA, None)
        detector.by_group_ = (
            None
            if codes is None
            else GroupedScores(detector.calibration_scores_, codes, fitted.strata_ or ())
        )
        detector.tail_ = _tail(description.fitted.tail_, detector.calibration_scores_)
        detector.parts_ = _load_parts(detector, arrays, description)
        detector._set_state(arrays, description.state)
        _score_nothing(detector)
    except ModelError:
        raise
    except (
        *(LookupError, TypeError, ValueError, AttributeError, RuntimeError, ArithmeticError),
        MemoryError,
    ) as error:
        damaged(folder / DESCRIPTION, f"its contents do not make a {cls.__name__}", error)
    return detector


def _computing(
    params: dict[str, Any], cls: type, device: str | None, precision: str | None
) -> dict[str, Any]:
    """Return parameters with another device and number format, also for features and members."""
    wanted = {"device": device, "precision": precision}
    wanted = {name: value for name, value in wanted.items() if value is not None}
    changed = params | {name: value for name, value in wanted.items() if hasattr(cls, name)}
    if changed.get("features"):
        changed["features"] = dict(changed["features"]) | wanted
    if wanted and isinstance(changed.get("members"), list | tuple):  # elsewhere it is a number
        changed["members"] = [_member(one, device, precision) for one in changed["members"]]
    return changed


def _member(given: Any, device: str | None, precision: str | None) -> dict[str, Any]:
    """Return a member of a combination, as `_computing` does with parameters."""
    one: dict[str, Any] = {"method": given} if isinstance(given, str) else dict(given)
    own = dict(one.get("params") or {})
    return one | {"params": _computing(own, detector_class(one["method"]), device, precision)}


def describe_model(path: str | PathLike[str]) -> dict[str, Any]:
    """Return the description of a saved model, after checking that it is intact.

    Neither the class of the detector nor its libraries are imported.

    Parameters
    ----------
    path : path
        The model folder.

    Returns
    -------
    dict
        JSON values: ``detector``, ``format_version``, ``params``, the common fitted values
        without trailing underscore (``threshold``, ``threshold_rule``, ``image_shape``, …),
        ``versions``, ``weights_bytes``, ``weights_sha256`` and ``arrays`` (name to shape).

    Raises
    ------
    ModelError
        As in `load_detector`.
    """
    folder = check_model_path(path)
    description, arrays = read_model(folder)
    fitted = description.fitted.model_dump()
    return {
        "detector": description.detector,
        "format_version": description.format_version,
        "params": description.params,
        **{name.rstrip("_"): value for name, value in fitted.items()},
        "modality": description.fitted.modality.saved(),
        "versions": description.versions,
        "weights_bytes": description.weights.bytes,
        "weights_sha256": description.weights.sha256,
        "arrays": {name: list(array.shape) for name, array in sorted(arrays.items())},
    }


def _load_parts(
    whole: OneClassDetector, arrays: dict[str, Array], description: Description
) -> list[OneClassDetector]:
    """Remove the arrays of all parts from `arrays`, and build the detectors."""
    found = []
    for position, saved in enumerate(description.parts):
        prefix = part_prefix(position)
        own = {name: arrays.pop(name) for name in list(arrays) if name.startswith(prefix)}
        own = {name.removeprefix(prefix): array for name, array in own.items()}
        params = whole.get_params(deep=False) | {"false_alarm_rate": None, "contamination": 0.0}
        part = type(whole)(**params)
        fitted = description.fitted.model_dump(exclude_unset=True, exclude=_ELSEWHERE)
        fitted |= {"trained_on_": None}
        for name, value in fitted.items():
            if value is not None:
                setattr(part, name, value)
        part.modality_ = whole.modality_
        part.value_range_ = None if whole.value_range_ is None else whole.value_range_.of_scaled()
        part.column_scale_ = _column_scale(part, own)
        part.calibration_scores_ = own.pop(CALIBRATION)
        part.n_train_, part.n_calibration_ = saved.n_train, len(part.calibration_scores_)
        part.tail_ = Tail(**saved.tail.model_dump())
        part.parts_ = []
        part._set_state(own, saved.state)
        found.append(part)
    return found


def _column_scale(detector: OneClassDetector, arrays: dict[str, Array]) -> ColumnScale | None:
    """Take the scale of columns out of `arrays`; images and older models have none."""
    saved = arrays.pop(COLUMNS, None)
    if saved is None:
        return None
    if saved.shape[1:] != detector.modality_.sample_shape:
        raise ValueError("the scale of the columns does not fit the table")
    return ColumnScale.restored(saved)


def _score_nothing(detector: OneClassDetector) -> None:
    """Score one empty sample, so that arrays which do not fit each other are noticed here.

    What a pretrained network would have to be loaded for is left to the first scoring.
    """
    modality = detector.modality_
    shape = modality.image_shape or modality.sample_shape
    if detector.uses_pretrained or modality.key not in ("images", "tables"):
        return
    sample = np.zeros((1, *shape), modality.image_dtype or np.float64)
    with np.errstate(all="ignore"), suppress(InsphereError):
        read = read_values(sample, detector.value_range_, modality.image_dtype)
        detector._score_read(read)


def _value_range(saved: SavedRange | None) -> ValueRange | None:
    if saved is None:
        return None
    means, spreads = tuple(saved.means), tuple(saved.spreads)
    return ValueRange(saved.dtype, saved.low, saved.high, means, spreads)


def _tail(saved: SavedTail | None, calibration_scores: NDArray[Any]) -> Tail | None:
    """Return the tail of severities, which models of format 1 do not contain."""
    if not len(calibration_scores):
        return None
    return fit_tail(calibration_scores) if saved is None else Tail(**saved.model_dump())


def model_files(path: str | PathLike[str]) -> dict[str, bytes]:
    """Return the files of a model, which belong together even while it is replaced.

    Parameters
    ----------
    path : path
        The model folder.

    Returns
    -------
    dict
        Contents by name: the weights and the description, checked, and the card if there is one.

    Raises
    ------
    ModelError
        As in `load_detector`.
    """
    folder = check_model_path(path)
    with locked_folder(folder) if folder.is_dir() else nullcontext():
        return read_files(folder)
