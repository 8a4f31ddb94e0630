"""Average ranks of several methods, and which differences of them are more than chance.

Demšar 2006, "Statistical Comparisons of Classifiers over Multiple Data Sets": the test of Friedman
asks whether the methods differ at all, the one of Nemenyi which of them do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from insphere.errors import DataError


@dataclass(frozen=True)
class Ranking:
    """Methods by their average rank, the best first.

    Parameters
    ----------
    names : tuple of str
        The methods.
    ranks : tuple of float
        Average rank of each, over the blocks; 1 is the best, equal values share their ranks.
    n : int
        Number of blocks.
    statistic, p_value : float
        Friedman's χ², and its probability if all methods were the same.
    critical_difference : float
        Two average ranks further apart than this differ, by Nemenyi's test.
    alpha : float
        Its level.
    """

    names: tuple[str, ...]
    ranks: tuple[float, ...]
    n: int
    statistic: float
    p_value: float
    critical_difference: float
    alpha: float

    @property
    def groups(self) -> list[tuple[int, int]]:
        """Stretches of methods that do not differ, as first and last position in `names`.

        Only those that lie in no longer one, and hold more than one method.
        """
        found: list[tuple[int, int]] = []
        for first, rank in enumerate(self.ranks):
            near = [i for i, other in enumerate(self.ranks) if other >= rank]
            last = max(i for i in near if self.ranks[i] - rank <= self.critical_difference)
            if last > first and (not found or last > found[-1][1]):
                found.append((first, last))
        return found


def rank_methods(names: Sequence[str], table: ArrayLike, *, alpha: float = 0.05) -> Ranking:
    """Rank methods in every block and compare their average ranks.

    Parameters
    ----------
    names : sequence of str
        The methods, at least three.
    table : array-like of float, shape (n_blocks, n_methods)
        What they reached; higher is better. At least two blocks.
    alpha : float
        Level of Nemenyi's test.

    Raises
    ------
    DataError
        If there are too few methods or blocks, or a value is missing.

    Examples
    --------
    >>> ranking = rank_methods(["a", "b", "c"], [[90, 80, 70], [70, 60, 60], [99, 98, 97]])
    >>> ranking.names, [round(rank, 3) for rank in ranking.ranks]
    (('a', 'b', 'c'), [1.0, 2.167, 2.833])
    """
    values = np.asarray(table, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] != len(names):
        raise DataError(
            f"There are {len(names)} methods, but the table has the shape {values.shape}."
        )
    n, k = values.shape
    if k < 3 or n < 2:
        raise DataError(
            f"Comparing ranks needs at least 3 methods and 2 classes, but there are {k} and {n}."
        )
    if not np.isfinite(values).all():
        raise DataError("Comparing ranks needs a value of every method in every class.")
    ranks: NDArray[np.float64] = stats.rankdata(-values, axis=1).mean(axis=0)
    if (values == values[:, :1]).all():
        statistic, p_value = 0.0, 1.0  # nothing but ties, where the statistic is 0 / 0
    else:
        statistic, p_value = (float(x) for x in stats.friedmanchisquare(*values.T))
    order = np.argsort(ranks, kind="stable")
    return Ranking(
        names=tuple(names[i] for i in order),
        ranks=tuple(float(ranks[i]) for i in order),
        n=n,
        statistic=statistic,
        p_value=p_value,
        critical_difference=nemenyi(k, n, alpha),
        alpha=alpha,
    )


def nemenyi(k: int, n: int, alpha: float = 0.05) -> float:
    """Return the critical difference of the average ranks of `k` methods over `n` blocks.

    q √(k (k + 1) / 6n), where q is the (1 − α) quantile of the studentized range of k values with
    infinitely many degrees of freedom, divided by √2.

    Examples
    --------
    >>> round(nemenyi(2, 1), 2)
    1.96
    """
    q = float(stats.studentized_range.ppf(1 - alpha, k, np.inf)) / np.sqrt(2)
    return float(q * np.sqrt(k * (k + 1) / (6 * n)))
