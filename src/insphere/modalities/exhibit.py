"""What explains one sample to a reader, whatever kind it is of."""

from __future__ import annotations

from dataclasses import dataclass, field

Row = tuple[str, ...]


@dataclass(frozen=True)
class Bar:
    """A part of a sample, such as a column, and how much it adds to the score.

    Parameters
    ----------
    name : str
        What it is called.
    share : float
        Share of the whole, 0…1.
    value : str
        What stands there.
    usual : str
        What stands there in normal samples; empty if that is not known.
    """

    name: str
    share: float
    value: str = ""
    usual: str = ""


@dataclass(frozen=True)
class Curve:
    """A line over positions, with a marked stretch.

    Parameters
    ----------
    y : tuple of float
        Values at even distances; NaN leaves a gap.
    name : str
        What it is called.
    marked : (int, int), optional
        First position of the marked stretch, and the one after the last.
    """

    y: tuple[float, ...]
    name: str = ""
    marked: tuple[int, int] | None = None


@dataclass(frozen=True)
class Vertex:
    """A sample in the surroundings of another.

    Parameters
    ----------
    name : str
        What it is called.
    ring : int
        Steps from the sample in the middle, which has 0.
    share : float
        Its part in the score, 0…1.
    shade : float
        How anomalous it is by itself, 0…1.
    """

    name: str
    ring: int
    share: float
    shade: float


@dataclass(frozen=True)
class Exhibit:
    """Why one sample is where it is; every part may be empty.

    Parameters
    ----------
    title : str
        The sample in a few words; empty: its name.
    words : tuple of (str, float)
        Text in pieces, each with its share of the score, 0…1; joined by blanks.
    bars : tuple of Bar
        What adds to the score, the largest first.
    curves : tuple of Curve
        Lines to draw, one below the other.
    head, rows : tuple of str, tuple of tuple of str
        A table, such as the nearest normal samples.
    note : str
        A sentence.
    vertices, edges : tuple of Vertex, tuple of (int, int)
        The surroundings of the sample, itself first, and which of them are connected, by place.
    """

    title: str = ""
    words: tuple[tuple[str, float], ...] = ()
    bars: tuple[Bar, ...] = ()
    curves: tuple[Curve, ...] = ()
    head: Row = ()
    rows: tuple[Row, ...] = field(default=())
    note: str = ""
    vertices: tuple[Vertex, ...] = ()
    edges: tuple[tuple[int, int], ...] = ()
