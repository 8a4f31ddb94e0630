"""From columns to numbers: what is learned on the training rows, and applied to all others."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insphere.errors import DataError
from insphere.modalities.tables.frame import Frame
from insphere.modalities.tables.numbers import is_written_number

MOST_CATEGORIES = 64  # of one column; the rarest beyond are one category, "other"
UNKNOWN = "values unlike any in training"
NAMED = 3
FEWEST_ASCENDING = 20  # rows from which numbers that always ascend are no chance
FEWEST_NUMBERS = 20  # different numbers among the texts of a column that make it one of numbers

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Column:
    """How one column becomes numbers.

    Parameters
    ----------
    name : str
        Its name.
    categories : tuple of str, or None
        None: a column of numbers, which stay as they are. Else its categories, each of which
        becomes a number: 1 over the square root of the chance that two training rows differ in this
        column if the row has it, else 0. So two rows that differ have, on average over all pairs,
        the squared distance 2, as for a column of numbers with deviation 1.
    rare : tuple of str
        Further categories of training, which together are the category "(other)".
    weight : float
        That number.
    gaps : bool
        Whether values were missing in training. For numbers, this is then a number of its own; for
        categories, missing is one of them.
    """

    name: str
    categories: tuple[str, ...] | None = None
    rare: tuple[str, ...] = ()
    weight: float = 1.0
    gaps: bool = False

    @property
    def width(self) -> int:
        """Of how many numbers it becomes."""
        return 1 + self.gaps if self.categories is None else len(self.categories)

    def encode(self, values: NDArray[Any]) -> tuple[Floats, NDArray[np.bool_]]:
        """Return the numbers, shape (n, width), and which rows hold what training did not."""
        if self.categories is None:
            missing = np.isnan(values)
            if self.gaps:
                return np.c_[values, missing.astype(np.float64)], np.zeros(len(values), bool)
            return values[:, None].astype(np.float64), missing
        places = {category: i for i, category in enumerate(self.categories)}
        places |= dict.fromkeys(self.rare, places.get(OTHER, -1))
        codes = np.array([places.get(MISSING if v is None else v, -1) for v in values])
        numbers = np.zeros((len(values), len(self.categories)))
        rows = np.flatnonzero(codes >= 0)
        numbers[rows, codes[rows]] = self.weight
        return numbers, codes < 0


MISSING = "(missing)"
OTHER = "(other)"


@dataclass(frozen=True)
class Schema:
    """How a table becomes numbers.

    Parameters
    ----------
    columns : tuple of Column
        The columns in the order of training.
    """

    columns: tuple[Column, ...]

    @classmethod
    def learned(cls, frame: Frame) -> Schema:
        """Learn from training rows.

        Raises
        ------
        DataError
            If a column has no value at all, or is a name of each row.
        """
        frame.refuse_dates()
        empty = [n for n, v in zip(frame.names, frame.columns, strict=True) if not _present(v)]
        if empty:
            some = ", ".join(empty[:NAMED]) + (", …" if len(empty) > NAMED else "")
            raise DataError(
                f"Column {some} has no value in any training row: leave it out with "
                f"--column drop={','.join(empty[:NAMED])}."
            )
        return cls(tuple(map(_learned, frame.names, frame.columns)))

    @staticmethod
    def ascending(frame: Frame) -> tuple[str, ...]:
        """Return the columns whose numbers ascend from each training row to the next.

        They number the rows or say when: every later row lies beyond them.
        """
        if len(frame) < FEWEST_ASCENDING:
            return ()
        return tuple(
            name
            for name, values in zip(frame.names, frame.columns, strict=True)
            if values.dtype != object and bool((np.diff(values) > 0).all())
        )

    @property
    def names(self) -> tuple[str, ...]:
        """Name of each number, the last one that of all that is unlike training."""
        found: list[str] = []
        for column in self.columns:
            if column.categories is None:
                found += [column.name, *([f"{column.name} is missing"] if column.gaps else [])]
            else:
                found += [f"{column.name} = {category}" for category in column.categories]
        return (*found, UNKNOWN)

    @property
    def origins(self) -> tuple[tuple[str, ...], NDArray[np.int64]]:
        """Names of the columns, and for each number the place of its column.

        A last name stands for all that is unlike training.
        """
        widths = [column.width for column in self.columns]
        names = (*(column.name for column in self.columns), UNKNOWN)
        return names, np.repeat(np.arange(len(widths) + 1), [*widths, 1])

    def decode(self, data: Floats) -> tuple[tuple[str, ...], ...]:
        """Return numbers that `encode` made as texts, a tuple for each name of `origins`."""
        found, start = [], 0
        for column in self.columns:
            block = data[:, start : start + column.width]
            start += column.width
            if column.categories is None:
                gaps = block[:, 1] > 0.5 if column.gaps else np.zeros(len(data), bool)
                found.append(
                    tuple(
                        "nan" if gap else f"{v:.5g}"
                        for v, gap in zip(block[:, 0], gaps, strict=True)
                    )
                )
            else:
                found.append(tuple(column.categories[i] for i in block.argmax(axis=1)))
        return (*found, ("",) * len(data))

    def encode(self, frame: Frame) -> tuple[Floats, str]:
        """Return the numbers of rows, shape (n, d), and a sentence about unknown values.

        Missing numbers stay NaN. The last number counts values of a row that are unlike all of
        training: unknown categories, and missing values of columns that never missed one.

        Raises
        ------
        DataError
            If columns are missing, or hold texts where training had numbers.
        """
        there = set(frame.names)
        lacking = [c.name for c in self.columns if c.name not in there]
        if lacking:
            surplus = sorted(there - {c.name for c in self.columns})
            hint = f", but has {_some(surplus)}" if surplus else ""
            raise DataError(
                f"The table lacks column {_some(lacking)}, which the detector was trained on"
                f"{hint}: give the columns of training."
            )
        blocks, said = [], []
        unlike = np.zeros(len(frame))
        for column in self.columns:
            values = _like_training(column, frame.column(column.name))
            numbers, unknown = column.encode(values)
            blocks.append(numbers)
            unlike += unknown
            if n := int(unknown.sum()):
                said.append(_about(column, values[unknown], n))
        sentence = ""
        if said:
            more = f" and {len(said) - NAMED} more columns" if len(said) > NAMED else ""
            sentence = (
                f"Never seen in training, so that these rows score as anomalous: "
                f"{'; '.join(said[:NAMED])}{more}."
            )
        return np.column_stack([*blocks, unlike]), sentence


def _present(values: NDArray[Any]) -> bool:
    if values.dtype == object:
        return any(value is not None for value in values)
    return bool((~np.isnan(values)).any())


def _learned(name: str, values: NDArray[Any]) -> Column:
    if values.dtype != object:
        return Column(name, gaps=bool(np.isnan(values).any()))
    counts = Counter(MISSING if value is None else value for value in values.tolist())
    n = len(values)
    numbers = sum(is_written_number(value) for value in counts if value != MISSING)
    if FEWEST_NUMBERS < numbers < len(counts) - (MISSING in counts) and numbers > len(counts) / 2:
        odd = sorted(v for v in counts if v != MISSING and not is_written_number(v))
        raise DataError(
            f"Column {name} holds numbers, but also texts such as {odd[0]!r}: leave cells without "
            f"a number empty, or leave the column out with --column drop={name}."
        )
    if len(counts) > MOST_CATEGORIES and len(counts) > n / 2:
        raise DataError(
            f"Column {name} holds {len(counts):,} different texts in {n:,} rows, like names or "
            f"free text: leave it out with --column drop={name}, or read the file as texts with "
            "--kind text."
        )
    common = [category for category, _ in counts.most_common(MOST_CATEGORIES)]
    rare = tuple(sorted(set(counts) - set(common)))
    rest = n - sum(counts[category] for category in common)
    shares = np.array([counts[c] for c in common] + ([rest] if rest else [])) / n
    differ = 1 - float((shares**2).sum())
    categories = (*sorted(common), *((OTHER,) if rest else ()))
    weight = 1 / math.sqrt(differ) if differ > 0 else 1.0
    return Column(name, categories, rare, weight, counts[MISSING] > 0)


def _like_training(column: Column, values: NDArray[Any]) -> NDArray[Any]:
    """Return the values as numbers or texts, as the column was in training."""
    if column.categories is None and values.dtype == object:
        texts = sorted({value for value in values.tolist() if value is not None})
        if texts:
            raise DataError(
                f"Column {column.name} held numbers in training, but now holds {texts[0]!r}: give "
                "numbers, or leave it empty where there is none."
            )
        return np.full(len(values), np.nan)
    if column.categories is not None and values.dtype != object:
        return np.array([None if np.isnan(v) else _plain(v) for v in values], dtype=object)
    return values


def _plain(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else str(value)


def _about(column: Column, values: NDArray[Any], n: int) -> str:
    found = sorted({MISSING if value is None or value != value else str(value) for value in values})
    what = "missing values" if found == [MISSING] else _some(found)
    return f"{what} in column {column.name} ({n:,} row{'' if n == 1 else 's'})"


def _some(names: list[str]) -> str:
    return ", ".join(names[:NAMED]) + (
        f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    )
