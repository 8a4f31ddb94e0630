"""Published AUCs to print beside our own; in per cent, with the source of each."""

from __future__ import annotations

RUFF = "Ruff et al. 2018, tables 1 and 2: mean over 10 seeds"

_DIGITS = tuple(str(digit) for digit in range(10))
_CIFAR = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
_ONE_CLASS: dict[str, tuple[float, ...]] = {
    "mnist": (98.0, 99.7, 91.7, 91.9, 94.9, 88.5, 98.3, 94.6, 93.9, 96.5),
    "cifar10": (61.7, 65.9, 50.8, 59.1, 60.9, 65.7, 67.7, 67.3, 75.9, 73.1),
}
_SOFT_BOUNDARY: dict[str, tuple[float, ...]] = {
    "mnist": (97.8, 99.6, 89.5, 90.3, 93.8, 85.8, 98.0, 92.7, 92.9, 94.9),
    "cifar10": (61.7, 64.8, 49.5, 56.0, 59.1, 62.1, 67.8, 65.2, 75.6, 71.0),
}


def published_auc(dataset: str) -> dict[str, dict[str, float]]:
    """Return published AUCs of Deep SVDD in per cent, by objective and class name.

    Parameters
    ----------
    dataset : str
        "mnist" or "cifar10"; for any other there are none.
    """
    classes = _DIGITS if dataset == "mnist" else _CIFAR
    tables: dict[str, dict[str, tuple[float, ...]]] = {
        "one-class": _ONE_CLASS,
        "soft-boundary": _SOFT_BOUNDARY,
    }
    return {
        objective: dict(zip(classes, table[dataset], strict=True))
        for objective, table in tables.items()
        if dataset in table
    }
