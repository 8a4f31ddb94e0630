"""The known anomalies that a visitor has chosen: classes, or any other images, and their share."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from insphere.data.image_set import ImageSet
from insphere.errors import DataError, InsphereError, SpecError
from insphere.experiments.execution.worker import dataset as data_of
from insphere.studio.app_state import Studio
from insphere.studio.image_sources import Source, Sources, source_key
from insphere.workflows.known_anomalies import KnownAnomalies, draw_anomalies, read_anomalies

SHARES = (0.01, 0.05, 0.1, 0.2)
USUAL_SHARE = 0.05
ALL = "all"
"""In an address and in the list of shares: all of the other images."""
LONGEST = 10_000  # characters of names in an address


@dataclass
class KnownChoice:
    """The known anomalies of a form.

    Parameters
    ----------
    classes : list of str
        Classes of the chosen images.
    others : Source, optional
        Any other images instead.
    share : float or None
        Share of all training images; None for all of the other images.
    n_others : int
        Number of the other images, once they have been read.
    problem : str
        Why they cannot be used.
    """

    classes: list[str] = field(default_factory=list)
    others: Source | None = None
    share: float | None = USUAL_SHARE
    n_others: int = 0
    problem: str = ""

    def __bool__(self) -> bool:
        return bool(self.classes) or self.others is not None

    def take_classes(self, names: list[str]) -> None:
        """Choose classes; other images are not chosen any more."""
        self.classes, self.others = names, None
        self.share = USUAL_SHARE if self.share is None else self.share

    def take_others(self, source: Source | None) -> None:
        """Choose other images, which have to be looked at; or none."""
        self.classes, self.others, self.n_others, self.problem = [], source, 0, ""
        if source is None:
            self.take_classes([])

    def take_share(self, text: str) -> None:
        """Choose one of `SHARES`, or `ALL` of the other images; anything else is the usual one."""
        if text == ALL and self.others is not None:
            self.share = None
        else:
            self.share = next((one for one in SHARES if _share(one) == text), USUAL_SHARE)

    def fit_to(self, dataset: str, classes: Iterable[str]) -> None:
        """Leave out what is no known anomaly there: the data set itself, and all but some classes.

        Parameters
        ----------
        dataset : str
            The images that are trained on.
        classes : iterable of str
            Those of its classes that may be anomalous, in order.
        """
        if self.others is not None and self.others.dataset == dataset:
            self.take_others(None)
        self.classes = [name for name in classes if name in self.classes]

    async def look(self, studio: Studio, dataset: str) -> None:
        """Find out how many of the other images can be read in the form of a data set."""
        if self.others is None:
            return
        self.n_others, self.problem = 0, ""
        source = self.others
        try:
            n, problem = await studio.ask(count_others, source.dataset, dataset), ""
        except InsphereError as error:
            n, problem = 0, str(error)
        if self.others == source:  # another may have been chosen meanwhile
            self.n_others, self.problem = n, problem

    def check(self, n_normal: int | None = None) -> None:
        """Refuse other images that cannot be used.

        Parameters
        ----------
        n_normal : int, optional
            Number of normal training images, if one is known.

        Raises
        ------
        InsphereError
            If they cannot be read, have not been yet, or are too few for their share.
        """
        if self.others is None:
            return
        if self.problem:
            raise DataError(self.problem)
        if not self.n_others:
            raise SpecError("The other images are still being read.")
        if n_normal is not None:
            what = f"{self.others.title} has {self.n_others:,} images"
            draw_anomalies(self.n_others, n_normal, self.share, 0, what)

    def in_choice(self) -> dict[str, Any]:
        """Return the fields of a `RunChoice` that say them."""
        others = None if self.others is None else self.others.dataset
        return {
            "anomalies": tuple(self.classes), "other_images": others, "anomaly_share": self.share
        }  # fmt: skip

    def in_address(self) -> dict[str, str]:
        """Return them as values of an address."""
        return {
            "known": json.dumps(self.classes) if self.classes else "",
            "others": "" if self.others is None else self.others.key,
            "share": _share(self.share) if self else "",
        }


def read_known(given: Mapping[str, str], sources: Sources) -> KnownChoice:
    """Return what an address says; what is invalid is ignored."""
    found = KnownChoice(names(given.get("known", "")))
    if key := given.get("others"):
        others = sources.others()
        found.take_others(next((one for one in others if one.key == key), None))
    found.take_share(given.get("share", ""))
    return found


def known_in_address(known: KnownAnomalies | None) -> dict[str, str]:
    """Return the known anomalies of a run as values of an address."""
    if known is None:
        return {}
    return {
        "known": json.dumps(known.classes) if known.classes else "",
        "others": "" if known.source is None else source_key(known.source),
        "share": _share(known.share),
    }


def names(text: str) -> list[str]:
    """Read names of classes from an address; none if it is something else."""
    try:
        found = json.loads(text) if len(text) < LONGEST else []
    except (ValueError, RecursionError):
        return []
    if not isinstance(found, list):
        return []
    return [name for name in found if isinstance(name, str)]


def count_others(source: str, dataset: str) -> int:
    """Return how many images of a source can be read in the form of a data set.

    Raises
    ------
    DataError
        If they cannot.
    """
    data = data_of(dataset)
    if not isinstance(data, ImageSet):
        raise DataError(f"{dataset} holds no images.")
    return len(read_anomalies(source, data, progress=False))


def _share(share: float | None) -> str:
    return ALL if share is None else f"{share:g}"
