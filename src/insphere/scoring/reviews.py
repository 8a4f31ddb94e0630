"""What people's reviews of alarms say: the false-alarm rate, and the share of right alarms."""

from __future__ import annotations

from dataclasses import dataclass

from scipy.stats import beta

from insphere.errors import SpecError


@dataclass(frozen=True)
class Share:
    """A share with the interval in which the true one probably lies.

    Parameters
    ----------
    count, total : int
        The share is count / total.
    low, high : float
        Ends of the interval.
    """

    count: int
    total: int
    low: float
    high: float

    @property
    def value(self) -> float | None:
        """The share itself; None of nothing."""
        return self.count / self.total if self.total else None


def share_interval(count: int, total: int, confidence: float = 0.9) -> Share:
    """Return a share with its exact interval (Clopper and Pearson 1934).

    Parameters
    ----------
    count, total : int
        0 ≤ count ≤ total.
    confidence : float
        Chance that the interval holds the true share, at least; in (0, 1).

    Raises
    ------
    SpecError
        If the numbers are out of range.

    Examples
    --------
    >>> found = share_interval(0, 28)
    >>> found.low, round(found.high, 3)
    (0.0, 0.101)
    """
    if not 0 <= count <= total or not 0 < confidence < 1:
        raise SpecError(f"A share of {count} out of {total} at {confidence} makes no sense.")
    if not total:
        return Share(0, 0, 0.0, 1.0)
    tail = (1 - confidence) / 2
    low = float(beta.ppf(tail, count, total - count + 1)) if count else 0.0
    high = float(beta.ppf(1 - tail, count + 1, total - count)) if count < total else 1.0
    return Share(count, total, low, high)


@dataclass(frozen=True)
class ReviewCounts:
    """Scored images by verdict and review.

    Parameters
    ----------
    right, false : int
        Alarms that a person called right, or false.
    open : int
        Alarms that nobody reviewed.
    missed, confirmed : int
        Images without an alarm that a person called anomalous, or normal.
    passed : int
        Images without an alarm that nobody reviewed.
    """

    right: int = 0
    false: int = 0
    open: int = 0
    missed: int = 0
    confirmed: int = 0
    passed: int = 0

    @property
    def reviewed(self) -> int:
        """Number of reviewed images."""
        return self.right + self.false + self.missed + self.confirmed

    def false_alarms(self, confidence: float = 0.9) -> Share:
        """Return the share of good images that raised an alarm.

        Images without an alarm count as good unless a person said otherwise. Alarms that nobody
        reviewed may be either: the lower end of the interval takes all of them for right, the
        upper end all for false.
        """
        good = self.false + self.confirmed + self.passed
        known = share_interval(self.false, good, confidence)
        if not self.open:
            return known
        worst = share_interval(self.false + self.open, good + self.open, confidence)
        return Share(known.count, known.total, known.low, worst.high)

    def right_alarms(self, confidence: float = 0.9) -> Share:
        """Return the share of reviewed alarms that were right."""
        return share_interval(self.right, self.right + self.false, confidence)
