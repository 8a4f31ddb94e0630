"""All figures that a file of runs suffices for, drawn into a folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

from insphere.errors import SpecError
from insphere.experiments import plates_compared, plates_inside, plates_of_all
from insphere.experiments.captions import sentence
from insphere.experiments.material import Material
from insphere.experiments.plates import Kind, NotEnough
from insphere.report.gallery import Format, Hung, Plate, hang, write_index

KINDS = (
    Kind("preview", "dataset previews", plates_inside.dataset_previews),
    Kind("bars", "bars of baseline and option", plates_compared.option_bars),
    Kind("change", "bars of the change", plates_compared.change_bars),
    Kind("gains", "mean change of each option", plates_compared.gain_bars),
    Kind("published", "published and measured", plates_compared.published_bars),
    Kind("heat", "heat maps", plates_of_all.heat_maps),
    Kind("ranks", "critical-difference diagrams", plates_of_all.critical_difference),
    Kind("histogram", "histogram of AUCs", plates_of_all.auc_histogram),
    Kind("violins", "violins", plates_of_all.violins),
    Kind("boxes", "box plots", plates_of_all.boxes),
    Kind("space", "3-D scatter", plates_of_all.auc_space),
    Kind("radar", "radars of the best", plates_of_all.radar),
    Kind("pairs", "pair plot", plates_of_all.pair_plot),
    Kind("joint", "joint density", plates_of_all.joint_density),
    Kind("training", "loss and AUC by epoch", plates_inside.training_lines),
    Kind("roc", "ROC curves", plates_inside.roc_curves),
    Kind("pr", "precision and recall", plates_inside.precision_recall_curves),
    Kind("scores", "score distributions", plates_inside.score_distributions),
    Kind("sorted", "images by score", plates_inside.images_by_score),
    Kind("latent", "latent space", plates_inside.latent_planes),
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
