"""Writing the data of a fitted detector as a model folder, complete or not at all."""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, is_dataclass
from importlib import metadata
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel
from sklearn.base import BaseEstimator

from insphere.atomic import (
    Content,
    atomic_folder,
    clear_abandoned,
    locked_folder,
    meant_by,
    write_atomic,
)
from insphere.detectors.persistence.model_format import (
    CALIBRATION,
    CARD,
    DESCRIPTION,
    FORMAT_VERSION,
    WEIGHTS,
    Description,
    check_model_path,
    digest,
    is_description,
    is_model_weights,
    is_weights_name,
    part_prefix,
    replacing_weights_name,
)
from insphere.detectors.persistence.weights_file import Written, all_finite
from insphere.errors import ModelError
from insphere.parsing import ParseError, parse_json


@dataclass(frozen=True, eq=False)
class PartData:
    """The data of one detector of a cross-conformal calibration.

    Parameters
    ----------
    arrays : mapping of str to array or tensor
        State and calibration scores.
    state : mapping
        JSON values.
    tail : Tail
        The tail of its calibration scores.
    n_train : int
        Number of training images.
    """

    arrays: Mapping[str, Any]
    state: Mapping[str, Any]
    tail: Any
    n_train: int


@dataclass(frozen=True, eq=False)
class ModelData:
    """All data of a fitted detector that are saved.

    Parameters
    ----------
    detector : str
        Name of its class.
    params : mapping
        Constructor arguments.
    fitted : mapping
        Values of the fields of `Fitted`.
    arrays : mapping of str to array or tensor
        The arrays of its state.
    state : mapping
        The other values of its state, as JSON.
    calibration_scores : ndarray of float64, shape (n,)
        Ascending.
    parts : sequence of PartData
        Empty without cross-conformal calibration.
    notes : sequence of str
        Sentences for the card alone.
    """

    detector: str
    params: Mapping[str, Any]
    fitted: Mapping[str, Any]
    arrays: Mapping[str, Any]
    state: Mapping[str, Any]
    calibration_scores: NDArray[np.float64]
    parts: Sequence[PartData] = field(default_factory=tuple)
    notes: Sequence[str] = ()


def write_model(model: ModelData, path: str | PathLike[str], *, overwrite: bool = False) -> Path:
    """Write the folder that `insphere.detectors.load_detector` reads back.

    A new folder is written under a temporary name and then renamed, so that it is complete or not
    there. If a model is overwritten, only its own files are replaced, and a reader gets either the
    old model or the new one. The same data always give the same bytes in a new folder.

    Parameters
    ----------
    model : ModelData
        What to write.
    path : path
        Folder to create; its parents are created too.
    overwrite : bool, default=False
        Replace a model that is there. Other files in its folder are kept. A folder that is not a
        model is never replaced.

    Raises
    ------
    ModelError
        If the folder exists, cannot be written, or something in the data cannot.
    """
    folder = check_model_path(path)
    try:
        replacing = check_destination(folder, overwrite=overwrite)
        files = _files_of(model, replacing=replacing)
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


def _replace(folder: Path, files: Mapping[str, Content]) -> None:
    """Replace a model so that every reader gets either the old one or the new one.

    First the new weights are written under a new name. Then the new description, which names them,
    replaces the old one in one step. Then the old weights are removed. Other files are kept.
    """
    with locked_folder(folder):
        for title, content in files.items():
            write_atomic(folder / title, content)
        kept = next(iter(files))
        for file in list(folder.iterdir()):
            if is_weights_name(left := meant_by(file.name) or ""):
                clear_abandoned(folder / left)
            if file.name != kept and is_weights_name(file.name) and is_model_weights(file):
                file.unlink(missing_ok=True)


