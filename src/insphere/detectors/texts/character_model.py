"""How surprising the characters of a text are: an n-gram model of normal texts.

The probability of a character given those before it is interpolated over the lengths of the
context, from none to `order` − 1 characters, by Witten and Bell's rule (1991, method C): a context
h that was seen n times, with u different characters after it, gives

    p(x | h) = (c(hx) + u · p(x | h without its first character)) / (n + u)

with c(hx) the number of times that x stood after h.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.uint64]
Counts = NDArray[np.int64]
Floats = NDArray[np.float64]

UNSEEN = 1000
"""Characters that may come although none of them was seen."""

MOST = 2_000_000
"""Characters that are learned from; of more, texts at even distances are taken."""

HELD_OUT = 5
"""One text of so many is held out to find how surprising normal texts are."""

_START, _END = 0x110000, 0x110001  # no characters
_PRIME = np.uint64(0x9E3779B97F4A7C15)
_MIX = np.uint64(0xBF58476D1CE4E5B9)
_SHIFT = np.uint64(31)
_ARRAYS = ("grams", "counts", "contexts", "seen", "kinds")


@dataclass(frozen=True, eq=False)
class _Order:
    """Counts of one length of context.

    Parameters
    ----------
    grams, counts : ndarray, shape (G,)
        Keys of contexts with the character after them, ascending, and how often each was seen.
    contexts, seen, kinds : ndarray, shape (C,)
        Keys of contexts, ascending; how often each was seen, and with how many different
        characters after it.
    """

    grams: Keys
    counts: Counts
    contexts: Keys
    seen: Counts
    kinds: Counts

    @classmethod
    def counted(cls, grams: Keys, contexts: Keys) -> Self:
        found, first, counts = np.unique(grams, return_index=True, return_counts=True)
        known, of = np.unique(contexts[first], return_inverse=True)
        seen = np.bincount(of, weights=counts).astype(np.int64)
        kinds = np.bincount(of).astype(np.int64)
        return cls(found, counts.astype(np.int64), known, seen, kinds)

    def interpolated(self, grams: Keys, contexts: Keys, shorter: Floats) -> Floats:
        """Return p(x | h), where `shorter` is that with a context one shorter."""
        seen = _looked_up(self.contexts, self.seen, contexts)
        kinds = _looked_up(self.contexts, self.kinds, contexts)
        counts = _looked_up(self.grams, self.counts, grams)
        return np.where(seen > 0, (counts + kinds * shorter) / np.maximum(seen + kinds, 1), shorter)


class CharacterModel:
    """An n-gram model of characters.

    Parameters
    ----------
    orders : sequence of _Order
        Counts for contexts of 0, 1, … characters.

    Examples
    --------
    >>> model = CharacterModel.fitted(["aaaa", "aaab"], order=3)
    >>> common, odd = model.bits(["aaaa", "zzzz"])
    >>> bool(common.mean() < odd.mean())
    True
    """

    def __init__(self, orders: Sequence[_Order]) -> None:
        self.orders = tuple(orders)

    @property
    def alphabet(self) -> int:
        """Number of different characters that were seen, with the end of a text."""
        return len(self.orders[0].grams)

    @classmethod
    def fitted(cls, texts: Sequence[str], order: int) -> Self:
        """Count the characters of texts.

        Parameters
        ----------
        texts : sequence of str
            Normal texts.
        order : int
            Characters that are looked at together, 1 or more.
        """
        total = sum(map(len, texts))
        step = max(1, -(-total // MOST))
        grams, places = _keys(list(texts)[::step], order)
        return cls(
            [
                _Order.counted(grams[k + 1][places], grams[k][places - 1] if k else _none(places))
                for k in range(order)
            ]
        )

    def bits(self, texts: Sequence[str]) -> list[Floats]:
        """Return the surprise of each character and of the end of each text.

        Parameters
        ----------
        texts : sequence of str, length N

        Returns
        -------
        list of ndarray of float64, length N
            −log₂ p, one longer than the text.
        """
        if not len(texts):
            return []
        grams, places = _keys(texts, len(self.orders))
        p = np.full(len(places), 1.0 / (self.alphabet + UNSEEN))
        for k, order in enumerate(self.orders):
            context = grams[k][places - 1] if k else _none(places)
            p = order.interpolated(grams[k + 1][places], context, p)
        ends = np.cumsum([len(text) + 1 for text in texts])
        return np.split(-np.log2(p), ends[:-1])

    def state(self) -> dict[str, NDArray[Any]]:
        """Return the arrays for `restored`, by name."""
        return {
            f"characters.{k}.{name}": getattr(order, name)
            for k, order in enumerate(self.orders)
            for name in _ARRAYS
        }

    @classmethod
    def restored(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Make a model of the arrays of `state`.

        Raises
        ------
        KeyError, ValueError
            If they are no such arrays.
        """
        orders: list[_Order] = []
        while f"characters.{len(orders)}.grams" in arrays:
            found = [np.asarray(arrays[f"characters.{len(orders)}.{name}"]) for name in _ARRAYS]
            grams, counts, contexts, seen, kinds = found
            if grams.shape != counts.shape or not contexts.shape == seen.shape == kinds.shape:
                raise ValueError("the counts of characters do not belong together")
            orders.append(_Order(*found))
        if not orders:
            raise KeyError("characters.0.grams")
        return cls(orders)


