"""The files of a model folder: the content of ``detector.json``, and the checks of both files.

Nothing is pickled, and no name from a file is imported. ``detector.json`` contains the SHA-256 of
the weights and of itself. They reveal damage and accidental changes, but not a deliberate forgery.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO, Literal, NoReturn, TypeVar

from numpy.typing import NDArray
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)
from safetensors import SafetensorError, safe_open

from insphere.detectors.method_table import class_names, method_of_class
from insphere.detectors.persistence import weights_file
from insphere.errors import ModelError
from insphere.modalities.modality import Modality
from insphere.modalities.table import restored
from insphere.parsing import (
    JSON_LIMITS,
    ParseError,
    check_path,
    open_regular,
    parse_json,
    read_at_most,
    read_regular,
)
from insphere.safe_text import reason, shown_path
from insphere.validation import first_mistake, shown

# 2: the tail of the calibration scores, and parts. Older folders are read, and their tail fitted.
# 3: the kind of data, the centre as part of a head, and the range of the training images. In older
# folders kind and centre are recognised; without the range, 16-bit images are read as they were.
# 4: the scale of the columns of a table, without which rows are scored in their own units as they
# were then; and models without a threshold.
FORMAT_VERSION = 4
DESCRIPTION, WEIGHTS, CARD = "detector.json", "weights.safetensors", "card.md"
READS = 100  # times that a model may be replaced while it is read
CALIBRATION = "calibration_scores_"  # an array of every model
COLUMNS = "column_scale_"  # an array of models of tables
STRATA = "calibration_strata_"  # an array of models that count false alarms by group
T = TypeVar("T")
_REPLACING = re.compile(r"weights-[0-9a-f]{16}\.safetensors")


def part_prefix(position: int) -> str:
    """Return the prefix of the array names of a part of the calibration."""
    return f"part{position}/"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class TrainedOn(_Strict):
    """The training images of a detector, and how they were read.

    New images are read in the same way, and the same source is split in the same way.

    Parameters
    ----------
    name : str
        Name of the image set.
    fingerprint : str
        Its `ImageSet.fingerprint`.
    normal : list of str
        Names of the normal classes.
    size : list of int or None
        Height and width that images were resized to; None if they were not.
    fit : str
        How images of other sizes get there; see `insphere.data.letterbox.Canvas`.
    channels : int or None
        Number of channels that images were converted to; None if they were not.
    test_size : float or None
        Share of each class held out for evaluation; None if none was.
    seed : int
        Seed of that split.
    kind : str
        Key of its kind of data.
    columns : dict of str to str
        What columns of its file were for.
    group_by : str
        By what false alarms were counted; empty if they were not.
    """

    name: str
    fingerprint: str
    normal: list[str]
    size: list[int] | None
    fit: Literal["stretch", "own", "letterbox"] = "stretch"
    channels: int | None
    test_size: float | None
    seed: int
    kind: str = "images"
    columns: dict[str, str] = Field(default_factory=dict)
    group_by: str = ""

    @model_serializer(mode="wrap")
    def _only_what_images_lack(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what came later where it says nothing, so that models keep their bytes."""
        written: dict[str, Any] = write(self)
        usual = {"kind": "images", "columns": {}, "group_by": ""}
        return {k: v for k, v in written.items() if k not in usual or v != usual[k]}


class SavedTail(_Strict):
    """See `insphere.scoring.severity.Tail`."""

    start: float
    share: float = Field(gt=0, le=1)
    shape: float = Field(ge=0)
    scale: float = Field(gt=0)


class SavedRange(_Strict):
    """See `insphere.data.value_range.ValueRange`."""

    dtype: str
    low: float
    high: float
    means: list[float]
    spreads: list[float]


