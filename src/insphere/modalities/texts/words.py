"""Why a text is where it is: its words with their shares, and the nearest normal texts."""

from __future__ import annotations

from typing import Any

import numpy as np

from insphere.modalities.exhibit import Bar, Exhibit
from insphere.modalities.modality import Array

LONGEST_TITLE = 80
LONGEST_SHOWN = 300
MOST_EXPLAINED = 20
"""Texts whose words are looked at, which takes a score of the text without each word."""


def text_exhibits(detector: Any, texts: Array) -> list[Exhibit]:
    """Return what explains each text to a reader.

    Parameters
    ----------
    detector : TextDetector
        Fitted to texts.
    texts : ndarray of str objects, shape (n,)
        The texts.
    """
    order = np.argsort(-detector.anomaly_score(texts), kind="stable")
    chosen = np.sort(order[:MOST_EXPLAINED])  # the most anomalous
    known = dict(zip(chosen.tolist(), detector.word_shares(texts[chosen]), strict=True))
    return [
        Exhibit(
            title=shortened(str(text), LONGEST_TITLE),
            words=_shares(known.get(place, [])),
            head=("Nearest normal texts", "Cosine") if near else (),
            rows=tuple(
                (shortened(other, LONGEST_SHOWN), f"{cosine:.2f}") for other, cosine in near
            ),
            note=_note(known[place]) if place in known else "",
            bars=_contexts(detector, text),
        )
        for place, (text, near) in enumerate(zip(texts, detector.nearest_texts(texts), strict=True))
    ]


def _contexts(detector: Any, text: str) -> tuple[Bar, ...]:
    """Return how far the text is from each context, and which of its words are looked at."""
    attended = getattr(detector, "attended", None)
    if attended is None:
        return ()
    (found,) = attended([text])
    total = sum(distance for distance, _ in found) or 1.0
    bars = []
    for context, (distance, words) in zip(detector.contexts(4), found, strict=True):
        most = sorted(words, key=lambda item: -item[1])[:3]
        seen = ", ".join(word for word, _ in most)
        bars.append(Bar(f"Context: {', '.join(context)}", distance / total, f"looks at {seen}"))
    return tuple(sorted(bars, key=lambda bar: -bar.share))


def _shares(words: list[tuple[str, float]]) -> tuple[tuple[str, float], ...]:
    """Return how much of what lifts the score each word does, 0…1; others have 0."""
    total = sum(max(0.0, change) for _, change in words)
    return tuple((w, max(0.0, change) / total if total > 0 else 0.0) for w, change in words)


def _note(words: list[tuple[str, float]]) -> str:
    most = sorted(words, key=lambda item: -item[1])[:3]
    lifted = [f"“{shortened(word, 40)}” (+{change:.2f})" for word, change in most if change > 0]
    if not lifted:
        return "No single word lifts the score of this text."
    return f"Lift the score most, each by what it falls without them: {', '.join(lifted)}."


def shortened(text: str, most: int) -> str:
    """Return a text in one line of at most so many characters."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1] + "…"
