"""The settings of `insphere fit`, from a YAML file, the command line, or both."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, ValidationError, model_validator

from insphere.data.read_options import ReadOptions
from insphere.detectors.base.estimator import OneClassDetector
from insphere.detectors.method_table import method_key
from insphere.detectors.registry import build_detector
from insphere.errors import SpecError
from insphere.parsing import (
    YAML_LIMITS,
    ParseError,
    check_path,
    parse_yaml,
    read_regular,
)
from insphere.safe_text import shown_path
from insphere.validation import first_mistake, sentence

AUTO = "auto"
"""The method that stands for a comparison of several."""

# Settings that become constructor arguments of the detector under the same name.
DETECTOR_SETTINGS = (
    "recipe",
    "epochs",
    "pretrain_epochs",
    "objective",
    "nu",
    "pretraining",
    "head",
    "contamination",
    "false_alarm_rate",
)
# Those that may also be given in options, as they were before they had a setting of their own.
_ALSO_OPTIONS = ("pretraining", "head")
# Constructor arguments that have a setting of their own, or none.
_ELSEWHERE = {
    "random_state": "is called seed",
    "checkpoint_dir": "is called checkpoints",
    "callbacks": "exists in Python only",
    "verbose": "exists in Python only",
}


def _as_path(value: str) -> str:
    try:
        check_path(value)
    except ParseError as error:
        raise ValueError(f"it {error}") from error
    return value


def _method_or_auto(name: str) -> str:
    return name if name == AUTO else method_key(name)


PathText = Annotated[str, AfterValidator(_as_path)]


class FitConfig(ReadOptions):
    """All settings of one fit from the command line, and the paths of its results.

    Parameters
    ----------
    source : str
        Folder, zip, file or name of a data set.
    normal, size, fit, channels, skip_bad, follow_links, download, test_size, seed, kind, columns
        How the source is read and split; see `insphere.data.ReadOptions`. The seed is also that
        of the detector.
    method : str
        Key or alias of a method; see `insphere.detectors.method_table`. "auto" compares several
        on the normal images; see `insphere.workflows.choose.choose`.
    choose_minutes : float
        Time for that comparison.
    anomalies : str, optional
        Source of images that are known to be anomalous, or a table of reviews
        (`insphere.workflows.refitting.read_reviews`), for methods that learn from them; the
        method is then deep-sad unless another is named. See
        `insphere.workflows.known_anomalies`.
    anomaly_share : float, optional
        Draw as many of them as make up this share of all training images; by default all are
        trained on.
    by_class : bool
        Give each normal class a sphere of its own.
    group_by : str, optional
        Count false alarms by group; see `insphere.workflows.group_by.groups_of`.
    recipe, epochs, pretrain_epochs, objective, nu, pretraining, head, contamination,
    false_alarm_rate
        Parameters of the detector; None is its default.
    options : dict
        Further parameters of the detector.
    out : str
        Folder of the model.
    checkpoints : str, optional
        Folder of the checkpoints.
    report : str, optional
        HTML file to write.
    overwrite : bool
        Replace a model at `out`.
    """

    source: PathText = Field(min_length=1)
    method: Annotated[str, AfterValidator(_method_or_auto)] = "deep-svdd"
    choose_minutes: float = Field(default=10.0, gt=0)
    anomalies: PathText | None = None
    anomaly_share: float | None = Field(default=None, gt=0, lt=1)
    by_class: bool = False
    group_by: PathText | None = None
    recipe: str | dict[str, Any] | None = None
    epochs: int | None = Field(default=None, ge=1)
    pretrain_epochs: int | None = Field(default=None, ge=0)
    objective: str | None = None
    nu: float | None = None
    pretraining: str | dict[str, Any] | None = None
    head: str | dict[str, Any] | None = None
    contamination: float | None = None
    false_alarm_rate: float | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    out: PathText = "insphere-model"
    checkpoints: PathText | None = None
    report: PathText | None = None
    overwrite: bool = False

    @model_validator(mode="after")
    def _options_are_options(self) -> Self:
        for name in self.options:
            if name in _ELSEWHERE:
                raise ValueError(f"the option {name} {_ELSEWHERE[name]}")
            if name in DETECTOR_SETTINGS and name not in _ALSO_OPTIONS:
                raise ValueError(f"{name} is a setting of its own and does not belong in options")
        if self.anomaly_share is not None and self.anomalies is None:
            raise ValueError("anomaly_share is a share of anomalies: name their source too")
        return self

    @property
    def params(self) -> dict[str, Any]:
        """Constructor arguments of the detector that were given."""
        own = {name: getattr(self, name) for name in DETECTOR_SETTINGS}
        return {name: value for name, value in own.items() if value is not None} | self.options

    def detector(self, **extra: Any) -> OneClassDetector:
        """Return the unfitted detector; see `insphere.detectors.registry.build_detector`."""
        return build_detector(self.method, self.params, seed=self.seed, **extra)

    def settings(self) -> dict[str, Any]:
        """Return the settings that differ from the defaults, as plain values, the source first."""
        values = self.model_dump(mode="json", exclude_defaults=True)
        return {"source": values.pop("source"), **values}

    @property
    def identity(self) -> str:
        """Sixteen hexadecimal digits that identify the fit, whatever the paths of its results."""
        places = {"out", "checkpoints", "report", "overwrite", "download", "source"}
        path = Path(self.source)
        source = str(path.resolve()) if path.exists() else self.source
        if not self.follow_links:
            places.add("follow_links")  # later settings; fits without them keep their identity
        places |= {name for name in _ALSO_OPTIONS if getattr(self, name) is None}
        later = ("fit", "kind", "columns", "anomalies", "anomaly_share", "by_class", "group_by")
        places |= {name for name in later if not getattr(self, name)}  # the same
        if self.method != AUTO:
            places.add("choose_minutes")
        text = json.dumps([source, self.model_dump(mode="json", exclude=places)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_config(path: str | PathLike[str]) -> dict[str, Any]:
    """Read the settings in a YAML file, without checking their values.

    Raises
    ------
    SpecError
        If there is no such file, it is not YAML, or not a mapping of names to values.
    """
    try:
        content = parse_yaml(read_regular(Path(path), YAML_LIMITS.bytes).decode())
    except ParseError as error:
        raise SpecError(f"{shown_path(path)} {error}.") from error
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise SpecError(f"The settings in {shown_path(path)} cannot be read: {reason}.") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise SpecError(f"{path} must hold settings, one 'name: value' a line.")
    return content


def make_config(
    given: Mapping[str, Any], file: Mapping[str, Any] | None = None, title: str = "the settings"
) -> tuple[FitConfig, dict[str, tuple[Any, Any]]]:
    """Merge explicit settings with those of a file; explicit ones override the file.

    Parameters
    ----------
    given : mapping
        Explicit settings; None means not given.
    file : mapping, optional
        Settings of a file.
    title : str
        Name of the file in messages.

    Returns
    -------
    config : FitConfig
        Checked.
    overridden : dict
        Settings of the file that were overridden: by name, the value in the file and the new one.

    Raises
    ------
    SpecError
        If a setting is unknown or out of range.
    """
    file = dict(file or {})
    explicit = {name: value for name, value in given.items() if value is not None}
    _validate(
        {"source": "-"} | file, title
    )  # so that a mistake in the file is reported with its name
    if "options" in explicit and isinstance(file.get("options"), dict):
        changed = {
            f"options.{key}": (file["options"][key], value)
            for key, value in explicit["options"].items()
            if key in file["options"] and file["options"][key] != value
        }
        explicit["options"] = file["options"] | explicit["options"]
    else:
        changed = {}
    config = _validate(file | explicit, "The command")
    kept = _validate({"source": "-"} | file, title)
    for name in explicit:
        before, now = getattr(kept, name), getattr(config, name)
        if name in file and name != "options" and before != now:
            changed[name] = (before, now)
    return config, changed


def _validate(values: Mapping[str, Any], title: str) -> FitConfig:
    try:
        return FitConfig.model_validate(values)
    except ValidationError as error:
        if (mistake := first_mistake(error)).place == ("source",) and mistake.kind != "value_error":
            raise SpecError(
                "There is nothing to train on: give a folder, a zip, a file or the name of a data "
                "set."
            ) from error
        raise SpecError(sentence(error, title, FitConfig)) from error
