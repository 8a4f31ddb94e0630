"""The spec of a run: data set, normal class, method, parameters, seed. Its hash is the identity."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from functools import cached_property
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from insphere.data.read_options import ReadOptions
from insphere.detectors.base.estimator import OneClassDetector
from insphere.detectors.method_field import MethodName
from insphere.detectors.registry import build_detector, method_card, method_title
from insphere.errors import SpecError
from insphere.validation import sentence
from insphere.workflows.known_anomalies import KnownAnomalies

BY_CLASS = "by_class"
"""A parameter of runs, not of detectors: whether `fit` gets the class of each normal sample."""
ANOMALIES = "anomalies"
"""A parameter of runs, not of detectors: the labelled anomalies that `fit` gets."""

OF_RUNS = (BY_CLASS, ANOMALIES)


class RunSpec(BaseModel):
    """One detector trained on one normal class and evaluated once.

    Parameters
    ----------
    dataset : str
        Name or path, as `insphere.data.load_dataset` takes it.
    normal : tuple of str
        Names of the normal classes.
    method : str
        A key of `insphere.detectors.method_table.METHODS`, or an alias, which is replaced by the
        key.
    params : dict
        Parameters of the detector that differ from its defaults; JSON values. With ``by_class:
        true``, a method that takes classes is fitted for each of several normal classes; see
        `insphere.detectors.base.by_class`. With ``anomalies``, a method that learns from labelled
        anomalies is shown some: of classes, or of another source, whose name alone will do; see
        `insphere.workflows.known_anomalies.KnownAnomalies`.
    seed : int
        Seed of the split and of the detector.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str
    normal: tuple[str, ...] = Field(min_length=1)
    method: MethodName = "deep-svdd"
    params: dict[str, Any] = Field(default_factory=dict)
    seed: int = Field(default=0, ge=0, lt=2**31)

    @field_validator("params")
    @classmethod
    def _in_one_form(cls, params: dict[str, Any]) -> dict[str, Any]:
        """Write the parameters of runs in one way, so that equal runs have the same identity."""
        found = {k: v for k, v in params.items() if k != BY_CLASS or v is not False}
        if found.get(ANOMALIES) is None:
            found.pop(ANOMALIES, None)
            return found
        with suppress(ValidationError):  # `known_anomalies` refuses it
            known = KnownAnomalies.model_validate(found[ANOMALIES])
            found[ANOMALIES] = known.model_dump(exclude_none=True)
        return found

    @property
    def by_class(self) -> bool:
        """Whether the detector is fitted for each normal class."""
        return BY_CLASS in self.params

    @cached_property
    def known_anomalies(self) -> KnownAnomalies | None:
        """The labelled anomalies that the detector is shown.

        Raises
        ------
        SpecError
            If `params` does not say them in the form of `KnownAnomalies`, or calls a normal class
            anomalous.
        """
        given = self.params.get(ANOMALIES)
        if given is None:
            return None
        try:
            found = KnownAnomalies.model_validate(given)
        except ValidationError as error:
            raise SpecError(
                sentence(error, f"The parameter {ANOMALIES}", KnownAnomalies)
            ) from error
        both = [name for name in found.classes or () if name in self.normal]
        if both:
            raise SpecError(f"The class {both[0]} is normal and cannot be among the {ANOMALIES}.")
        return found

    @cached_property
    def identity(self) -> str:
        """Twelve hexadecimal digits that identify the run."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def detector(self, **extra: Any) -> OneClassDetector:
        """Return the unfitted detector; `extra` parameters are used if it has them.

        Runs train on all normal images: unless `params` asks for a threshold, it is the one on the
        training images that 5 % of them lie beyond.

        Raises
        ------
        SpecError
            If the method or one of `params` is unknown, or it cannot be fitted by class, or
            learns from no anomalies.
        """
        params = {name: value for name, value in self.params.items() if name not in OF_RUNS}
        if self.known_anomalies is not None and not method_card(self.method).takes_anomalies:
            raise SpecError(
                f"{self.title} learns from normal samples alone: leave out {ANOMALIES}."
            )
        if self.by_class and self.params[BY_CLASS] is not True:
            raise SpecError(f"{BY_CLASS} is true or false, but got {self.params[BY_CLASS]!r}.")
        if self.by_class and not method_card(self.method).takes_classes:
            raise SpecError(f"{self.title} knows one normal class only: leave out {BY_CLASS}.")
        if self.by_class and len(set(self.normal)) < 2:
            raise SpecError(
                f"{BY_CLASS} fits a detector for each normal class, but there is one: name several."
            )
        if params.get("contamination") is None and params.get("false_alarm_rate") is None:
            params = params | {"contamination": 0.05}
        return build_detector(self.method, params, seed=self.seed, **extra)

    @property
    def reading(self) -> ReadOptions:
        """The options for reading and splitting the images."""
        return ReadOptions(normal=self.normal, seed=self.seed)

    @property
    def title(self) -> str:
        """Name of the method for tables."""
        return method_title(self.method)
