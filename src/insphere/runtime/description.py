"""What an exported model says of itself, in the metadata of its file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

from insphere.errors import ModelError

KEY, CARD_KEY = "insphere", "card"
FORMAT = 2
"""Of models with a schema, or of photographs at their own scale.

Others are of format 1, which earlier versions read too.
"""


@dataclass(frozen=True)
class Description:
    """The description of an exported model; all values are JSON values.

    Parameters
    ----------
    detector, method, title : str
        Class of the detector, its key and its title.
    kind : {"images", "tables"}
        What it scores.
    shape : list of int
        Height, width and channels of one image, or the number of columns.
    dtype : str
        Number format of the input: "uint8", "uint16" or "float32" for images, "float64" for rows.
    columns : list of str or None
        Names of the columns of a table, if they had any.
    values : dict or None
        Fields of `insphere.data.value_range.ValueRange`.
    reading : dict or None
        How the training images were read; see
        `insphere.detectors.persistence.model_format.TrainedOn`.
    outputs : list of str
        Names of the outputs of the graph.
    threshold : float or None
        Scores above it are anomalous; None if there were too few images for one.
    threshold_rule, guarantee : str
        How it was placed, and what it promises.
    false_alarm_rate : float or None
        The rate that it was placed for.
    n_train : int
        Number of training samples.
    score_mean, score_std : float
        Scale of z-scores.
    calibration_scores : list of float
        Ascending; empty without calibration.
    rounding : float
        Scores that differ by less count as equal in verdicts and p-values.
    model_sha256 : str
        Of the description of the model folder that was exported.
    versions : dict
        Versions of packages, of the fit and of the export.
    group_thresholds : dict of str to float
        Thresholds that keep the false-alarm rate within a group, such as a camera, by its name.
    variant : {"float32", "float16", "int8"}
        Number format of the network's weights.
    schema : list of dict or None
        Fields of `insphere.modalities.tables.encode.Column` for each column of a table that is not
        of numbers alone; `shape` then counts the numbers that they become.
    fills_canvas : bool
        Whether images are refused that do not fill their canvas; see `insphere.data.letterbox`.
    seen : int or None
        Values of an image as a pretrained network sees it, which may be enlarged; None without one.
    format : int
        Version of this description.
    """

    detector: str
    method: str
    title: str
    kind: str
    shape: list[int]
    dtype: str
    columns: list[str] | None
    values: dict[str, Any] | None
    reading: dict[str, Any] | None
    outputs: list[str]
    threshold: float | None
    threshold_rule: str
    guarantee: str
    false_alarm_rate: float | None
    n_train: int
    score_mean: float
    score_std: float
    calibration_scores: list[float]
    rounding: float
    model_sha256: str
    versions: dict[str, str] = field(default_factory=dict)
    group_thresholds: dict[str, float] = field(default_factory=dict)
    variant: str = "float32"
    schema: list[dict[str, Any]] | None = None
    fills_canvas: bool = False
    seen: int | None = None
    format: int = 1

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return asdict(self)

    @classmethod
    def of(cls, metadata: Mapping[str, str], name: str) -> Self:
        """Read the description from the metadata of a file.

        Parameters
        ----------
        metadata : mapping of str to str
            Of the file.
        name : str
            What the file is called in messages.

        Raises
        ------
        ModelError
            If it is not an exported model, or one of a newer version.
        """
        if KEY not in metadata:
            raise ModelError(f"{name} was not exported by insphere: use insphere export.")
        try:
            given = json.loads(metadata[KEY])
            if int(given["format"]) > FORMAT:
                raise ModelError(f"{name} was exported by a newer insphere; upgrade this one.")
            known = {one.name for one in fields(cls)}
            return cls(**{key: value for key, value in given.items() if key in known})
        except (ValueError, TypeError, KeyError) as error:
            raise ModelError(
                f"The description in {name} is damaged; export the model again."
            ) from error


def with_tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields that JSON made lists as the tuples that they were."""
    return {key: tuple(v) if isinstance(v, list) else v for key, v in values.items()}
