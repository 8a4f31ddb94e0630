"""Training sets of which a method that compares with every row keeps a sample.

The time of neighbours, kernel densities and kernel machines grows with the number of rows that they
compare with, and the time of placing a threshold on training scores, or of solving a kernel
machine, with its square. Beyond a stated number of rows they compare with a uniform sample of that
size, so that time grows with the number of rows alone, and memory for the model not at all. A
kernel density of a uniform sample estimates the same density. The distance to the k-th nearest row
of a share f of the rows is, on average, that to the (k/f)-th nearest of all.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from insphere.detectors.base.checks import require_count

EXACT_ROWS = 30_000


def sampled_rows(
    F: NDArray[Any], most: Any, random_state: Any
) -> tuple[NDArray[Any], NDArray[np.intp] | None, str | None]:
    """Return all rows, or a uniform sample of the most that are kept.

    Parameters
    ----------
    F : ndarray, shape (n, d)
        Training rows.
    most : int
        Rows that are kept; the parameter ``exact_rows`` of a detector.
    random_state : int, RandomState or None
        Chooses them; None always chooses the same.

    Returns
    -------
    rows : ndarray, shape (min(n, most), d)
    kept : ndarray of int, shape (most,), or None
        Their positions in `F`, ascending; None if all are kept.
    said : str or None
        What was done, as a sentence.

    Raises
    ------
    SpecError
        If `most` is no positive whole number.
    """
    require_count("exact_rows", most, 1)
    if len(F) <= most:
        return F, None, None
    chance = check_random_state(0 if random_state is None else random_state)
    kept = np.sort(chance.permutation(len(F))[:most])
    said = (
        f"compares with a uniform sample of {most:,} of the {len(F):,} training rows "
        "(exact_rows sets how many)"
    )
    return F[kept], kept, said
