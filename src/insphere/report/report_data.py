"""The contents of a report, checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insphere.errors import DataError
from insphere.explain.score_checks import as_scores, as_truth
from insphere.modalities.exhibit import Exhibit
from insphere.report.heat_section import ReportHeat


def _now() -> str:
    return datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z")


@dataclass(frozen=True, eq=False)
class Suspect:
    """A normal training sample that does not look normal.

    Parameters
    ----------
    name : str
        Where it came from.
    score : float
        Its anomaly score, as if it were new.
    image : ndarray of uint8, shape (H, W, C), or None
        The image, if it is one.
    """

    name: str
    score: float
    image: NDArray[np.uint8] | None = None


@dataclass(frozen=True, eq=False)
class ReportData:
    """Contents of a report: images, scores, threshold, truth, history and settings.

    Parameters
    ----------
    title : str
        Heading of the report.
    dataset : str
        Name of the data.
    normal_classes : sequence of str
        Names of the classes that count as normal; empty for a plain folder.
    counts : mapping of str to int
        How many images of each kind there are, such as ``{"training normals": 450}``.
    images : ndarray of uint8, shape (N, H, W, C), or None
        The scored images; C is 1 (grey) or 3 (RGB). None for other kinds of data.
    scores : ndarray of float, shape (N,)
        Anomaly scores, higher is more anomalous.
    threshold : float
        Scores above it are called anomalous.
    threshold_rule : str
        How the threshold was found, in words that complete "The threshold …".
    truth : ndarray of int or bool, shape (N,), optional
        0 for normal, 1 for anomalous; None if it is not known.
    z_scores : ndarray of float, shape (N,), optional
        The scores in standard deviations of normal images.
    p_values, severities : ndarray of float, shape (N,), optional
        How rare each score is among normal images, and −log10 of it, continued beyond what the
        calibration images can resolve.
    resolution : float
        Severities above it are extrapolated.
    guarantee : str
        What the threshold promises, in a sentence.
    heat : ReportHeat, optional
        Heat maps of the images that are shown.
    history : sequence of mapping
        One row for each epoch; see `insphere.figures.training_curves` and
        `insphere.figures.guard_curves` for the keys, and ``images_per_second`` and ``lr``.
    findings : sequence of str
        What the collapse guard has to say.
    comparison : sequence of mapping
        One row for each method on the same images: ``name``, and any of ``auc``,
        ``average_precision``, ``fpr_at_95_tpr`` (shares, 0…1) and ``seconds``. A row for
        `method` is added from the scores if there is none.
    spec : mapping
        The settings that made the model, shown as YAML.
    versions : mapping of str to str
        Versions of the software.
    paths : sequence of str, length N, optional
        Where each image came from.
    pixels : mapping of str to float
        How well the maps agree with masks: ``pixel_auc``, ``pro``, ``fpr_limit``; empty without
        masks.
    exhibits : mapping of int to Exhibit, optional
        Where samples are no images: what explains those that are shown, by their position; see
        `shown_images`.
    contents : mapping of int to (int, int)
        Height and width of the photographs that lie in the upper left corner of their images, by
        position, for those that do not fill them: only these parts are shown.
    singular, plural : str
        What one sample is called, and several.
    sample_size : str
        Size of a sample in words; by default that of the images.
    verdicts : ndarray of bool, shape (N,), optional
        What is called anomalous, if it is not decided by the one threshold.
    groups : sequence of mapping
        One row for each group in which false alarms are counted: ``name``, ``n``, ``outside``,
        ``rate``, ``low``, ``high`` (shares, 0…1).
    group_notes : sequence of str
        What is known of false alarms by group, as sentences.
    suspects : sequence of Suspect
        Normal training samples that do not look normal, the most suspicious first.
    method : str
        Name of the method that gave the scores.
    created : str
        When; now, if not given.

    Raises
    ------
    DataError
        If there is no image, a part does not fit the images, or a number is not finite.
    """

    title: str
    dataset: str
    normal_classes: Sequence[str]
    counts: Mapping[str, int]
    images: NDArray[np.uint8] | None
    scores: NDArray[np.float64]
    threshold: float
    threshold_rule: str
    truth: NDArray[Any] | None = None
    z_scores: NDArray[np.float64] | None = None
    p_values: NDArray[np.float64] | None = None
    severities: NDArray[np.float64] | None = None
    resolution: float = float("inf")
    guarantee: str = ""
    heat: ReportHeat | None = None
    history: Sequence[Mapping[str, Any]] = ()
    findings: Sequence[str] = ()
    comparison: Sequence[Mapping[str, Any]] = ()
    spec: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    paths: Sequence[str] | None = None
    pixels: Mapping[str, float] = field(default_factory=dict)
    exhibits: Mapping[int, Exhibit] | None = None
    contents: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    singular: str = "image"
    plural: str = "images"
    sample_size: str = ""
    verdicts: NDArray[np.bool_] | None = None
    groups: Sequence[Mapping[str, Any]] = ()
    group_notes: Sequence[str] = ()
    suspects: Sequence[Suspect] = ()
    method: str = "Deep SVDD"
    created: str = field(default_factory=_now)

    def __post_init__(self) -> None:
        images = self.images
        if (images is None) == (self.exhibits is None):
            raise DataError("A report shows either images or exhibits.")
        shaped = images is None or (images.ndim == 4 and images.shape[3] in (1, 3))
        if images is not None and not (shaped and images.dtype == np.uint8):
            raise DataError(
                "A report shows uint8 images of shape N×H×W×C with 1 or 3 channels, but got "
                f"{images.dtype} of shape {images.shape}."
            )
        n = len(self.scores) if images is None else len(images)
        if not n:
            raise DataError(f"A report needs at least one scored {self.singular}.")
        self._keep("scores", as_scores(self.scores))
        if not np.isfinite(self.threshold):
            raise DataError(f"The threshold must be a finite number, but is {self.threshold}.")
        if self.z_scores is not None:
            self._keep("z_scores", as_scores(self.z_scores, title="z-scores"))
        if self.p_values is not None:
            self._keep("p_values", as_scores(self.p_values, title="p-values"))
        if self.severities is not None:
            self._keep("severities", as_scores(self.severities, title="severities"))
        for name in ("scores", "z_scores", "p_values", "severities", "paths", "verdicts"):
            value = getattr(self, name)
            if value is not None and len(value) != n:
                raise DataError(f"There are {n} {self.plural} but {len(value)} {name}.")
        if self.truth is not None:
            self._keep("truth", as_truth(self.truth, n))
        for row in self.comparison:
            if "name" not in row:
                raise DataError("Each row of the comparison needs the name of its method.")

    def _keep(self, name: str, value: NDArray[Any]) -> None:
        object.__setattr__(self, name, value)

    @property
    def a_singular(self) -> str:
        """One sample with its article."""
        return f"{'an' if self.singular[0] in 'aeiou' else 'a'} {self.singular}"

    @property
    def counted(self) -> str:
        """The number of samples in words."""
        n = len(self.scores)
        return f"{n:,} {self.singular if n == 1 else self.plural}"

    @property
    def flagged(self) -> NDArray[np.bool_]:
        """True for the images whose score lies above the threshold, shape (N,)."""
        if self.verdicts is not None:
            return self.verdicts
        beyond: NDArray[np.bool_] = self.scores > self.threshold
        return beyond
