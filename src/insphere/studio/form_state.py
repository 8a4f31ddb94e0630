"""The state of the form on the page *Compare*: read from an address, and made into a run."""

from __future__ import annotations

import asyncio
import json
from typing import Any, get_args
from urllib.parse import urlencode

from insphere.data.layouts.vocabulary import goodness
from insphere.detectors.method_table import find_method
from insphere.detectors.registry import default_recipe, method_title
from insphere.errors import DataError, InsphereError, SpecError
from insphere.experiments.runs.display_names import option_keys
from insphere.experiments.runs.processing_options import OPTIONS
from insphere.experiments.runs.run_builder import (
    BASELINE,
    HEAD,
    PRETRAINING,
    RecipeName,
    RunChoice,
    installed_methods,
    learning_methods,
    possible_rate,
    trained_on,
)
from insphere.experiments.runs.spec import RunSpec
from insphere.studio.app_state import Studio, class_pictures, images_of, split_of
from insphere.studio.controls import whole_number
from insphere.studio.image_sources import Source
from insphere.studio.known_choice import USUAL_SHARE, known_in_address, names, read_known
from insphere.training.heads.table import HEADS
from insphere.training.pretraining.table import PRETRAININGS

Z_SCORE = "z-score"
NOTHING_LEFT = "All classes are normal, so nothing is left to find: leave one out."
EACH = "each"  # in an address: a detector for each normal class
MOST_EPOCHS = 1000


class FormState:
    """The selected images, class, method, options, training, threshold and seed.

    Parameters
    ----------
    studio : Studio
        The studio whose images are offered.
    given : dict
        Values from the address. Invalid ones are ignored.
    """

    def __init__(self, studio: Studio, given: dict[str, str]) -> None:
        self._studio = studio
        self.sources = studio.sources.all()
        self.source: Source = self.sources[0]
        self.pictures: dict[str, Any] = {}
        self.problem = ""
        self.normal = given.get("normal", "")
        self.also = names(given.get("also", ""))  # further normal classes
        self.by_class = given.get("models") == EACH
        self.known = read_known(given, studio.sources)
        method, objective = find_method(given.get("method", "")), given.get("objective", "")
        usable = [
            *installed_methods(),
            *(one for one, needs in learning_methods().items() if not needs),
        ]
        self.method = method if method and method in usable else BASELINE
        self.objective = "soft-boundary" if objective == "soft-boundary" else "one-class"
        self.options = [name for name in given.get("options", "").split(",") if name in OPTIONS]
        recipe = given.get("recipe", "")
        self.chosen_recipe = recipe if recipe in get_args(RecipeName) else ""
        self.epochs = whole_number(given.get("epochs", ""), 1, MOST_EPOCHS)
        self.pretrain = whole_number(given.get("pretrain", ""), 0, MOST_EPOCHS)
        pretraining, head = given.get("pretraining", ""), given.get("head", "")
        self.pretraining = pretraining if pretraining in PRETRAININGS else PRETRAINING
        self.head = head if head in HEADS else HEAD
        self.held_out = given.get("threshold") != "training"
        self.seed = whole_number(given.get("seed", ""), 0, 2**31 - 1) or 0

    @property
    def recipe(self) -> str:
        """The chosen recipe, or the default of the method; empty if it has none."""
        return self.chosen_recipe or default_recipe(self.method) or ""

    async def take(self, key: str) -> None:
        """Select a source. If it lacks the selected class, select one of its classes."""
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
            classes = list(self.pictures)
            digits = classes[:4] == ["0", "1", "2", "3"]
            self.normal = classes[3] if digits else min(classes, key=goodness)
        self.also = [name for name in self.pictures if name in self.also and name != self.normal]
        self.drop_normals()

    @property
    def learns(self) -> bool:
        """Whether the method learns from labelled anomalies."""
        return self.method in learning_methods()

    def drop_normals(self) -> None:
        """Leave out of the known anomalies what is normal, or is no class."""
        self.known.fit_to(self.source.dataset, self.anomalous)

    @property
    def normals(self) -> tuple[str, ...]:
        """The normal classes, in the order of the source; that of the choice until it is read."""
        chosen = (self.normal, *self.also)
        return tuple(name for name in self.pictures or chosen if name in chosen)

    @property
    def anomalous(self) -> list[str]:
        """The classes that are not normal."""
        return [name for name in self.pictures if name not in self.normals]

    def choice(self) -> RunChoice:
        """Return the selection as a run.

        Raises
        ------
        InsphereError
            If all classes are normal, so that nothing is left to find; or if the known anomalies
            cannot be used.
        """
        if len(self.normals) == len(self.pictures) > 1:
            raise SpecError(NOTHING_LEFT)
        if self.learns and not self.known:
            raise SpecError(
                f"{method_title(self.method)} learns from known anomalies: tick a class of them "
                "or choose other images under Some anomalies are known, or take another method."
            )
        if self.learns:
            self.known.check(self._normals())
        return RunChoice(
            dataset=self.source.dataset,
            normal=self.normals,
            method=self.method,
            objective=self.objective,
            options=tuple(name for name in self.options if name != Z_SCORE),
            recipe=self.chosen_recipe or None,
            epochs=self.epochs,
            pretrain_epochs=self.pretrain,
            pretraining=self.pretraining,
            head=self.head,
            false_alarm_rate=self.rate() if self.held_out else None,
            by_class=self.by_class and len(self.normals) > 1,
            seed=self.seed,
            **(self.known.in_choice() if self.learns else {}),
        )

    def rate(self) -> float | None:
        """Return the false-alarm rate that can be guaranteed; None for too few normal images."""
        return possible_rate(self._normals())

    def trained_on(self) -> int:
        """Return the number of images that the network is trained on."""
        held_out = self.held_out and self.rate() is not None
        return max(1, trained_on(self._normals(), held_out=held_out))

    def image_shape(self) -> tuple[int, int, int]:
        """Return (C, H, W) of the images."""
        height, width, channels = images_of(self.source.dataset).images.shape[1:]
        return channels, height, width

    def _normals(self) -> int:
        """Count the normal training images; 0 if the classes cannot be split."""
        spec = RunSpec(dataset=self.source.dataset, normal=self.normals, seed=self.seed)
        try:
            return len(split_of(spec).train)
        except DataError:
            return 0

    def address(self) -> str:
        """Return the address of the form with this selection."""
        values: dict[str, Any] = {
            "dataset": self.source.key,
            "normal": self.normal,
            "also": json.dumps(self.also) if self.also else "",
            "models": EACH if self.by_class and self.also else "",
            **self.known.in_address(),
            "method": self.method,
            "objective": self.objective,
            "options": ",".join(self.options),
            "recipe": self.chosen_recipe,
            "epochs": self.epochs,
            "pretrain": self.pretrain,
            "pretraining": self.pretraining,
            "head": self.head,
            "threshold": "" if self.held_out else "training",
            "seed": self.seed,
        }
        return _address(values)