@dataclass(frozen=True, eq=False)
class Surprise:
    """How much more surprising a text is than normal ones, given its length.

    The mean surprise of n characters differs from that of normal texts by chance, and less so for
    longer texts: by about 1/√n. So the score is √n times the difference.

    Parameters
    ----------
    model : CharacterModel
        Of normal texts.
    usual : float
        Mean surprise of a character of normal texts that were not learned from, in bits.
    """

    model: CharacterModel
    usual: float

    @classmethod
    def fitted(cls, texts: Sequence[str], order: int) -> Self:
        """Learn the characters of texts; every fifth text is first held out to find `usual`."""
        held, others = list(texts)[::HELD_OUT], [t for i, t in enumerate(texts) if i % HELD_OUT]
        usual = np.concatenate(CharacterModel.fitted(others or held, order).bits(held)).mean()
        return cls(CharacterModel.fitted(texts, order), float(usual))

    def scores(self, texts: Sequence[str]) -> Floats:
        """Return the score of each text, shape (N,)."""
        found = self.model.bits(texts)
        return np.array([(bits.mean() - self.usual) * np.sqrt(len(bits)) for bits in found])

    def state(self) -> dict[str, NDArray[Any]]:
        """Return the arrays for `restored`, by name."""
        return self.model.state() | {"characters.usual": np.array(self.usual)}

    @classmethod
    def restored(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Make an object of the arrays of `state`."""
        return cls(CharacterModel.restored(arrays), float(arrays["characters.usual"]))


def _keys(texts: Sequence[str], order: int) -> tuple[list[Keys], NDArray[np.int64]]:
    """Return keys of the last 0…order characters at each place, and the places to predict."""
    parts, places, start = [], [], 0
    pad = np.full(order, _START, np.uint64)
    for text in texts:
        codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4").astype(np.uint64)
        parts += [pad, codes, np.array([_END], np.uint64)]
        places.append(np.arange(start + order, start + order + len(codes) + 1))
        start += order + len(codes) + 1
    codes = np.concatenate(parts)
    keys: list[Keys] = [np.zeros(len(codes), np.uint64)]
    for _ in range(order):
        before = np.concatenate([np.zeros(1, np.uint64), keys[-1][:-1]])
        mixed = (before ^ (before >> _SHIFT)) * _MIX + (codes + np.uint64(1)) * _PRIME
        keys.append(mixed ^ (mixed >> _SHIFT))
    return keys, np.concatenate(places)


def _none(places: NDArray[np.int64]) -> Keys:
    return np.zeros(len(places), np.uint64)


def _looked_up(keys: Keys, values: Counts, wanted: Keys) -> Counts:
    """Return the value of each wanted key, 0 where it is not there."""
    place = np.minimum(np.searchsorted(keys, wanted), max(0, len(keys) - 1))
    found: Counts = np.where(keys[place] == wanted, values[place], 0)
    return found
