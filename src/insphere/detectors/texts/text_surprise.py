"""The surprise of the characters of a text, without a network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from insphere.detectors.base.estimator import Array
from insphere.detectors.base.method_card import MethodCard
from insphere.detectors.base.parameters import parameters
from insphere.detectors.texts.character_model import Surprise
from insphere.detectors.texts.text_detector import Floats, TextDetector


@parameters
class TextSurprise(TextDetector):
    """Surprise of the characters of a text under an n-gram model of normal texts.

    It sees how things are written: spelling, numbers, links, other languages. It needs no package
    and learns thousands of texts in a second.

    Parameters
    ----------
    order, keep_texts
        See `TextDetector`.
    contamination, false_alarm_rate, calibration, random_state
        See `OneClassDetector`.

    Examples
    --------
    >>> from insphere.detectors import TextSurprise
    >>> texts = [f"The train to Bern leaves at {hour}:{15 * q:02}." for hour in range(24)
    ...          for q in range(4)]
    >>> detector = TextSurprise(random_state=0).fit(texts)
    >>> detector.predict(["The train to Bern leaves at 7:30.", "WIN £££ now!!! call 0900 555"])
    array([ 1, -1])
    """

    card = MethodCard(
        key="text-surprise",
        title="Surprise of characters",
        family="texts",
        summary="how improbable the characters of a text are after normal texts",
        takes=("texts",),
        is_control=True,
    )

    def _parts(self, texts: Array) -> list[Array]:
        return [texts]

    def _learn(self, parts: list[Array]) -> None:
        self._surprise = Surprise.fitted(parts[0].tolist(), self.order)

    def _part_scores(self, parts: list[Array]) -> Floats:
        return self._surprise.scores(parts[0].tolist())[:, None]

    def _similarity(self, texts: Array, kept: Array) -> Floats:
        from sklearn.feature_extraction.text import HashingVectorizer

        vectors = HashingVectorizer(analyzer="char_wb", ngram_range=(3, 3), n_features=1 << 18)
        alike: Floats = (vectors.transform(texts) @ vectors.transform(kept).T).toarray()
        return alike

    def _state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        arrays, meta = super()._state()
        return arrays | self._surprise.state(), meta

    def _set_state(self, arrays: Mapping[str, Array], meta: Mapping[str, Any]) -> None:
        super()._set_state(arrays, meta)
        self._surprise = Surprise.restored(arrays)
