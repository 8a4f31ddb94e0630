"""The methods to choose from, by family; those that are not installed say what they need."""

from __future__ import annotations

from insphere.detectors.registry import METHODS
from insphere.experiments.runs.run_builder import comparable_methods
from insphere.studio.controls import Handler, Radio

OBJECTIVES = {
    "one-class": ("Deep SVDD, one-class", "pulls all of normal to one centre"),
    "soft-boundary": ("Deep SVDD, soft boundary", "a sphere that a few may leave"),
}
FAMILIES = {
    "A network learns the sphere": {
        "untrained": "the same network, no training",
        "fcdd": "a sphere for every place of the image",
    },
    "A network learns to restore or imitate": {
        "dcae": "autoencoder: what it cannot restore is odd",
        "anogan": "what it cannot imitate is odd",
    },
    "On features of a pretrained network": {
        "fpsvdd": "a sphere on features of patches",
        "feature-svdd": "a sphere on features of the image",
        "feature-knn": "closest features",
        "feature-mahalanobis": "spread of features",
        "feature-pca": "what few directions cannot restore",
        "patch-memory": "closest patches in memory",
    },
    "On pixels, without a network": {
        "oc-svm": "a boundary with kernels",
        "isolation-forest": "how soon trees isolate it",
        "knn": "distance to the closest images",
        "kde": "density of pixels",
        "mahalanobis": "distance in units of spread",
    },
}


def show(method: str, objective: str, on_choose: Handler) -> None:
    """Lay the methods out.

    Parameters
    ----------
    method, objective : str
        What is chosen now.
    on_choose : callable
        Told of a key of `OBJECTIVES` or of a method.
    """
    now = objective if method == "deep-svdd" else method
    radio = Radio("Method", now, on_choose)
    needs = comparable_methods()
    first = True
    for family, methods in FAMILIES.items():
        radio.heading(family)
        if first:
            for key, (title, note) in OBJECTIVES.items():
                radio.add(key, title, note)
            first = False
        for name, note in methods.items():
            radio.add(name, METHODS[name].title, needs[name] or note, enabled=not needs[name])
