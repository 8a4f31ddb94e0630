"""The detectors of a cross-conformal calibration inside the folder of the whole one."""

from __future__ import annotations

from typing import Any

from insphere.detectors.base.estimator import Array, OneClassDetector
from insphere.detectors.persistence.model_format import CALIBRATION, Description
from insphere.scoring.severity import Tail


def save_parts(detector: OneClassDetector) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return arrays of all parts by name, and what else to write down about each."""
    arrays: dict[str, Any] = {}
    described = []
    for position, part in enumerate(detector.parts_):
        state, meta = part._state()
        state = {**state, CALIBRATION: part.calibration_scores_}
        arrays |= {f"{_prefix(position)}{name}": value for name, value in state.items()}
        described.append({"state": meta, "tail": part.tail_, "n_train": part.n_train_})
    return arrays, described


def load_parts(
    whole: OneClassDetector, arrays: dict[str, Array], description: Description
) -> list[OneClassDetector]:
    """Take the arrays of all parts out of `arrays`, and make the detectors."""
    found = []
    for position, saved in enumerate(description.parts):
        prefix = _prefix(position)
        own = {name: arrays.pop(name) for name in list(arrays) if name.startswith(prefix)}
        own = {name.removeprefix(prefix): array for name, array in own.items()}
        part = type(whole)(**description.params | {"false_alarm_rate": None})
        of_kind = {"modality_", "image_shape_", "image_dtype_"}
        fitted = description.fitted.model_dump(exclude_unset=True, exclude=of_kind)
        fitted |= {"trained_on_": None}
        for name, value in fitted.items():
            if value is not None:
                setattr(part, name, value)
        part.modality_ = whole.modality_
        part.calibration_scores_ = own.pop(CALIBRATION)
        part.n_train_, part.n_calibration_ = saved.n_train, len(part.calibration_scores_)
        part.tail_ = Tail(**saved.tail.model_dump())
        part.parts_ = []
        part._set_state(own, saved.state)
        found.append(part)
    return found


def _prefix(position: int) -> str:
    return f"part{position}/"
