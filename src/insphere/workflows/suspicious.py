"""The normal training samples that look least normal, for a person to look at."""

from __future__ import annotations

import numpy as np

from insphere.data.image_set import ImageSet
from insphere.data.value_range import shown_as_uint8
from insphere.report.report_data import Suspect
from insphere.workflows.fitting import Fit

SHOWN = 10


def most_suspicious(fitted: Fit, n: int = SHOWN) -> list[Suspect]:
    """Return the training normals with the highest scores, each scored as if it were new.

    Nothing is said of how many of them are anomalous: no function of the scores that was tried
    tells a clean training set from a dirty one.

    Parameters
    ----------
    fitted : Fit
        As `fit_source` returned it.
    n : int
        How many.
    """
    data, detector = fitted.data, fitted.detector
    found = []
    for place, score in suspicious_places(fitted, n):
        image = None
        if isinstance(data, ImageSet):
            image = shown_as_uint8(data.images[place : place + 1], detector.value_range_)[0]
        name = str(place) if data.paths is None else data.paths[place]
        found.append(Suspect(name.encode("utf-8", "backslashreplace").decode(), score, image))
    return found


def suspicious_places(fitted: Fit, n: int = SHOWN) -> list[tuple[int, float]]:
    """Return the positions of the same samples in ``fitted.data``, each with its score."""
    data, detector, index = fitted.data, fitted.detector, fitted.index
    if not len(index) or detector.modality_.needs_own:
        return []
    scores = detector.scores_of_normals(data.take(index))
    order = np.argsort(-scores, kind="stable")[:n]
    return [(int(index[row]), float(scores[row])) for row in order]
