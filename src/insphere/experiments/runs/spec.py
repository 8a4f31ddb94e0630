"""What one run is: dataset, normal class, method, options, seed; its hash is its name."""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from insphere.data.read_options import ReadOptions
from insphere.detectors.base.estimator import OneClassDetector
from insphere.detectors.registry import METHODS, build_detector


class RunSpec(BaseModel):
    """One detector trained on one normal class and evaluated once.

    Parameters
    ----------
    dataset : str
        Name or path, as `insphere.data.load_dataset` takes it.
    normal : tuple of str
        Names of the normal classes.
    method : str
        A key of `insphere.detectors.registry.METHODS`.
    params : dict
        Constructor arguments of the detector that differ from its defaults; JSON values.
    seed : int
        Seed of the split and of the detector.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str
    normal: tuple[str, ...] = Field(min_length=1)
    method: str = "deep-svdd"
    params: dict[str, Any] = Field(default_factory=dict)
    seed: int = Field(default=0, ge=0, lt=2**31)

    @cached_property
    def identity(self) -> str:
        """Twelve hexadecimal digits that name the run."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def detector(self, **extra: Any) -> OneClassDetector:
        """Build the unfitted detector; `extra` arguments are passed on where it knows them.

        Raises
        ------
        SpecError
            If the method or one of `params` is unknown.
        """
        return build_detector(self.method, self.params, seed=self.seed, **extra)

    @property
    def reading(self) -> ReadOptions:
        """How its images are split."""
        return ReadOptions(normal=self.normal, seed=self.seed)

    @property
    def title(self) -> str:
        """Name of the method for tables."""
        return METHODS[self.method].title
