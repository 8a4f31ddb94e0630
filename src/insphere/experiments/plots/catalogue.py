"""The catalogue of figures of finished runs, for the command line, the studio and pages.

A new figure is declared as a `FigureSpec` in a module of this package, and added here in one line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from insphere.errors import DataError, SpecError, did_you_mean
from insphere.experiments.analysis.run_collection import RunCollection
from insphere.experiments.plots import comparison_figures, overview_figures, run_figures
from insphere.experiments.plots.figure_spec import FigureSpec, NotEnough
from insphere.report.gallery import PlannedFigure

#: All figures, in the order in which they are drawn and offered.
FIGURES: tuple[FigureSpec, ...] = (
    run_figures.PREVIEW,
    comparison_figures.BARS,
    comparison_figures.CHANGE,
    comparison_figures.GAINS,
    comparison_figures.PUBLISHED,
    overview_figures.HEAT,
    overview_figures.RANKS,
    overview_figures.HISTOGRAM,
    overview_figures.VIOLINS,
    overview_figures.BOXES,
    overview_figures.SPACE,
    overview_figures.RADAR,
    overview_figures.PAIRS,
    overview_figures.JOINT,
    run_figures.TRAINING,
    run_figures.ROC,
    run_figures.PRECISION_RECALL,
    run_figures.SCORES,
    run_figures.SORTED,
    run_figures.LATENT,
)


def present_name(name: str) -> str:
    """Return the current name of a figure, or of a kind of figures, from a former name.

    Examples
    --------
    >>> present_name("changes"), present_name("changes-mnist"), present_name("heat")
    ('change', 'change-mnist', 'heat')
    """
    for spec in FIGURES:
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
    by_key = {spec.key: spec for spec in FIGURES}
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
        Names of `FIGURES`, or of single figures; by default all.

    Raises
    ------
    SpecError
        If there is no kind or figure of a name.
    """
    wanted = None if only is None else [present_name(name) for name in only]
    found: list[PlannedFigure] = []
    left_out: dict[str, str] = {}
    unmade = set()
    for spec in FIGURES:
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
        known = [spec.key for spec in FIGURES] + [one.name for one in found]
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
