"""The catalogue of figures of finished runs, for the command line, the studio and pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module

from insphere.errors import DataError, SpecError, did_you_mean
from insphere.experiments.analysis.run_collection import RunCollection
from insphere.experiments.plots.figure_spec import FigureSpec, NotEnough
from insphere.experiments.plots.figure_table import FIGURES
from insphere.report.gallery import PlannedFigure


def figure_specs() -> list[FigureSpec]:
    """Return the declarations of all figures, in the order of the table."""
    found = []
    for place in FIGURES.values():
        module, _, name = place.partition(":")
        found.append(getattr(import_module(f"insphere.experiments.plots.{module}"), name))
    return found


def present_name(name: str) -> str:
    """Return the current name of a figure, or of a kind of figures, from a former name.

    Examples
    --------
    >>> present_name("changes"), present_name("changes-mnist"), present_name("heat")
    ('change', 'change-mnist', 'heat')
    """
    for spec in figure_specs():
        for former in spec.formerly:
            if name == former or name.startswith(f"{former}-"):
                return spec.key + name.removeprefix(former)
    return name


def figure_spec(name: str) -> FigureSpec:
    """Return a kind of figures by its name or a former name.

    Raises
    ------
    SpecError
        If there is no kind of this name.
    """
    by_key = {spec.key: spec for spec in figure_specs()}
    found = by_key.get(present_name(name))
    if found is None:
        raise SpecError(_unknown(name[:40], list(by_key)))
    return found


def figures_of(name: str, collection: RunCollection) -> list[PlannedFigure]:
    """Return the figures of one kind.

    Parameters
    ----------
    name : str
        Name of the kind.
    collection : RunCollection
        The runs.

    Raises
    ------
    SpecError
        If there is no kind of that name.
    DataError
        If the runs lack something; the message says what the figure needs.
    """
    spec = figure_spec(name)
    try:
        return _with_own_names(spec.planned(collection))
    except NotEnough as reason:
        raise DataError(f"This figure needs {reason}.") from None


def plan(
    collection: RunCollection, only: Sequence[str] | None = None
) -> tuple[list[PlannedFigure], dict[str, str]]:
    """Return the figures that can be drawn, and for the others what they need.

    Parameters
    ----------
    collection : RunCollection
        The runs.
    only : sequence of str, optional
        Names of kinds in `FIGURES`, or of single figures; by default all.

    Raises
    ------
    SpecError
        If there is no kind or figure of a name.
    """
    wanted = None if only is None else [present_name(name) for name in only]
    found: list[PlannedFigure] = []
    left_out: dict[str, str] = {}
    unmade = set()
    for spec in figure_specs():
        if wanted is not None and not any(_belongs(name, spec) for name in wanted):
            continue
        try:
            made = spec.planned(collection)
        except NotEnough as reason:
            left_out[spec.title] = str(reason)
            unmade |= {name for name in wanted or () if _belongs(name, spec)}
            continue
        found += [one for one in made if wanted is None or spec.key in wanted or one.name in wanted]
    found = _with_own_names(found)
    if wanted is not None:
        known = [spec.key for spec in figure_specs()] + [one.name for one in found]
        missing = [name for name in wanted if name not in known and name not in unmade]
        if missing:
            raise SpecError(_unknown(missing[0], known))
    return found, left_out


def _belongs(name: str, spec: FigureSpec) -> bool:
    """Whether a name is that of a kind of figure, or of one figure of that kind."""
    return name == spec.key or name.startswith(f"{spec.key}-")


def _unknown(name: str, known: Sequence[str]) -> str:
    hint = did_you_mean(name, known, f"known are {', '.join(known)}.")
    return f"There is no figure {name}; {hint}"


def _with_own_names(found: Sequence[PlannedFigure]) -> list[PlannedFigure]:
    """Add numbers to figures whose files would have the same name."""
    taken: set[str] = set()
    named = []
    for one in found:
        name, number = one.name, 2
        while name in taken:
            name, number = f"{one.name}-{number}", number + 1
        taken.add(name)
        named.append(replace(one, name=name))
    return named
