"""Building the spec of a run from a selection in a form, with its baseline and controls."""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from insphere.detectors.method_field import MethodName
from insphere.detectors.registry import (
    METHODS,
    check_installed,
    default_recipe,
    method_card,
    parameters_of,
)
from insphere.errors import MissingExtraError
from insphere.experiments.runs.processing_options import OPTIONS, apply_options
from insphere.experiments.runs.spec import ANOMALIES, BY_CLASS, RunSpec
from insphere.modalities.examples import kind_of_example
from insphere.scoring.thresholds import conformal_calibration_size
from insphere.training.recipe import recipe_for

RecipeName = Literal["best", "fast", "paper"]
BASELINE = "deep-svdd"
UNTRAINED = "untrained"
PRETRAINING, HEAD = "auto", "auto"  # the defaults
_NETWORK = ("encoder", "preprocess", "allow_collapse")
_TRAINING = ("epochs", "pretrain_epochs", "pretraining", "head", "objective")
_KEPT = ("recipe", "epochs", "pretrain_epochs", "objective", "nu", "false_alarm_rate")
_RATES = (0.05, 0.1)


class RunChoice(BaseModel):
    """A selection: data set, normal class, method and settings.

    Parameters
    ----------
    dataset : str
        Name or path, as in `RunSpec`.
    normal : tuple of str
        Names of the normal classes.
    method : str
        Key or alias of a method.
    objective : {"one-class", "soft-boundary"}
        Objective of Deep SVDD.
    options : tuple of str
        Keys of `OPTIONS`, for methods that accept them.
    recipe : {"best", "fast", "paper"}, optional
        Recipe of the schedule; by default that of the method.
    epochs, pretrain_epochs : int, optional
        Override those of the recipe.
    pretraining : str
        Kind of pretraining; see `insphere.training.pretraining.table.PRETRAININGS`. "auto" is that
        of the recipe.
    head : str
        Kind of head; see `insphere.training.heads.table.HEADS`. "auto" is that of the recipe.
    false_alarm_rate : float, optional
        Hold out normal images, and place the threshold for this rate.
    by_class : bool
        Fit the detector for each of several normal classes, if the method can be; see
        `can_be_by_class`.
    anomalies : tuple of str
        Names of anomalous classes, of which `learning_methods` are shown some.
    other_images : str, optional
        Another source, images of which are shown instead; see
        `insphere.workflows.known_anomalies.KnownAnomalies`.
    anomaly_share : float, optional
        Their share of all training images; without it all images of another source.
    seed : int
        Seed of the split and the detector.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str
    normal: tuple[str, ...] = Field(min_length=1)
    method: MethodName = BASELINE
    objective: Literal["one-class", "soft-boundary"] = "one-class"
    options: tuple[str, ...] = ()
    recipe: RecipeName | None = None
    epochs: int | None = Field(default=None, ge=1)
    pretrain_epochs: int | None = Field(default=None, ge=0)
    pretraining: str = PRETRAINING
    head: str = HEAD
    false_alarm_rate: float | None = Field(default=None, gt=0, lt=1)
    by_class: bool = False
    anomalies: tuple[str, ...] = ()
    other_images: str | None = None
    anomaly_share: float | None = Field(default=0.05, gt=0, lt=1)
    seed: int = Field(default=0, ge=0, lt=2**31)

    def spec(self) -> RunSpec:
        """Return the run. Defaults are left out, so that equal runs have the same identity.

        Raises
        ------
        SpecError
            If the method is unknown or options contradict each other.
        """
        given = {
            "recipe": None if self.recipe == default_recipe(self.method) else self.recipe,
            "epochs": self.epochs,
            "pretrain_epochs": self.pretrain_epochs,
            "pretraining": self._chosen(self.pretraining, "autoencoder"),
            "head": self._chosen(self.head, "center"),
            "objective": None if self.objective == "one-class" else self.objective,
            "false_alarm_rate": self.false_alarm_rate,
        }
        known = settings_of(self.method)
        params: dict[str, Any] = {k: v for k, v in given.items() if v is not None and k in known}
        if takes_options(self.method):
            params = apply_options(self.options, params)
        if self.by_class and can_be_by_class(self.method, self.objective):
            params[BY_CLASS] = True
        if (shown := self._shown()) and method_card(self.method).takes_anomalies:
            params[ANOMALIES] = shown
        return RunSpec(
            dataset=self.dataset,
            normal=self.normal,
            method=self.method,
            params=params,
            seed=self.seed,
        )

    def _shown(self) -> dict[str, Any]:
        """Return the known anomalies as a parameter of runs; empty if there are none."""
        share = {} if self.anomaly_share is None else {"share": self.anomaly_share}
        if self.anomalies:
            return {"classes": list(self.anomalies), **share}
        return {"source": self.other_images, **share} if self.other_images else {}

    def _chosen(self, kind: str, usual: str) -> str | None:
        """Return a kind of pretraining or head; None where it is what the recipe takes anyway."""
        recipe = self.recipe or default_recipe(self.method)
        by_recipe = kind == "auto" or (kind == usual and recipe != "best")
        return None if by_recipe else kind

    def specs(self) -> list[RunSpec]:
        """Return the run, its baseline and its controls, in this order and without repetitions.

        A run by class is followed by the same for all classes together.
        """
        own = self.spec()
        other = [counterpart] if own.by_class and (counterpart := counterpart_of(own)) else []
        found = {one.identity: one for one in (own, *other, baseline_of(own), *controls_of(own))}
        return list(found.values())


def settings_of(method: str) -> set[str]:
    """Return the names of the parameters that a method uses."""
    return parameters_of(method)


def takes_options(method: str) -> bool:
    """Whether the processing options apply to a method."""
    return method_card(method).has_options


def can_be_by_class(method: str, objective: str = "one-class") -> bool:
    """Whether a method can be fitted for each of several normal classes."""
    return method_card(method).takes_classes and objective == "one-class"


def counterpart_of(spec: RunSpec) -> RunSpec | None:
    """Return the same run by class if it is for all normal classes together, and the reverse.

    None if it has one normal class, or the method cannot be fitted by class.
    """
    objective = str(spec.params.get("objective", "one-class"))
    if len(spec.normal) < 2 or not can_be_by_class(spec.method, objective):
        return None
    others = _for_all(spec)
    return _changed(spec, spec.method, others if spec.by_class else others | {BY_CLASS: True})


@cache
def comparable_methods(kind: str = "images") -> dict[str, str]:
    """Return the methods that are trained on normal samples alone, and what each needs.

    Parameters
    ----------
    kind : str
        Key of the kind of data that they take, by their cards.

    Returns
    -------
    dict of str to str
        By method: an empty text, or a sentence that says what to install.
    """
    return {
        method: _missing(method)
        for method in METHODS
        if kind in (card := method_card(method)).takes
        and not (card.needs_labels or card.takes_anomalies)
    }


def learning_methods() -> dict[str, str]:
    """Return the methods for images that learn from labelled anomalies, and what each needs."""
    return {
        method: _missing(method)
        for method in METHODS
        if (card := method_card(method)).takes_anomalies and "images" in card.takes
    }


def _missing(method: str) -> str:
    try:
        check_installed(method)
    except MissingExtraError as error:
        return str(error)
    return ""


def installed_methods() -> list[str]:
    """Return those of `comparable_methods` that are installed."""
    return [method for method, needs in comparable_methods().items() if not needs]


def epochs_by_recipe(
    method: str, recipe: str, images: int, shape: tuple[int, ...]
) -> tuple[int, ...]:
    """Return the epochs of each phase for a number of training images; empty without a recipe.

    Parameters
    ----------
    method, recipe : str
        Which.
    images : int
        How many are trained on.
    shape : tuple of int
        (C, H, W) of each.

    Examples
    --------
    >>> [epochs_by_recipe("deep-svdd", "fast", n, (1, 28, 28)) for n in (6000, 200)]
    [(17, 10), (500, 250)]
    >>> epochs_by_recipe("deep-svdd", "best", 5000, (3, 32, 32))
    (40, 0)
    """
    known = settings_of(method)
    if "recipe" not in known:
        return ()
    found = recipe_for(recipe, shape)
    pretrain = found.pretrain.epochs_for(images)
    return (pretrain, found.train.epochs_for(images)) if "pretrain_epochs" in known else (pretrain,)


def baseline_of(spec: RunSpec) -> RunSpec:
    """Return plain Deep SVDD with the same class, seed and schedule.

    Examples
    --------
    >>> spec = RunSpec(dataset="mnist", normal=("3",), params={"encoder": {"residual": True}})
    >>> baseline_of(spec).params
    {}

    For other kinds of data than images, it is the method that is usual there.
    """
    if (kind := kind_of_example(spec.dataset)) is not None:
        held_out = {k: v for k, v in spec.params.items() if k == "false_alarm_rate"}
        return _changed(
            spec, kind.method, _for_all(spec) if spec.method == kind.method else held_out
        )
    kept = _KEPT if spec.method == BASELINE else ("recipe", "false_alarm_rate")
    params = {key: value for key, value in spec.params.items() if key in kept}
    if params.get("recipe") == default_recipe(BASELINE):
        del params["recipe"]
    return _changed(spec, BASELINE, params)


def controls_of(spec: RunSpec) -> list[RunSpec]:
    """Return the controls with the same class and seed: untrained, and nearest neighbours.

    A control that accepts processing options gets the network of the run.
    """
    held_out = {k: v for k, v in spec.params.items() if k == "false_alarm_rate"}
    if (kind := kind_of_example(spec.dataset)) is not None:
        known = comparable_methods(kind.key)
        return [_changed(spec, m, held_out) for m in kind.rivals if not known.get(m, "missing")]
    network = {k: v for k, v in spec.params.items() if k in _NETWORK}
    recipe = spec.params.get("recipe", default_recipe(spec.method))
    if recipe != default_recipe(UNTRAINED):
        network["recipe"] = "best" if recipe == "best" else "fast"  # the others share a network
    if recipe == "best":  # network and head depend on what is trained
        network |= {k: v for k, v in spec.params.items() if k in _TRAINING}
    found = []
    for control in METHODS:
        card = method_card(control)
        if card.is_control and "images" in card.takes:
            same = takes_options(spec.method) and takes_options(control)
            found.append(_changed(spec, control, held_out | (network if same else {})))
    return found


def possible_rate(normals: int) -> float | None:
    """Return the lowest usual false-alarm rate that a number of normal images can guarantee.

    Parameters
    ----------
    normals : int
        Number of normal training images, of which a fifth is held out.

    Examples
    --------
    >>> possible_rate(250), possible_rate(92), possible_rate(20)
    (0.05, 0.1, None)
    """
    held_out = normals - trained_on(normals, held_out=True)
    return next((r for r in _RATES if conformal_calibration_size(r) <= held_out), None)


def trained_on(normals: int, *, held_out: bool) -> int:
    """Return the number of normal images that are trained on, with a fifth held out or not."""
    return normals - round(0.2 * normals) if held_out else normals


def assumed_gain(options: tuple[str, ...]) -> float | None:
    """Return the sum of the assumed gains of options; None if there is no assumption for any."""
    stated = [gain for name in options if (gain := OPTIONS[name].assumed) is not None]
    return sum(stated) if stated else None


def _for_all(spec: RunSpec) -> dict[str, Any]:
    return {name: value for name, value in spec.params.items() if name != BY_CLASS}


def _changed(spec: RunSpec, method: str, params: dict[str, Any]) -> RunSpec:
    return RunSpec(
        dataset=spec.dataset, normal=spec.normal, method=method, params=params, seed=spec.seed
    )
