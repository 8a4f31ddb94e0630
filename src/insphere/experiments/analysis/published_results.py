"""Published AUCs for comparison, in per cent, with their sources."""

from __future__ import annotations

from typing import NamedTuple

from insphere.experiments.runs.spec import RunSpec

RUFF = "Ruff et al. 2018, tables 1 and 2: mean over 10 seeds"


class Published(NamedTuple):
    """A published AUC in per cent: mean and standard deviation over ten seeds."""

    mean: float
    std: float


# Columns in the order of the paper, by the name of the method here; Deep SVDD by its objective.
COLUMNS = {
    "oc-svm": "OC-SVM/SVDD",
    "kde": "KDE",
    "isolation-forest": "IF",
    "dcae": "DCAE",
    "anogan": "AnoGAN",
    "soft-boundary": "soft-bound. Deep SVDD",
    "one-class": "one-class Deep SVDD",
}

# One line a class, mean±std for each of COLUMNS; "-" where the paper has none.
_TABLES = {
    "mnist": """
        0 98.6±0.0 97.1±0.0 98.0±0.3 97.6±0.7 96.6±1.3 97.8±0.7 98.0±0.7
        1 99.5±0.0 98.9±0.0 97.3±0.4 98.3±0.6 99.2±0.6 99.6±0.1 99.7±0.1
        2 82.5±0.1 79.0±0.0 88.6±0.5 85.4±2.4 85.0±2.9 89.5±1.2 91.7±0.8
        3 88.1±0.0 86.2±0.0 89.9±0.4 86.7±0.9 88.7±2.1 90.3±2.1 91.9±1.5
        4 94.9±0.0 87.9±0.0 92.7±0.6 86.5±2.0 89.4±1.3 93.8±1.5 94.9±0.8
        5 77.1±0.0 73.8±0.0 85.5±0.8 78.2±2.7 88.3±2.9 85.8±2.5 88.5±0.9
        6 96.5±0.0 87.6±0.0 95.6±0.3 94.6±0.5 94.7±2.7 98.0±0.4 98.3±0.5
        7 93.7±0.0 91.4±0.0 92.0±0.4 92.3±1.0 93.5±1.8 92.7±1.4 94.6±0.9
        8 88.9±0.0 79.2±0.0 89.9±0.4 86.5±1.6 84.9±2.1 92.9±1.4 93.9±1.6
        9 93.1±0.0 88.2±0.0 93.5±0.3 90.4±1.8 92.4±1.1 94.9±0.6 96.5±0.3
    """,
    "cifar10": """
        airplane   61.6±0.9 61.2±0.0 60.1±0.7 59.1±5.1 67.1±2.5 61.7±4.2 61.7±4.1
        automobile 63.8±0.6 64.0±0.0 50.8±0.6 57.4±2.9 54.7±3.4 64.8±1.4 65.9±2.1
        bird       50.0±0.5 50.1±0.0 49.2±0.4 48.9±2.4 52.9±3.0 49.5±1.4 50.8±0.8
        cat        55.9±1.3 56.4±0.0 55.1±0.4 58.4±1.2 54.5±1.9 56.0±1.1 59.1±1.4
        deer       66.0±0.7 66.2±0.0 49.8±0.4 54.0±1.3 65.1±3.2 59.1±1.1 60.9±1.1
        dog        62.4±0.8 62.4±0.0 58.5±0.4 62.2±1.8 60.3±2.6 62.1±2.4 65.7±2.5
        frog       74.7±0.3 74.9±0.0 42.9±0.6 51.2±5.2 58.5±1.4 67.8±2.4 67.7±2.6
        horse      62.6±0.6 62.6±0.0 55.1±0.7 58.6±2.9 62.5±0.8 65.2±1.0 67.3±0.9
        ship       74.9±0.4 75.1±0.0 74.2±0.6 76.8±1.4 75.8±4.1 75.6±1.7 75.9±1.2
        truck      75.9±0.3 76.0±0.0 58.9±0.7 67.3±3.0 66.5±2.8 71.0±1.1 73.1±1.2
    """,
    # Stop signs against Boundary Attack examples, which were never released.
    "gtsrb": """
        14 stop 67.5±1.2 60.5±1.7 73.8±0.9 79.1±3.0 - 77.8±4.9 80.3±2.8
    """,
}


def _parse(table: str) -> dict[str, dict[str, Published]]:
    columns: dict[str, dict[str, Published]] = {column: {} for column in COLUMNS}
    for line in table.strip().splitlines():
        words = line.split()
        name, cells = " ".join(words[: -len(COLUMNS)]), words[-len(COLUMNS) :]
        for column, cell in zip(COLUMNS, cells, strict=True):
            if cell != "-":
                mean, std = cell.split("±")
                columns[column][name] = Published(float(mean), float(std))
    return {column: values for column, values in columns.items() if values}


PUBLISHED = {dataset: _parse(table) for dataset, table in _TABLES.items()}


def published_table(dataset: str) -> dict[str, dict[str, Published]]:
    """Return all published AUCs on a dataset, by column (see `COLUMNS`) and class name.

    Parameters
    ----------
    dataset : str
        "mnist", "cifar10" or "gtsrb"; for any other there are none.

    Examples
    --------
    >>> published_table("mnist")["kde"]["3"]
    Published(mean=86.2, std=0.0)
    """
    return PUBLISHED.get(dataset, {})


def published_column(spec: RunSpec) -> str | None:
    """Return the published column for a run; None if the paper has none.

    Examples
    --------
    >>> published_column(RunSpec(dataset="mnist", normal=("3",)))
    'one-class'
    """
    if spec.method == "deep-svdd":
        column = str(spec.params.get("objective", "one-class"))
    else:
        column = spec.method
    return column if column in published_table(spec.dataset) else None


def published_auc(dataset: str) -> dict[str, dict[str, float]]:
    """Return published AUCs of Deep SVDD in per cent, by objective and class name.

    Parameters
    ----------
    dataset : str
        "mnist" or "cifar10"; for any other there are none.
    """
    if dataset not in ("mnist", "cifar10"):
        return {}
    table = published_table(dataset)
    return {
        objective: {name: value.mean for name, value in table[objective].items()}
        for objective in ("one-class", "soft-boundary")
    }


# What the report that the ablation follows printed, for comparison; single runs, AUC in %.
REPORTED_Z_SCORE = {
    "mnist": {
        "0": (97.99, 96.76),
        "1": (99.46, 99.46),
        "2": (85.17, 91.16),
        "3": (90.32, 92.40),
        "4": (94.66, 92.46),
        "5": (88.16, 87.82),
        "6": (97.86, 98.26),
        "7": (93.45, 94.70),
        "8": (91.68, 91.40),
        "9": (95.99, 96.59),
    }
}
"""By dataset and class: baseline, and with z-scored scores."""

REPORTED_FPSVDD = {
    "cifar10": {
        "airplane": (61.32, 62.36),
        "automobile": (60.25, 70.57),
        "bird": (49.46, 49.20),
        "cat": (57.54, 59.34),
        "deer": (57.31, 67.54),
        "dog": (64.19, 65.21),
        "frog": (53.07, 68.59),
        "horse": (60.95, 73.15),
        "ship": (76.68, 75.86),
        "truck": (68.17, 76.65),
    }
}
"""By dataset and class: baseline, and FPSVDD with ResNet-50, layers 2 to 4, 3×3 patches."""
