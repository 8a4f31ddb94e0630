"""How many of a set of samples are anomalous, as a share with an interval.

With a share π of anomalies among new samples, the share below a level t is
G(t) = (1 − π) F(t) + π A(t), where F is that of normal samples and A that of the anomalies. So
1 − G(t) / F(t) is at most π, and equals it if no anomaly lies below t. This is the estimate of
Storey (2002, "A direct approach to false discovery rates") on conformal p-values.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm

from insphere.errors import DataError, SpecError

LEVEL = 0.2
"""λ: share of the normal samples above t. The smaller, the less noise; anomalies below t are not
counted."""
FEWEST = 20
"""Samples of each kind that an estimate takes."""


@dataclass(frozen=True)
class AnomalousShare:
    """The share of samples that are more than normal ones would be above a level.

    Parameters
    ----------
    share : float
        The estimate, 0 or more. Anomalies that score as low as most normal samples do are not
        counted.
    low, high : float
        Its interval.
    n, n_calibration : int
        Numbers of samples and of normal samples.
    """

    share: float
    low: float
    high: float
    n: int
    n_calibration: int

    def sentence(self, plural: str = "samples") -> str:
        """Return the share with its interval, in words."""
        if self.low <= 0:
            return (
                f"No more of the {plural} score high than normal ones would, within an error of "
                f"{100 * self.high:.0f} %."
            )
        share, low, high = (f"{100 * value:.0f}" for value in (self.share, self.low, self.high))
        return (
            f"At least about {share} % of the {plural} (between {low} and {high} %) are not like "
            "normal ones: so many more score high than normal ones would."
        )


def anomalous_share(
    calibration_scores: ArrayLike,
    scores: ArrayLike,
    *,
    level: float = LEVEL,
    confidence: float = 0.9,
) -> AnomalousShare:
    """Estimate the share of anomalies from scores of normal samples and of others.

    Parameters
    ----------
    calibration_scores : array-like of shape (m,)
        Scores of normal samples that the detector was not trained on; no anomalies among them. At
        least 20.
    scores : array-like of shape (n,)
        Scores of samples that the detector was not trained on either; at least 20.
    level : float
        λ in (0, 1): t is the (1 − λ) quantile of the calibration scores.
    confidence : float
        Of the central interval, in (0, 1). It is that of a ratio of two binomial shares (Katz et
        al. 1978, "Obtaining confidence intervals for the risk ratio in cohort studies").

    Raises
    ------
    DataError
        If there are fewer than 20 scores of either kind, or some are NaN.
    SpecError
        If `level` or `confidence` is out of range.

    Examples
    --------
    >>> found = anomalous_share(range(100), [*range(0, 100, 2), *[200] * 50])
    >>> round(found.share, 3)
    0.5
    """
    for name, value in (("level", level), ("confidence", confidence)):
        if not 0 < value < 1:
            raise SpecError(f"{name} lies between 0 and 1, but got {value!r}.")
    reference = np.sort(np.asarray(calibration_scores, dtype=np.float64).ravel())
    values = np.asarray(scores, dtype=np.float64).ravel()
    if min(len(reference), len(values)) < FEWEST:
        raise DataError(
            f"A share of anomalies takes at least {FEWEST} normal samples and {FEWEST} others, but "
            f"got {len(reference)} and {len(values)}."
        )
    if np.isnan(reference).any() or np.isnan(values).any():
        raise DataError("A share of anomalies takes scores that are numbers, but some are NaN.")
    limit = reference[math.ceil((1 - level) * len(reference)) - 1]
    inside = float((reference <= limit).mean())
    below = max(float((values <= limit).mean()), 0.5 / len(values))
    error = math.sqrt(
        (1 - below) / (len(values) * below) + (1 - inside) / (len(reference) * inside)
    )
    reach = float(norm.ppf((1 + confidence) / 2)) * error
    ratios = (below / inside * math.exp(by) for by in (0.0, reach, -reach))
    share, low, high = (min(max(1 - ratio, 0.0), 1.0) for ratio in ratios)
    return AnomalousShare(share, low, high, len(values), len(reference))
