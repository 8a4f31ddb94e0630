"""Real texts for the demo: news, and sentences of film reviews, from files that gensim ships."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from insphere.errors import MissingExtraError
from insphere.modalities.texts.files import as_texts
from insphere.modalities.texts.text_set import TextSet

NEWS = ("lee_background.cor", "lee.cor")
REVIEWS = "pang_lee_polarity.cor"
SENTENCES = 1
"""Sentences taken from the beginning of each article; more take more time and show no more."""

_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z“\"])")
_BEFORE_MARKS = re.compile(r"\s+(?=[.,;:!?')])")
_LABEL = re.compile(r"^__label__\w+\s*")


def demo_texts() -> TextSet:
    """Return sentences of news (normal) and of film reviews (anomalous).

    The news are the 348 articles of Lee, Pincombe and Welsh (2005), the reviews 200 sentences of
    Pang and Lee (2005). All are put in small letters, without blanks before marks, because the
    reviews are: otherwise that alone would tell them apart.

    Raises
    ------
    MissingExtraError
        If gensim is not installed.
    """
    spec = find_spec("gensim")
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError(
            'The texts of the demo need the package gensim: pip install "insphere[texts-demo]"'
        )
    folder = Path(next(iter(spec.submodule_search_locations))) / "test" / "test_data"
    texts: list[str] = []
    groups: list[int] = []
    articles = [line for name in NEWS for line in _lines(folder / name)]
    for number, article in enumerate(articles):
        for sentence in _SENTENCE.split(article)[:SENTENCES]:
            texts.append(_plain(sentence))
            groups.append(number)
    n_news = len(texts)
    for number, line in enumerate(_lines(folder / REVIEWS), start=len(articles)):
        texts.append(_plain(_LABEL.sub("", line)))
        groups.append(number)
    return TextSet(
        as_texts(texts),
        (np.arange(len(texts)) >= n_news).astype(np.int64),
        ("news", "film reviews"),
        name="news and film reviews",
        groups=np.array(groups, np.int64),
        normal_classes=("news",),
    )


def _lines(path: Path) -> list[str]:
    return [line for line in path.read_text(encoding="latin-1").splitlines() if line.strip()]


def _plain(text: str) -> str:
    return _BEFORE_MARKS.sub("", text.strip().lower())
