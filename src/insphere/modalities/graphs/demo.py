"""A real graph for the demo: Zachary's karate club (1977), from NetworkX."""

from __future__ import annotations

import numpy as np

from insphere.errors import require
from insphere.modalities.graphs.graph_set import GraphSet
from insphere.modalities.graphs.others import from_networkx

N_TRAIN = 11


def karate_club() -> GraphSet:
    """Return 34 members of a club that fell apart; of one half, 11 are there to train on.

    Members have no features but those whom they met. It is the only graph with classes that was
    found in a small package.

    Raises
    ------
    MissingExtraError
        If NetworkX is not installed.
    """
    networkx = require("networkx", "graphs", "the graph of the demo")
    club = networkx.karate_club_graph()
    sides = [club.nodes[node]["club"] for node in club]
    classes = ("Mr. Hi", "Officer")
    labels = np.array([classes.index(side) for side in sides], np.int64)
    normal = np.random.default_rng(0).permutation(np.flatnonzero(labels == 0))
    is_test = np.ones(len(labels), bool)
    is_test[normal[:N_TRAIN]] = False
    return GraphSet(
        from_networkx(club),
        np.arange(len(labels)),
        labels,
        classes,
        name="karate club",
        is_test=is_test,
        normal_classes=("Mr. Hi",),
    )
