"""What one visitor has chosen so far, as an address says it and as a `Choice`."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import urlencode

from insphere.detectors.method_table import find_method
from insphere.errors import DataError, InsphereError
from insphere.experiments.runs.display_names import option_keys
from insphere.experiments.runs.processing_options import OPTIONS
from insphere.experiments.runs.run_builder import (
    BASELINE,
    Choice,
    installed_methods,
    possible_rate,
    trained_on,
)
from insphere.experiments.runs.spec import RunSpec
from insphere.studio.app_state import Studio, class_pictures, split_of
from insphere.studio.controls import whole_number
from insphere.studio.image_sources import Source

Z_SCORE = "z-score"
MOST_EPOCHS = 1000


class Chosen:
    """Images, class, method, options, schedule, threshold and seed.

    Parameters
    ----------
    studio : Studio
        Whose images there are to choose from.
    given : dict
        What the address says; what makes no sense in it is left out.
    """

    def __init__(self, studio: Studio, given: dict[str, str]) -> None:
        self._studio = studio
        self.sources = studio.sources.all()
        self.source: Source = self.sources[0]
        self.pictures: dict[str, Any] = {}
        self.problem = ""
        self.normal = given.get("normal", "")
        method, objective = find_method(given.get("method", "")), given.get("objective", "")
        self.method = method if method and method in installed_methods() else BASELINE
        self.objective = "soft-boundary" if objective == "soft-boundary" else "one-class"
        self.options = [name for name in given.get("options", "").split(",") if name in OPTIONS]
        self.recipe = "paper" if given.get("recipe") == "paper" else "fast"
        self.epochs = whole_number(given.get("epochs", ""), 1, MOST_EPOCHS)
        self.pretrain = whole_number(given.get("pretrain", ""), 0, MOST_EPOCHS)
        self.held_out = given.get("threshold") != "training"
        self.seed = whole_number(given.get("seed", ""), 0, 2**31 - 1) or 0

    async def take(self, key: str) -> None:
        """Take a source, and one of its classes unless one is chosen that it has."""
        self.problem = ""
        try:
            if key:
                self.source = self._studio.sources.get(key)
            self.pictures = await asyncio.to_thread(class_pictures, self.source.dataset)
        except InsphereError as error:
            self.problem = str(error)
            self.source = self.sources[0]
            self.pictures = await asyncio.to_thread(class_pictures, self.source.dataset)
        if self.normal not in self.pictures:
            names = list(self.pictures)
            self.normal = names[3] if names[:4] == ["0", "1", "2", "3"] else names[0]

    def choice(self) -> Choice:
        """Return what is chosen."""
        return Choice(
            dataset=self.source.dataset,
            normal=(self.normal,),
            method=self.method,
            objective=self.objective,
            options=tuple(name for name in self.options if name != Z_SCORE),
            recipe=self.recipe,
            epochs=self.epochs,
            pretrain_epochs=self.pretrain,
            false_alarm_rate=self.rate() if self.held_out else None,
            seed=self.seed,
        )

    def rate(self) -> float | None:
        """Return the false-alarm rate that the normal images can promise; None for too few."""
        return possible_rate(self._normals())

    def trained_on(self) -> int:
        """Return how many images the network will see."""
        held_out = self.held_out and self.rate() is not None
        return max(1, trained_on(self._normals(), held_out=held_out))

    def _normals(self) -> int:
        """Count the training normals; 0 where the classes cannot be split."""
        spec = RunSpec(dataset=self.source.dataset, normal=(self.normal,), seed=self.seed)
        try:
            return len(split_of(spec).train)
        except DataError:
            return 0

    def address(self) -> str:
        """Return the address that says all this."""
        values: dict[str, Any] = {
            "dataset": self.source.key,
            "normal": self.normal,
            "method": self.method,
            "objective": self.objective,
            "options": ",".join(self.options),
            "recipe": self.recipe,
            "epochs": self.epochs,
            "pretrain": self.pretrain,
            "threshold": "" if self.held_out else "training",
            "seed": self.seed,
        }
        return _address(values)


def address_of(source: Source, spec: RunSpec) -> str:
    """Return the address that chooses what a run was given, as far as it can be chosen."""
    given = dict(spec.params)
    values = {
        "dataset": source.key,
        "normal": spec.normal[0],
        "method": spec.method,
        "options": ",".join(option_keys(spec.params)),
        "pretrain": given.get("pretrain_epochs"),
        "threshold": "" if "false_alarm_rate" in given else "training",
        "seed": spec.seed,
        **{name: given.get(name) for name in ("objective", "recipe", "epochs")},
    }
    return _address(values)


_DEFAULTS = {"method": "deep-svdd", "objective": "one-class", "recipe": "fast", "seed": 0}


def _address(values: dict[str, Any]) -> str:
    """Leave out what is chosen anyhow."""
    said = {k: v for k, v in values.items() if v not in (None, "", _DEFAULTS.get(k))}
    return "/?" + urlencode(said)
