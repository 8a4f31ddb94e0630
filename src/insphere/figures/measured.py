"""What comparative figures are drawn from: finished runs, and means and differences of them.

All numbers that a figure of runs shows are computed here, once, for print and for the screen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from insphere.errors import DataError
from insphere.natural_sort import natural_key

AUC = "auc"


@dataclass(frozen=True)
class Measured:
    """One finished run, as far as a figure needs it.

    Parameters
    ----------
    dataset : str
        Name of the data, as it is to be shown.
    normal : str
        Name of the normal class.
    option : str
        What was run: the method with its options, as it is to be shown.
    seed : int
        Seed of the run.
    values : mapping of str to float
        What was measured, by name: "auc" and other shares (0…1).
    run : str
        Identity of the run; shown by figures on the screen.
    """

    dataset: str
    normal: str
    option: str
    seed: int
    values: Mapping[str, float] = field(default_factory=dict)
    run: str = ""


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation of several values.

    Parameters
    ----------
    mean : float
        Their mean.
    std : float or None
        Their standard deviation (n − 1); None for a single one.
    n : int
        How many there are.
    """

    mean: float
    std: float | None
    n: int

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Summarise values; there must be at least one."""
        found = np.asarray(list(values), dtype=np.float64)
        std = float(np.std(found, ddof=1)) if len(found) > 1 else None
        return cls(float(np.mean(found)), std, len(found))

    @property
    def text(self) -> str:
        """The mean with one decimal, and the deviation if there is one."""
        return f"{self.mean:.1f}" if self.std is None else f"{self.mean:.1f} ± {self.std:.1f}"


Runs = Sequence[Measured]


def datasets(runs: Runs) -> list[str]:
    """Return the datasets in the order in which they come."""
    return list(dict.fromkeys(run.dataset for run in runs))


def options(runs: Runs) -> list[str]:
    """Return the options in the order in which they come."""
    return list(dict.fromkeys(run.option for run in runs))


def classes(runs: Runs) -> list[str]:
    """Return the normal classes, numbers by their size, names by the alphabet."""
    return sorted({run.normal for run in runs}, key=lambda name: natural_key(name.casefold()))


def select_runs(
    runs: Runs, *, dataset: str | None = None, option: str | None = None
) -> list[Measured]:
    """Return the runs on one dataset, or of one option, or both."""
    return [
        run
        for run in runs
        if (dataset is None or run.dataset == dataset) and (option is None or run.option == option)
    ]


def percent(runs: Runs, value: str = AUC) -> NDArray[np.float64]:
    """Return a share of each run in per cent, shape (N,).

    Raises
    ------
    DataError
        If a run does not have it.
    """
    missing = [run for run in runs if value not in run.values]
    if missing:
        raise DataError(f"{len(missing)} of {len(runs)} runs do not say their {value}.")
    return np.array([100 * run.values[value] for run in runs], dtype=np.float64)


def by_class(runs: Runs, value: str = AUC) -> dict[str, Spread]:
    """Return mean and deviation over seeds in per cent, class by class.

    Parameters
    ----------
    runs : sequence of Measured
        Runs of one option on one dataset.
    value : str
        Which share.
    """
    return {
        name: Spread.of(percent([run for run in runs if run.normal == name], value))
        for name in classes(runs)
    }


def over_classes(runs: Runs, value: str = AUC) -> Spread:
    """Return the mean over classes in per cent, and its deviation over seeds.

    The mean is that of the classes' means. The deviation is taken over the seeds that every class
    has, for each of which the mean over classes is one value.

    Parameters
    ----------
    runs : sequence of Measured
        Runs of one option on one dataset.
    value : str
        Which share.
    """
    per_class = by_class(runs, value)
    seeds = [{run.seed for run in runs if run.normal == name} for name in per_class]
    means = [
        np.mean([one.mean for one in by_class([run for run in runs if run.seed == seed]).values()])
        for seed in set.intersection(*seeds)
    ]
    std = float(np.std(means, ddof=1)) if len(means) > 1 else None
    return Spread(float(np.mean([one.mean for one in per_class.values()])), std, len(means))


def changes(runs: Runs, baseline: str, option: str) -> dict[str, NDArray[np.float64]]:
    """Return what an option changes, in points of AUC, class by class.

    Every difference is of two runs with the same class and the same seed. Classes without such a
    pair are left out.

    Parameters
    ----------
    runs : sequence of Measured
        Runs on one dataset, each with a class, option and seed of its own.
    baseline, option : str
        Which options.

    Returns
    -------
    dict of str to ndarray
        Differences by class, option − baseline, in the order of the seeds.
    """
    before, after = (
        {(run.normal, run.seed): 100 * run.values[AUC] for run in select_runs(runs, option=name)}
        for name in (baseline, option)
    )
    found: dict[str, list[float]] = {name: [] for name in classes(runs)}
    for name, seed in sorted(before.keys() & after.keys(), key=lambda key: key[1]):
        found[name].append(after[name, seed] - before[name, seed])
    return {name: np.array(values) for name, values in found.items() if values}


def complete_table(runs: Runs) -> tuple[list[str], list[str], NDArray[np.float64]]:
    """Return AUCs in per cent, a line for each class of each dataset and a column for each option.

    Options that were not measured on every class are left out.

    Returns
    -------
    options : list of str
        Names of the columns.
    blocks : list of str
        Names of the lines: dataset and class.
    table : ndarray, shape (n_blocks, n_options)
        Means over seeds.
    """
    blocks = [
        (data, name) for data in datasets(runs) for name in classes(select_runs(runs, dataset=data))
    ]
    means = {
        (data, option, name): spread.mean
        for data in datasets(runs)
        for option in options(runs)
        for name, spread in by_class(select_runs(runs, dataset=data, option=option)).items()
    }
    whole = [
        option
        for option in options(runs)
        if all((data, option, name) in means for data, name in blocks)
    ]
    table = [[means[data, option, name] for option in whole] for data, name in blocks]
    names = [f"{data} {name}" for data, name in blocks]
    return whole, names, np.array(table, dtype=np.float64).reshape(len(blocks), len(whole))
