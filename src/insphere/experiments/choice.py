"""From what a person chooses to a spec, the baseline to compare it with, and back."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from insphere.errors import MissingExtraError
from insphere.experiments.methods import METHODS, detector_class
from insphere.experiments.options import OPTIONS, apply_options
from insphere.experiments.spec import RunSpec
from insphere.scoring.thresholds import conformal_calibration_size

BASELINE = "deep-svdd"
_NETWORK = ("encoder", "preprocess", "allow_collapse")
_KEPT = ("recipe", "epochs", "pretrain_epochs", "objective", "nu", "false_alarm_rate")
_RATES = (0.05, 0.1)


class Choice(BaseModel):
    """A dataset, its normal class, and how to learn it.

    Parameters
    ----------
    dataset : str
        Name or path, as in `RunSpec`.
    normal : tuple of str
        Names of the normal classes.
    method : str
        A key of `METHODS`.
    objective : {"one-class", "soft-boundary"}
        Of Deep SVDD.
    options : tuple of str
        Keys of `OPTIONS`, for methods that have an encoder to change.
    recipe : {"fast", "paper"}
        The schedule.
    epochs, pretrain_epochs : int, optional
        In place of the recipe's.
    false_alarm_rate : float, optional
        Hold out normals, and place the threshold so that at most this share of them is flagged.
    seed : int
        Of the split and the detector.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str
    normal: tuple[str, ...] = Field(min_length=1)
    method: str = BASELINE
    objective: Literal["one-class", "soft-boundary"] = "one-class"
    options: tuple[str, ...] = ()
    recipe: Literal["fast", "paper"] = "fast"
    epochs: int | None = Field(default=None, ge=1)
    pretrain_epochs: int | None = Field(default=None, ge=0)
    false_alarm_rate: float | None = Field(default=None, gt=0, lt=1)
    seed: int = Field(default=0, ge=0, lt=2**31)

    def spec(self) -> RunSpec:
        """Return the run; defaults are left out, so that it is the one that others name too.

        Raises
        ------
        SpecError
            If the method is unknown or options contradict each other.
        """
        given = {
            "recipe": None if self.recipe == "fast" else self.recipe,
            "epochs": self.epochs,
            "pretrain_epochs": self.pretrain_epochs,
            "objective": None if self.objective == "one-class" else self.objective,
            "false_alarm_rate": self.false_alarm_rate,
        }
        known = settings_of(self.method)
        params = {k: v for k, v in given.items() if v is not None and k in known}
        if takes_options(self.method):
            params = apply_options(self.options, params)
        return RunSpec(
            dataset=self.dataset,
            normal=self.normal,
            method=self.method,
            params=params,
            seed=self.seed,
        )

    def specs(self) -> list[RunSpec]:
        """Return the chosen run, its baseline and its controls, each once and in this order."""
        own = self.spec()
        found = {one.identity: one for one in (own, baseline_of(own), *controls_of(own))}
        return list(found.values())


def settings_of(method: str) -> set[str]:
    """Return the names of a method's arguments."""
    return set(detector_class(method)().get_params(deep=False))


def takes_options(method: str) -> bool:
    """Whether the processing options apply to a method: it must train an encoder on a sphere."""
    return {"encoder", "preprocess", "objective", "allow_collapse"} <= settings_of(method)


def comparable_methods() -> list[str]:
    """Return the methods that learn from normal images alone, as far as they are installed."""
    found = []
    for method in METHODS:
        try:
            supervised = getattr(detector_class(method), "supervised", False)
        except MissingExtraError:
            continue
        if not supervised:
            found.append(method)
    return found


def baseline_of(spec: RunSpec) -> RunSpec:
    """Return plain Deep SVDD with the same class, seed and schedule.

    Examples
    --------
    >>> spec = RunSpec(dataset="mnist", normal=("3",), params={"encoder": {"residual": True}})
    >>> baseline_of(spec).params
    {}
    """
    kept = _KEPT if spec.method == BASELINE else ("recipe", "false_alarm_rate")
    params = {key: value for key, value in spec.params.items() if key in kept}
    return _changed(spec, BASELINE, params)


def controls_of(spec: RunSpec) -> list[RunSpec]:
    """Return the same class and seed, judged by the same network untrained, and by raw pixels."""
    held_out = {k: v for k, v in spec.params.items() if k == "false_alarm_rate"}
    network = {k: v for k, v in spec.params.items() if k in _NETWORK}
    own = network if takes_options(spec.method) else {}
    return [_changed(spec, "untrained", held_out | own), _changed(spec, "knn", held_out)]


def possible_rate(normals: int) -> float | None:
    """Return the lower of the usual false-alarm rates that so many normals can promise.

    Parameters
    ----------
    normals : int
        Training normals, of which a fifth is held out.

    Examples
    --------
    >>> possible_rate(250), possible_rate(92), possible_rate(20)
    (0.05, 0.1, None)
    """
    held_out = round(0.2 * normals)
    return next((r for r in _RATES if conformal_calibration_size(r) <= held_out), None)


def options_of(spec: RunSpec) -> tuple[str, ...]:
    """Name the options that a run was given; empty if its settings are none of theirs.

    Examples
    --------
    >>> params = apply_options(["zca", "attention"], {})
    >>> options_of(RunSpec(dataset="mnist", normal=("3",), params=params))
    ('zca', 'attention')
    """
    if not {"encoder", "preprocess", "allow_collapse"} & set(spec.params):
        return ()
    rest = {k: v for k, v in spec.params.items() if k in _KEPT}
    encoder = spec.params.get("encoder")
    found = [name for name, option in OPTIONS.items() if _holds(option.encoder, encoder)]
    found += [
        name
        for name, option in OPTIONS.items()
        if option.steps and _has_steps(option.steps, spec.params.get("preprocess"))
    ]
    whole = [
        name
        for name in OPTIONS
        if name in found
        and not any(
            name != other and dict(OPTIONS[name].encoder).items() < OPTIONS[other].encoder.items()
            for other in found
            if OPTIONS[name].encoder
        )
    ]
    same = apply_options(whole, rest) == dict(spec.params)
    return tuple(whole) if same else ()


def assumed_gain(options: tuple[str, ...]) -> float | None:
    """Add up what the report assumed for options; None if it stated nothing for any of them."""
    stated = [gain for name in options if (gain := OPTIONS[name].assumed) is not None]
    return sum(stated) if stated else None


def describe(spec: RunSpec) -> str:
    """Name a run's method with what is special about it, for headings."""
    parts = [spec.title]
    if spec.params.get("objective") == "soft-boundary":
        parts = [f"{spec.title}, soft boundary"]
    parts += [OPTIONS[name].title for name in options_of(spec)]
    return " + ".join(parts)


def _changed(spec: RunSpec, method: str, params: dict[str, Any]) -> RunSpec:
    return RunSpec(
        dataset=spec.dataset, normal=spec.normal, method=method, params=params, seed=spec.seed
    )


def _holds(wanted: Any, given: Any) -> bool:
    if not wanted or not isinstance(given, dict):
        return False
    return all(
        given.get(key) == (list(value) if isinstance(value, tuple) else value)
        for key, value in wanted.items()
    )


def _has_steps(wanted: Any, given: Any) -> bool:
    names = [step["step"] if isinstance(step, dict) else step for step in given or ()]
    return all((step["step"] if isinstance(step, dict) else step) in names for step in wanted)
