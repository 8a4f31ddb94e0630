"""The study of processing options: the runs that it needs.

The baseline is compared with each option alone, with the options of each group together, and with
all groups together. Everything else is the same: recipe, objective, class, images, seed.

Not all options of a group can be combined. Of those that exclude each other (two kinds of dropout,
three of attention), the first in `OPTIONS` is used. Combinations do not contain options that remove
a part of the baseline or replace its network, options that allow a collapse, and the z-score, which
cannot change an AUC.

The z-score needs no training of its own: it uses the run of the baseline. The row of that run has
the AUC of the standardised scores as well as that of the scores
(`insphere.experiments.runs.run.z_score_aucs`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from insphere.errors import SpecError
from insphere.experiments.runs.processing_options import OPTIONS, Option, apply_options
from insphere.experiments.runs.sweep_file import Sweep, class_names, make_sweep
from insphere.training.recipe import parse_recipe

Kind = Literal["baseline", "option", "group", "all"]

BASELINE = "baseline"
ALL = "all groups"
Z_SCORE = "z-score"
OPT_IN = ("resnet18", "batch-norm-affine", "layer-norm-affine")
"""Options that are measured only if they are named: slow ones, and those that can collapse."""

DEFAULT_OPTIONS = tuple(name for name in OPTIONS if name not in OPT_IN)

METHOD = "deep-svdd"
OBJECTIVE = "one-class"


@dataclass(frozen=True)
class Arm:
    """One of the settings that are compared.

    Parameters
    ----------
    name : str
        "baseline", the name of an option, "all before", "all during", "all after", "all groups".
    kind : {"baseline", "option", "group", "all"}
        Its kind.
    options : tuple of str
        Keys of `OPTIONS` that it applies.
    """

    name: str
    kind: Kind
    options: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Name for tables."""
        if self.kind == "option":
            return OPTIONS[self.name].title
        return self.name[0].upper() + self.name[1:]

    @property
    def group(self) -> str:
        """Group of an option or a combination; empty for the rest."""
        return OPTIONS[self.options[0]].group if self.kind in ("option", "group") else ""

    @property
    def assumed(self) -> float | None:
        """Gain in AUC (0 to 1) that the report assumed, if any."""
        return OPTIONS[self.name].assumed if self.kind == "option" else None

    def params(self, recipe: str) -> dict[str, Any]:
        """Return the constructor arguments of the detector with these options."""
        return apply_options(self.options, {"recipe": recipe, "objective": OBJECTIVE})


def study_arms(options: Sequence[str] | None = None, *, groups: bool = True) -> list[Arm]:
    """Return all arms: the baseline first, options in the order of `OPTIONS`.

    Parameters
    ----------
    options : sequence of str, optional
        Keys of `OPTIONS`; by default all but those of `OPT_IN`.
    groups : bool
        Whether to add combinations of two or more options.

    Raises
    ------
    SpecError
        If an option is unknown, or there is none.

    Examples
    --------
    >>> [arm.name for arm in study_arms(["residual", "dropout", "attention"])]
    ['baseline', 'dropout', 'attention', 'residual', 'all during', 'all groups']
    """
    names = DEFAULT_OPTIONS if options is None else tuple(options)
    if not names:
        raise SpecError(f"Name at least one option: {', '.join(OPTIONS)}.")
    apply_options(
        [name for name in names if name not in OPTIONS], {}
    )  # raises an error that names the unknown option
    selected = {name: option for name, option in OPTIONS.items() if name in names}
    arms = [Arm(BASELINE, "baseline"), *(Arm(name, "option", (name,)) for name in selected)]
    if not groups:
        return arms
    together: list[str] = []
    combined = []
    for group in dict.fromkeys(option.group for option in selected.values()):
        members = combinable({n: option for n, option in selected.items() if option.group == group})
        together += members
        if len(members) > 1:
            combined.append(Arm(f"all {group}", "group", members))
    if len({OPTIONS[name].group for name in together}) > 1:
        combined.append(Arm(ALL, "all", tuple(together)))
    return arms + combined


def combinable(options: Mapping[str, Option]) -> tuple[str, ...]:
    """Return options that can be combined: the first of those that exclude each other.

    Parameters
    ----------
    options : mapping of str to Option
        Some of `OPTIONS`, in their order.

    Examples
    --------
    >>> combinable({name: OPTIONS[name] for name in ("no-batch-norm", "attention", "residual")})
    ('attention', 'residual')
    """
    taken: list[str] = []
    for name, option in options.items():
        changes_training = bool(option.encoder or option.steps)
        if not changes_training or not option.safe or {"kind", "norm"} & set(option.encoder):
            continue
        try:
            apply_options([*taken, name], {})
        except SpecError:
            continue
        taken.append(name)
    return tuple(taken)


def study_sweep(
    datasets: Sequence[str],
    arms: Sequence[Arm],
    *,
    normal: Sequence[str] = (),
    seeds: int = 1,
    recipe: str = "fast",
) -> Sweep:
    """Return the sweep that measures the arms; arms with the same run share it.

    Parameters
    ----------
    datasets : sequence of str
        Names or paths.
    arms : sequence of Arm
        The arms; see `study_arms`.
    normal : sequence of str
        Normal classes, each in runs of its own; by default all. "3,5" means two classes.
    seeds : int
        Seeds 0, 1, …
    recipe : str
        Recipe of Deep SVDD.

    Raises
    ------
    SpecError
        If a class or the recipe is unknown.
    """
    parse_recipe(recipe)
    classes = {name: _classes(name, normal) or "all" for name in datasets}
    sweep = make_sweep({
        "name": "ablation",
        "datasets": list(datasets),
        "normal": classes,
        "methods": [{"method": METHOD, "name": "Deep SVDD"}],
        "options": {arm.name: arm.params(recipe) for arm in arms},
        "seeds": seeds,
    }, "The study")  # fmt: skip
    sweep.check()
    return sweep


def _classes(dataset: str, normal: Sequence[str]) -> list[str]:
    """Split a list at commas, unless it is the name of a class."""
    known = class_names(dataset)
    given = [[item] if item in known else item.split(",") for item in normal]
    return list(dict.fromkeys(name.strip() for names in given for name in names))