class Fitted(_Strict):
    """Attributes that every fitted detector has, under their own names."""

    offset_: float | None  # None: too few images for a threshold
    threshold_: float | None
    threshold_rule_: str
    score_mean_: float
    score_std_: float = Field(gt=0)
    n_train_: int = Field(ge=1)
    n_calibration_: int = Field(ge=0)
    n_calibration_groups_: int | None = None
    calibration_kind_: str | None = None
    false_alarm_rate_: float | None = None
    data_fingerprint_: str
    image_shape_: list[int] | None
    image_dtype_: str | None
    n_features_in_: int | None = None
    feature_names_in_: list[str] | None = None
    modality_: dict[str, Any] | None = None
    trained_on_: TrainedOn | None = None
    value_range_: SavedRange | None = None
    tail_: SavedTail | None = None
    strata_: list[str] | None = None

    @property
    def modality(self) -> Modality:
        """Kind of the training data; before format 3 it follows from the other values."""
        if self.modality_ is not None:
            return restored(self.modality_)
        if self.image_shape_ is None:
            return restored({"kind": "tables", "features": self.n_features_in_})
        return restored({"kind": "images", "shape": self.image_shape_, "dtype": self.image_dtype_})


class SavedPart(_Strict):
    """A detector that was trained without one part of the images, for calibration."""

    state: dict[str, Any]
    tail: SavedTail
    n_train: int = Field(ge=1)


class Weights(_Strict):
    """The weights file with its size and hash."""

    file: str
    sha256: str
    bytes: int


class Description(_Strict):
    """The contents of ``detector.json``."""

    format_version: int
    detector: str
    params: dict[str, Any]
    fitted: Fitted
    state: dict[str, Any]
    parts: list[SavedPart] = Field(default_factory=list)
    versions: dict[str, str]
    weights: Weights
    sha256: str


