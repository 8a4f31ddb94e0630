"""A fitted detector as a folder: weights, a description that is checked, and a readable card.

``weights.safetensors``
    Every array that the detector needs to score.
``detector.json``
    Format version, class, parameters, fitted values, versions, fingerprints.
``card.md``
    The same for people; never read back.
"""

from __future__ import annotations

import hashlib
import json
import math
import platform
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from importlib import import_module, metadata
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel
from safetensors.numpy import save as dump_arrays
from sklearn.utils.validation import check_is_fitted

from insphere.atomic import atomic_folder, locked_folder, write_atomic
from insphere.detectors.base.estimator import OneClassDetector
from insphere.detectors.persistence.calibration_parts import load_parts, save_parts
from insphere.detectors.persistence.model_format import (
    CALIBRATION,
    CARD,
    DESCRIPTION,
    FORMAT_VERSION,
    LOADABLE,
    WEIGHTS,
    Description,
    Fitted,
    SavedTail,
    check_model_path,
    damaged,
    digest,
    is_description,
    is_model_weights,
    is_weights_name,
    loadable,
    read_description,
    read_model,
    replacing_weights_name,
)
from insphere.errors import ModelError
from insphere.parsing import ParseError, parse_json
from insphere.scoring.severity import Tail, fit_tail


def save_detector(
    detector: OneClassDetector, path: str | PathLike[str], *, overwrite: bool = False
) -> Path:
    """Write a fitted detector to a folder that `load_detector` reads back.

    A new folder is written beside its destination and then renamed, so that it is there as a whole
    or not at all. In a folder that is overwritten only the model's own files are replaced, and a
    reader gets the old model or the new one at any moment. The same fitted detector always gives
    the same bytes in a new folder.

    Parameters
    ----------
    detector : OneClassDetector
        One of the detectors of this package, fitted.
    path : path
        Folder to create; its parents are created too.
    overwrite : bool, default=False
        Replace a model that stands there. Other files of its folder stay; anything that is no
        model is never replaced.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    ModelError
        If the folder exists, cannot be written, or the detector cannot be saved.
    sklearn.exceptions.NotFittedError
        If the detector is not fitted.
    """
    check_is_fitted(detector)
    folder = check_model_path(path)
    name = type(detector).__name__
    if name not in LOADABLE or _detector_class(name) is not type(detector):
        raise ModelError(f"{name} is not one of the detectors that can be saved: {loadable()}.")
    try:
        replacing = check_destination(folder, overwrite=overwrite)
        files = _files_of(detector, replacing=replacing)
        if replacing:
            _replace(folder, files)
        else:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with atomic_folder(folder) as temporary:
                for title, content in files.items():
                    write_atomic(temporary / title, content)
    except OSError as error:
        raise ModelError(
            f"The model could not be written to {folder} ({error.strerror or error}); free some "
            "space or choose another folder."
        ) from error
    return folder


def _replace(folder: Path, files: Mapping[str, bytes]) -> None:
    """Put a model in the place of another, which is whole for every reader until then.

    The weights come under a name of their own, then the description that names them takes the
    place of the old one in one step; only then do the old weights go. Files that are no part of a
    model stay as they are.
    """
    with locked_folder(folder):
        for title, content in files.items():
            write_atomic(folder / title, content)
        kept = next(iter(files))
        for file in folder.iterdir():
            if file.name != kept and is_weights_name(file.name) and is_model_weights(file):
                file.unlink(missing_ok=True)


def check_destination(path: str | PathLike[str], *, overwrite: bool = False) -> bool:
    """Refuse a place where `save_detector` would not write, best before training.

    Parameters
    ----------
    path, overwrite
        As in `save_detector`.

    Returns
    -------
    bool
        Whether a model stands there that will be replaced.

    Raises
    ------
    ModelError
        If something stands there that may not be replaced.
    """
    folder = check_model_path(path)
    if not folder.is_symlink() and not folder.exists():
        return False
    if not folder.is_symlink() and folder.is_dir() and not any(folder.iterdir()):
        return False
    if overwrite and _is_model_folder(folder):
        return True
    why = "holds something else" if overwrite else "exists already"
    advice = "" if overwrite else ", or pass overwrite=True"
    raise ModelError(f"{folder} {why}; choose another folder{advice}.")


def load_detector(path: str | PathLike[str]) -> OneClassDetector:
    """Read a detector that `save_detector` wrote; its scores are the same bit for bit.

    Parameters
    ----------
    path : path
        The model folder.

    Returns
    -------
    OneClassDetector
        Of the class that was saved, fitted.

    Raises
    ------
    ModelError
        If the folder is no model, comes from a newer version, is damaged or incomplete, or leads
        outside of itself.
    """
    folder = check_model_path(path)
    description, arrays = read_model(folder)
    cls = _detector_class(description.detector)
    try:
        detector = cls(**description.params)
        fitted = description.fitted
        detector.modality_ = fitted.modality
        of_kind = {"modality_", "image_shape_", "image_dtype_"}
        for name, value in fitted.model_dump(exclude_unset=True, exclude=of_kind).items():
            setattr(detector, name, value)
        if description.fitted.feature_names_in_ is not None:
            names = np.array(description.fitted.feature_names_in_, dtype=object)
            detector.feature_names_in_ = names
        detector.trained_on_ = description.fitted.trained_on_
        detector.calibration_scores_ = arrays.pop(CALIBRATION)
        detector.tail_ = _tail(description.fitted.tail_, detector.calibration_scores_)
        detector.parts_ = load_parts(detector, arrays, description)
        detector._set_state(arrays, description.state)
    except ModelError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        damaged(folder / DESCRIPTION, f"its contents do not make a {cls.__name__}", error)
    return detector