def address_of(source: Source, spec: RunSpec) -> str:
    """Return the address of the form with the settings of a run, as far as the form has them."""
    given, known = dict(spec.params), spec.known_anomalies
    values = {
        "dataset": source.key,
        "normal": spec.normal[0],
        "also": json.dumps(list(spec.normal[1:])) if len(spec.normal) > 1 else "",
        "models": EACH if spec.by_class else "",
        **known_in_address(known),
        "method": spec.method,
        "options": ",".join(option_keys(spec.params)),
        "pretrain": given.get("pretrain_epochs"),
        "threshold": "" if "false_alarm_rate" in given else "training",
        "seed": spec.seed,
        **{name: given.get(name) for name in ("objective", "recipe", "epochs")},
        **{name: _kind(given.get(name)) for name in ("pretraining", "head")},
    }
    return _address(values)


_DEFAULTS = {
    "method": "deep-svdd", "objective": "one-class", "seed": 0,
    "pretraining": PRETRAINING, "head": HEAD, "share": f"{USUAL_SHARE:g}",
}  # fmt: skip


def _kind(value: Any) -> str | None:
    """Return the kind of a pretraining or a head from a parameter of a run."""
    kind = value.get("kind") if isinstance(value, dict) else value
    return kind if isinstance(kind, str) else None


def _address(values: dict[str, Any]) -> str:
    """Return an address without the values that are the defaults."""
    changed = {k: v for k, v in values.items() if v not in (None, "", _DEFAULTS.get(k))}
    return "/compare?" + urlencode(changed)