def digest(description: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the canonical form of everything but the digest itself."""
    rest = {key: value for key, value in description.items() if key != "sha256"}
    return hashlib.sha256(
        json.dumps(rest, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    ).hexdigest()


def damaged(file: Path, why: str, cause: Exception | None = None) -> NoReturn:
    """Raise ModelError about a file that is not as it was saved."""
    raise ModelError(
        f"{file} is damaged or was changed after saving ({why}); get a fresh copy of the model."
    ) from cause


def _read_inside(folder: Path, name: str, read: Callable[[BinaryIO], T]) -> T:
    """Read a file after checking that it is really inside the folder."""
    file = folder / name
    try:
        if not file.resolve(strict=True).is_relative_to(folder.resolve()):
            raise ModelError(f"{file} leads outside of the model folder and is not read.")
        with open_regular(file) as opened:
            return read(opened)
    except FileNotFoundError:
        raise ModelError(f"{folder} is not a complete model: {name} is missing.") from None
    except ParseError as error:
        raise ModelError(f"{file} {error}.") from error
    except ValueError as error:
        damaged(file, str(error), error)
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links
        raise ModelError(f"{file} cannot be read ({reason(error)}).") from error


def _small(file: BinaryIO) -> bytes:
    return read_at_most(file, JSON_LIMITS.bytes)


def check_model_path(path: str | PathLike[str]) -> Path:
    """Return the path of a model folder.

    Raises
    ------
    ModelError
        If it can be no path.
    """
    try:
        check_path(path)
    except ParseError as error:
        raise ModelError(f"The name {shown_path(path)!r} of a model {error}.") from error
    return Path(path)


def read_model(folder: Path) -> tuple[Description, dict[str, NDArray[Any]]]:
    """Read a description and the weights that belong to it, even while the model is replaced.

    Raises
    ------
    ModelError
        If the folder is not a model, was saved by a newer version, is damaged or incomplete, or
        contains a link that leads outside.
    """
    description = read_description(folder)
    while True:
        try:
            return description, read_weights(folder, description.weights)
        except ModelError:
            # Weights go when a new description has taken the place of the one that named them.
            newer = read_description(folder)
            if newer.sha256 == description.sha256:
                raise
            description = newer


def read_description(folder: Path) -> Description:
    """Read ``detector.json``, and refuse everything that is not valid."""
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "does not exist"
        raise ModelError(f"{folder} {what}; give the folder that a detector was saved to.")
    file = folder / DESCRIPTION
    content = _read_inside(folder, DESCRIPTION, _small)
    try:
        raw = parse_json(content)
    except ParseError as error:
        damaged(file, f"it {error}", error)
    if not isinstance(raw, dict) or not isinstance(version := raw.get("format_version"), int):
        damaged(file, "no format version")
    if version > FORMAT_VERSION:
        raise ModelError(
            f"{folder} was saved in format {version}, but this insphere reads up to "
            f"{FORMAT_VERSION}; upgrade insphere."
        )
    try:
        description = Description.model_validate(raw)
    except ValidationError as error:
        mistake = first_mistake(error)
        damaged(file, f"{mistake.name}: {mistake.said}", error)
    try:
        description.fitted.modality.size  # noqa: B018 (its fields are those of its kind)
    except (LookupError, TypeError, ValueError) as error:
        damaged(file, "fitted.modality_ is no kind of data", error)
    if not is_weights_name(description.weights.file):
        raise ModelError(
            f"{file} names the weights {shown(description.weights.file)}, but only {WEIGHTS} "
            "inside the model folder is ever read, or the same name with a part of its SHA-256."
        )
    if method_of_class(description.detector) is None:  # the only classes that a file may name
        raise ModelError(
            f"{folder} holds a {shown(description.detector)}, but this insphere can load only "
            f"{', '.join(class_names())}."
        )
    if version < 1 or digest(raw) != description.sha256:
        damaged(file, "its SHA-256 does not fit")
    return description


def read_weights(folder: Path, expected: Weights) -> dict[str, NDArray[Any]]:
    """Read the weights, and refuse them if any byte differs from those saved."""
    arrays = _read_inside(folder, expected.file, partial(_arrays, expected))
    for name, array in arrays.items():
        if not weights_file.all_finite(array):
            damaged(folder / expected.file, f"{name} holds NaN or infinite numbers")
    return arrays


def _arrays(expected: Weights, file: BinaryIO) -> dict[str, NDArray[Any]]:
    return weights_file.read(file, expected.bytes, expected.sha256)


def read_files(folder: Path) -> dict[str, bytes]:
    """Read the files of a model as they are: weights and description, checked, and the card.

    Raises
    ------
    ModelError
        As in `read_model`; or the model is being replaced all the time.
    """
    for _ in range(READS):
        description = read_description(folder)
        expected = description.weights
        try:
            read_weights(folder, expected)
            files = {expected.file: _read_inside(folder, expected.file, lambda file: file.read())}
        except ModelError:
            if read_description(folder).sha256 == description.sha256:
                raise
            continue
        files[DESCRIPTION] = _read_inside(folder, DESCRIPTION, _small)
        if (folder / CARD).is_file():
            files[CARD] = _read_inside(folder, CARD, _small)
        # A new model begins with its description, so what was read before belongs together.
        if read_description(folder).sha256 == description.sha256:
            return files
    raise ModelError(f"{folder} is being replaced again and again; try later.")


def is_description(file: Path) -> bool:
    """Return whether a file is the description of a model, of any version and even if edited."""
    try:
        raw = parse_json(read_regular(file, JSON_LIMITS.bytes))
    except (OSError, ParseError):
        return False
    return isinstance(raw, dict) and {"format_version", "detector", "weights"} <= set(raw)


def is_model_weights(file: Path) -> bool:
    """Return whether a file holds the weights of a saved detector."""
    try:
        with safe_open(file, framework="numpy") as arrays:
            return not file.is_symlink() and CALIBRATION in set(arrays.keys())
    except (OSError, SafetensorError):
        return False


def is_weights_name(name: str) -> bool:
    """Return whether the weights of a model can have this name."""
    return name == WEIGHTS or _REPLACING.fullmatch(name) is not None


def replacing_weights_name(sha256: str) -> str:
    """Return the name of weights that replace others in the same folder, from their SHA-256."""
    return f"weights-{sha256[:16]}.safetensors"