def check_destination(path: str | PathLike[str], *, overwrite: bool = False) -> bool:
    """Check that `save_detector` can write to a folder; call it before training.

    Parameters
    ----------
    path, overwrite
        As in `save_detector`.

    Returns
    -------
    bool
        Whether an existing model will be replaced.

    Raises
    ------
    ModelError
        If the folder exists and may not be replaced.
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


def _files_of(model: ModelData, *, replacing: bool) -> dict[str, Content]:
    """Return the files of a model by name, in the order in which they are written."""
    arrays = {name: _as_array(value) for name, value in model.arrays.items()}
    if CALIBRATION in arrays:
        raise ValueError(f"The name {CALIBRATION} is taken by the base class.")
    arrays[CALIBRATION] = model.calibration_scores
    for position, part in enumerate(model.parts):
        for name, value in part.arrays.items():
            arrays[f"{part_prefix(position)}{name}"] = _as_array(value)
    for name, array in arrays.items():
        if not all_finite(array):
            raise ModelError(f"{name} holds NaN or infinite numbers; fit the detector again.")
    weights = Written(arrays)
    sha256, size = weights.measured()
    weights_name = replacing_weights_name(sha256) if replacing else WEIGHTS
    parts = [{"state": p.state, "tail": p.tail, "n_train": p.n_train} for p in model.parts]
    description = {
        "format_version": FORMAT_VERSION,
        "detector": model.detector,
        "params": _plain("params", model.params),
        "fitted": {name: _plain(name, value) for name, value in model.fitted.items()},
        "state": _plain("state", model.state),
        **({"parts": _plain("parts", parts)} if parts else {}),
        "versions": _versions(),
        "weights": {
            "file": weights_name,
            "sha256": sha256,
            "bytes": size,
        },
    }
    description["sha256"] = digest(description)
    card = _card(Description.model_validate(description), model.notes)
    return {
        weights_name: weights,
        DESCRIPTION: _as_json(description),
        CARD: card.encode(errors="backslashreplace"),
    }


def _as_json(description: Mapping[str, Any]) -> bytes:
    """Return a description as JSON, after checking that it can be read again."""
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


def _as_array(value: Any) -> NDArray[Any]:
    if hasattr(value, "detach"):  # a torch tensor, without importing torch
        value = value.detach().cpu().numpy()
    return np.asarray(value, order="C")


def _plain(name: str, value: Any) -> Any:
    """Return `value` as JSON values. A part that cannot be one raises ModelError."""
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    if isinstance(
        value, BaseEstimator
    ):  # a component: its parameters, except those that depend on the machine
        left_out = getattr(value, "_not_saved", ())
        value = {k: v for k, v in value.get_params(deep=False).items() if k not in left_out}
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


def _card(description: Description, notes: Sequence[str]) -> str:
    fitted = description.fitted
    modality = fitted.modality
    data = f"{modality.plural} of {modality.size}"
    params = "\n".join(
        f"| `{name}` | `{value!r}` |" for name, value in sorted(description.params.items())
    )
    versions = ", ".join(f"{name} {number}" for name, number in description.versions.items())
    verdict = f"anomalous if the score is above {fitted.threshold_!r}\n  ({fitted.threshold_rule_})"
    if fitted.threshold_ is None:
        verdict = fitted.threshold_rule_
    said = description.state.get("approximation")
    approximation = f"- **Approximation:** {said}.\n" if said else ""
    calibrated = ", `p_value`, `severity`" if fitted.n_calibration_ else ""
    groups = "".join(f"\n- **By group:** {sentence}" for sentence in notes)
    return f"""# {description.detector}

A one-class detector. It was trained on normal samples only: {fitted.n_train_} {data}, and
scores how far anything else lies outside. Higher is more anomalous.

- **Verdict:** {verdict}.
- **z-score:** (score − {fitted.score_mean_!r}) / {fitted.score_std_!r}, from
  {"held-out" if fitted.n_calibration_ else "the training"} normals.
- **Held out for calibration:** {fitted.n_calibration_}.{groups}
{approximation}- **Training data:** SHA-256 `{fitted.data_fingerprint_}`.
- **Made with:** {versions}.

| parameter | value |
|---|---|
{params}

Load it with `insphere.detectors.load_detector("<this folder>")` and call `anomaly_score`,
`predict`{calibrated} or `z_score` on {modality.plural} of the
same shape. It can judge only against the normals that it has seen.
"""


def _is_model_folder(folder: Path) -> bool:
    return not folder.is_symlink() and is_description(folder / DESCRIPTION)