def describe_model(path: str | PathLike[str]) -> dict[str, Any]:
    """Return what a model folder says about itself, after checking that it is intact.

    Neither the detector's class nor its libraries are imported.

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


def _files_of(detector: OneClassDetector, *, replacing: bool) -> dict[str, bytes]:
    """Return the files of a model by name, in the order in which they are written."""
    state, meta = detector._state()
    arrays = {name: _as_array(value) for name, value in state.items()}
    if CALIBRATION in arrays:
        raise ValueError(f"The name {CALIBRATION} is taken by the base class.")
    arrays[CALIBRATION] = detector.calibration_scores_
    of_parts, parts = save_parts(detector)
    arrays |= {name: _as_array(value) for name, value in of_parts.items()}
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise ModelError(f"{name} holds NaN or infinite numbers; fit the detector again.")
    # Sorted, so that the same arrays give the same bytes.
    weights = dump_arrays({name: arrays[name] for name in sorted(arrays)})
    sha256 = hashlib.sha256(weights).hexdigest()
    weights_name = replacing_weights_name(sha256) if replacing else WEIGHTS
    fitted = {
        name: _plain(name, getattr(detector, name))
        for name in Fitted.model_fields
        if hasattr(detector, name)
    }
    fitted["modality_"] = detector.modality_.saved()
    params = {
        name: value
        for name, value in detector.get_params(deep=False).items()
        if name not in detector._not_saved
    }
    if not isinstance(params.get("random_state"), int | np.integer):
        params["random_state"] = None  # a generator's position cannot be written down
    description = {
        "format_version": FORMAT_VERSION,
        "detector": type(detector).__name__,
        "params": _plain("params", params),
        "fitted": fitted,
        "state": _plain("state", meta),
        **({"parts": _plain("parts", parts)} if parts else {}),
        "versions": _versions(),
        "weights": {
            "file": weights_name,
            "sha256": sha256,
            "bytes": len(weights),
        },
    }
    description["sha256"] = digest(description)
    card = _card(Description.model_validate(description))
    return {
        weights_name: weights,
        DESCRIPTION: _as_json(description),
        CARD: card.encode(errors="backslashreplace"),
    }


def _as_json(description: Mapping[str, Any]) -> bytes:
    """Write a description that will be read again, in the limits of reading."""
    text = json.dumps(description, indent=2, ensure_ascii=False, allow_nan=False)
    try:
        content = text.encode()
    except UnicodeEncodeError:  # names of files that are not UTF-8
        content = json.dumps(description, indent=2, allow_nan=False).encode()
    try:
        parse_json(content)
    except ParseError as error:
        raise ModelError(f"The description of the model {error}; it cannot be saved.") from error
    return content


def _tail(saved: SavedTail | None, calibration_scores: NDArray[Any]) -> Tail | None:
    """Return the tail of severities; models of format 1 have none written down."""
    if not len(calibration_scores):
        return None
    return fit_tail(calibration_scores) if saved is None else Tail(**saved.model_dump())


def _as_array(value: Any) -> NDArray[Any]:
    if hasattr(value, "detach"):  # a torch tensor, without importing torch
        value = value.detach().cpu().numpy()
    return np.asarray(value, order="C")


def _plain(name: str, value: Any) -> Any:
    """Return `value` as JSON values, or say which part of it is none."""
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, np.ndarray | tuple | list):
        return [_plain(name, item) for item in value]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: _plain(f"{name}.{key}", item) for key, item in value.items()}
    raise ModelError(f"{name} = {value!r} cannot be saved; give plain finite values instead.")


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in ("insphere", "numpy", "scikit-learn", "torch"):
        versions[package] = metadata.version(package)
    return versions


def _card(description: Description) -> str:
    fitted = description.fitted
    modality = fitted.modality
    data = f"{modality.plural} of {modality.size}"
    params = "\n".join(
        f"| `{name}` | `{value!r}` |" for name, value in sorted(description.params.items())
    )
    versions = ", ".join(f"{name} {number}" for name, number in description.versions.items())
    calibrated = ", `p_value`, `severity`" if fitted.n_calibration_ else ""
    return f"""# {description.detector}

A one-class detector: it has learned what normal looks like from {fitted.n_train_} {data}, and
scores how far anything else lies outside. Higher is more anomalous.

- **Verdict:** anomalous if the score is above {fitted.threshold_!r}
  ({fitted.threshold_rule_}).
- **z-score:** (score − {fitted.score_mean_!r}) / {fitted.score_std_!r}, from
  {"held-out" if fitted.n_calibration_ else "the training"} normals.
- **Held out for calibration:** {fitted.n_calibration_}.
- **Training data:** SHA-256 `{fitted.data_fingerprint_}`.
- **Made with:** {versions}.

| parameter | value |
|---|---|
{params}

Load it with `insphere.detectors.load_detector("<this folder>")` and call `anomaly_score`,
`predict`{calibrated} or `z_score` on {modality.plural} of the
same shape. It can judge only against the normals that it has seen.
"""


def _detector_class(name: str) -> type[OneClassDetector]:
    """Return one of the `LOADABLE` classes, importing its module only now."""
    cls: type[OneClassDetector] = getattr(import_module("insphere.detectors"), name)
    return cls


def _is_model_folder(folder: Path) -> bool:
    return not folder.is_symlink() and is_description(folder / DESCRIPTION)


def file_names(path: str | PathLike[str]) -> tuple[str, ...]:
    """Return the names of the files that make a model.

    Raises
    ------
    ModelError
        As in `load_detector`.
    """
    return read_description(check_model_path(path)).weights.file, DESCRIPTION, CARD
