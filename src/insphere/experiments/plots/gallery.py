"""All figures that a file of runs suffices for, drawn into a folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

from insphere.errors import SpecError
from insphere.experiments.analysis.run_collection import Material
from insphere.experiments.plots import comparison_figures, overview_figures, run_figures
from insphere.experiments.plots.captions import sentence
from insphere.experiments.plots.figure_spec import Kind, NotEnough
from insphere.report.gallery import Format, Hung, Plate, hang, write_index

KINDS = (
    Kind("preview", "dataset previews", run_figures.dataset_previews),
    Kind("bars", "bars of baseline and option", comparison_figures.option_bars),
    Kind("change", "bars of the change", comparison_figures.change_bars),
    Kind("gains", "mean change of each option", comparison_figures.gain_bars),
    Kind("published", "published and measured", comparison_figures.published_bars),
    Kind("heat", "heat maps", overview_figures.heat_maps),
    Kind("ranks", "critical-difference diagrams", overview_figures.critical_difference),
    Kind("histogram", "histogram of AUCs", overview_figures.auc_histogram),
    Kind("violins", "violins", overview_figures.violins),
    Kind("boxes", "box plots", overview_figures.boxes),
    Kind("space", "3-D scatter", overview_figures.auc_space),
    Kind("radar", "radars of the best", overview_figures.radar),
    Kind("pairs", "pair plot", overview_figures.pair_plot),
    Kind("joint", "joint density", overview_figures.joint_density),
    Kind("training", "loss and AUC by epoch", run_figures.training_lines),
    Kind("roc", "ROC curves", run_figures.roc_curves),
    Kind("pr", "precision and recall", run_figures.precision_recall_curves),
    Kind("scores", "score distributions", run_figures.score_distributions),
    Kind("sorted", "images by score", run_figures.images_by_score),
    Kind("latent", "latent space", run_figures.latent_planes),
)


@dataclass(frozen=True)
class Drawn:
    """What became of a file of runs.

    Parameters
    ----------
    index : Path
        The page.
    hung : tuple of Hung
        Figures that were drawn.
    left_out : dict of str to str
        Kinds of figures that were not, by their title, with what they need.
    """

    index: Path
    hung: tuple[Hung, ...]
    left_out: dict[str, str]


def plan(
    material: Material, only: Sequence[str] | None = None
) -> tuple[list[Plate], dict[str, str]]:
    """Return the figures that can be drawn, and of the others what they need.

    Parameters
    ----------
    material : Material
        What to draw from.
    only : sequence of str, optional
        Names of `KINDS`, or of single figures; by default all.

    Raises
    ------
    SpecError
        If there is no kind or figure of a name.
    """
    wanted = list(only) if only is not None else None
    found: list[Plate] = []
    left_out: dict[str, str] = {}
    for kind in KINDS:
        if wanted is not None and not any(
            name == kind.name or name.startswith(f"{kind.name}-") for name in wanted
        ):
            continue
        try:
            made = kind.make(material)
        except NotEnough as reason:
            left_out[kind.title] = str(reason)
            continue
        found += [
            one for one in made if wanted is None or kind.name in wanted or one.name in wanted
        ]
    found = _with_own_names(found)
    if wanted is not None:
        known = [kind.name for kind in KINDS] + [one.name for one in found]
        missing = [
            name for name in wanted if name not in known and not _is_left_out(name, left_out)
        ]
        if missing:
            close = get_close_matches(missing[0], known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}."
            raise SpecError(f"There is no figure {missing[0]}; {hint}")
    return found, left_out


def draw(
    material: Material,
    folder: Path,
    *,
    formats: Sequence[Format],
    only: Sequence[str] | None = None,
    title: str = "Figures",
    tell: Callable[[Plate, int, int], None] | None = None,
) -> Drawn:
    """Draw all figures and write the page that shows them.

    Parameters
    ----------
    material : Material
        What to draw from.
    folder : Path
        Where to.
    formats : sequence of {"png", "svg", "html"}
        Which files of each figure.
    only : sequence of str, optional
        As for `plan`.
    title : str
        Heading of the page.
    tell : callable, optional
        Called before each figure with the figure, its number and how many there are.
    """
    found, left_out = plan(material, only)
    hung = []
    for number, plate in enumerate(found, start=1):
        if tell is not None:
            tell(plate, number, len(found))
        hung.append(hang(plate, folder, formats))
    shown = [one for one in hung if one.files]
    left_out |= {one.plate.title: "png or svg" for one in hung if not one.files}
    index = write_index(
        shown,
        folder,
        title=title,
        lead=sentence(material.rows_of(material.runs), material.runs),
        left_out=[f"{what}: needs {needs}" for what, needs in left_out.items()],
    )
    return Drawn(index, tuple(shown), left_out)


def _with_own_names(found: Sequence[Plate]) -> list[Plate]:
    """Give a number to figures whose files would have the same name."""
    taken: set[str] = set()
    named = []
    for one in found:
        name, number = one.name, 2
        while name in taken:
            name, number = f"{one.name}-{number}", number + 1
        taken.add(name)
        named.append(replace(one, name=name))
    return named


def _is_left_out(name: str, left_out: dict[str, str]) -> bool:
    kinds = [kind for kind in KINDS if kind.title in left_out]
    return any(name == kind.name or name.startswith(f"{kind.name}-") for kind in kinds)
