"""Saving of a fitted detector."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from insphere.data.column_scale import ColumnScale
from insphere.detectors.method_table import METHODS, class_names, method_of_class
from insphere.detectors.persistence.model_format import (
    CALIBRATION,
    COLUMNS,
    STRATA,
    Fitted,
    TrainedOn,
)
from insphere.detectors.persistence.model_writer import ModelData, PartData, write_model
from insphere.errors import ModelError
from insphere.modalities.modality import Modality
from insphere.scoring.severity import Tail


class Savable:
    """Collects the data of a fitted detector for saving; a part of `OneClassDetector`."""

    # Parameters that depend on one machine or one run: a saved model has their defaults instead.
    _not_saved: ClassVar[tuple[str, ...]] = ("callbacks", "checkpoint_dir", "device")

    calibration_scores_: NDArray[np.float64]
    column_scale_: ColumnScale | None
    modality_: Modality
    n_train_: int
    tail_: Tail | None
    trained_on_: TrainedOn | None
    parts_: Sequence[Any]

    @abstractmethod
    def _state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the data for ``_anomaly_score``: arrays (or tensors) and JSON values, by name."""

    @abstractmethod
    def _set_state(self, arrays: Mapping[str, Any], meta: Mapping[str, Any]) -> None:
        """Restore the data of `_state`; constructor parameters are set already."""

    def save(self, path: str | PathLike[str], *, overwrite: bool = False) -> Path:
        """Write the fitted detector to a folder that `insphere.detectors.load_detector` reads back.

        A new folder is written under a temporary name and then renamed, so that it is complete or
        not there. If a model is overwritten, only its own files are replaced, and a reader gets
        either the old model or the new one. The same fitted detector always gives the same bytes
        in a new folder.

        Parameters
        ----------
        path : path
            Folder to create; its parents are created too.
        overwrite : bool, default=False
            Replace a model that is there. Other files in its folder are kept. A folder that is
            not a model is never replaced.

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
        check_is_fitted(self)
        name = type(self).__name__
        key = method_of_class(name)
        if key is None or METHODS[key].module != type(self).__module__:
            raise ModelError(
                f"{name} is not one of the detectors that can be saved: {', '.join(class_names())}."
            )
        return write_model(self._model_data(), path, overwrite=overwrite)

    def _model_data(self) -> ModelData:
        arrays, state = self._state()
        own: Any = self
        by_group = getattr(own, "by_group_", None)
        arrays = arrays | _columns(self) | ({} if by_group is None else {STRATA: by_group.codes})
        params = {
            name: value
            for name, value in own.get_params(deep=False).items()
            if name not in self._not_saved
        }
        if not isinstance(params.get("random_state"), int | np.integer):
            params["random_state"] = None  # the position of a generator cannot be saved
        fitted = {n: getattr(self, n) for n in Fitted.model_fields if hasattr(self, n)}
        if not own.judges:
            fitted |= {"threshold_": None, "offset_": None}  # JSON knows no infinity
        if by_group is not None:
            fitted["strata_"] = list(by_group.names)
        parts = []
        for part in self.parts_:
            part_arrays, part_state = part._state()
            part_arrays |= {CALIBRATION: part.calibration_scores_} | _columns(part)
            parts.append(PartData(part_arrays, part_state, part.tail_, part.n_train_))
        return ModelData(
            detector=type(self).__name__,
            params=params,
            fitted=fitted | {"modality_": self.modality_.saved()},
            arrays=arrays,
            state=state,
            calibration_scores=self.calibration_scores_,
            parts=parts,
            notes=own.group_sentences,
        )


def _columns(detector: Any) -> dict[str, NDArray[np.float64]]:
    scale: ColumnScale | None = detector.column_scale_
    return {} if scale is None else {COLUMNS: scale.saved()}
