"""Texts: strings, as an array of objects, from lists, pandas, files."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from insphere.data.files import IMAGE_SUFFIXES
from insphere.data.inputs import training_index
from insphere.data.read_options import ReadOptions
from insphere.data.sample_set import SampleSet
from insphere.errors import DataError
from insphere.modalities.exhibit import Exhibit
from insphere.modalities.modality import Array, Example, Modality, forget_columns
from insphere.modalities.texts.files import as_texts, checked, looks_like_texts, read_texts
from insphere.modalities.texts.text_set import TextSet

_LONGEST_PATH = 4096
FEWEST = 3  # different texts; with two, one difference would pass for all that is normal


@dataclass(frozen=True)
class Texts(Modality):
    """Texts.

    Parameters
    ----------
    usual : int
        Median length of the training texts in characters.
    """

    usual: int

    key: ClassVar[str] = "texts"
    noun: ClassVar[str] = "texts"
    plural: ClassVar[str] = "texts"
    singular: ClassVar[str] = "text"
    how_to_label: ClassVar[str] = "give each text a label and name its field with label="
    needs_own: ClassVar[bool] = True
    method: ClassVar[str] = "text-mahalanobis"
    example: ClassVar[Example] = Example("news-and-reviews", "News and film reviews", "gensim")

    rivals: ClassVar[tuple[str, ...]] = ("text-knn", "text-svdd", "text-surprise")

    @classmethod
    def demo(cls) -> tuple[TextSet, str]:
        """Return news and film reviews; see `insphere.modalities.texts.demo`."""
        from insphere.modalities.texts.demo import demo_texts

        return demo_texts(), "news"

    @classmethod
    def reads(cls, X: Any) -> bool:
        """Whether this is a set of texts, or a list or an array of strings."""
        if isinstance(X, TextSet):
            return True
        if isinstance(X, np.ndarray):
            return X.ndim == 1 and (X.dtype.kind == "U" or (X.dtype == object and _strings(X)))
        if hasattr(X, "to_numpy") and getattr(X, "ndim", 1) == 1 and hasattr(X, "dtype"):
            return _strings(X.to_numpy())
        return isinstance(X, (list, tuple)) and _strings(X)

    @classmethod
    def is_source(cls, source: str) -> bool:
        """Whether this is a .txt file, or JSON lines with a text field."""
        return looks_like_texts(source)

    @classmethod
    def load(cls, source: str, reading: ReadOptions, *, progress: bool | None = None) -> TextSet:
        """Read a file of texts; see `insphere.modalities.texts.files.read_texts`."""
        return read_texts(source, reading.columns)

    @classmethod
    def owns(cls, data: Array) -> bool:
        """Whether this is an array of objects with one dimension."""
        return data.ndim == 1 and data.dtype == object

    @classmethod
    def read(cls, X: Any, *, fitting: bool, estimator: Any) -> Array:
        """Return texts as an array of strings, dtype object, shape (N,)."""
        if isinstance(X, TextSet):
            X = X.texts[training_index(X)] if fitting else X.texts
        values = X.to_numpy() if hasattr(X, "to_numpy") else X
        texts = []
        for place, text in enumerate(values):
            if not isinstance(text, str):
                raise DataError(f"Text {place + 1:,} is no string but {text!r}: leave it out.")
            texts.append(checked(str(text), f"Text {place + 1:,}"))
        if fitting:
            if len(texts) < 2:
                raise DataError(
                    f"Training needs at least 2 normal texts, but got n_samples = {len(texts)}."
                )
            forget_columns(estimator)
        found: Array = as_texts(texts)
        return found

    @classmethod
    def of(cls, data: Array) -> Self:
        """Return the median length of texts."""
        return cls(int(np.median([len(text) for text in data])))

    @classmethod
    def check_varied(cls, data: Array) -> None:
        """Refuse fewer than three different texts."""
        different = len(set(data.tolist()))
        if different < FEWEST:
            raise DataError(
                f"Of the {len(data):,} training texts only {different} "
                f"{'is' if different == 1 else 'are'} different, and at least {FEWEST} are needed "
                "to see how normal ones differ from each other: give more."
            )

    def exhibits(
        self, detector: Any, data: SampleSet, index: NDArray[np.int64]
    ) -> list[Exhibit] | None:
        """Return the words of each text with their shares, and the nearest normal texts."""
        from insphere.modalities.texts.words import text_exhibits

        return text_exhibits(detector, data.take(index))

    @classmethod
    def called(cls, data: SampleSet, index: NDArray[np.int64]) -> list[str]:
        """Return the beginning of each text."""
        from insphere.modalities.texts.words import LONGEST_TITLE, shortened

        return [shortened(str(text), LONGEST_TITLE) for text in data.take(index)]

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """(usual length,); a text has no fixed one."""
        return (self.usual,)

    @property
    def size(self) -> str:
        """Usual length."""
        return f"about {self.usual} characters"

    def describe(self) -> str:
        """Return the noun."""
        return self.noun

    def check(self, data: Array) -> None:
        """Do nothing: a text of any length can be scored."""


def _strings(X: Any) -> bool:
    """Whether the first and last of some values are strings, and not the paths of images."""
    if not len(X):
        return False
    ends = (X[0], X[-1])
    return all(isinstance(v, str) for v in ends) and not all(map(_is_path, ends))


def _is_path(text: str) -> bool:
    if text.lower().endswith(IMAGE_SUFFIXES):
        return True
    with suppress(OSError, ValueError):
        return len(text) < _LONGEST_PATH and Path(text).exists()
    return False
