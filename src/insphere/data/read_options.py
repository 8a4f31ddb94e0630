"""How a source is read, which of its classes are normal, and how it is split: declared once."""

from __future__ import annotations

from os import PathLike
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from insphere.data.image_set import ImageSet
from insphere.data.letterbox import Fit
from insphere.data.load import load_dataset
from insphere.data.sample_set import SampleSet
from insphere.data.split import OneClassSplit
from insphere.errors import SpecError
from insphere.validation import sentence, shown


def parse_size(value: Any) -> tuple[int, int]:
    """Read a height and width given as ``64``, ``"64x48"`` or ``[64, 48]``.

    Examples
    --------
    >>> parse_size("64x48"), parse_size(32)
    ((64, 48), (32, 32))

    Raises
    ------
    SpecError
        If it is none of these.
    """
    parts = value
    if isinstance(value, str):
        words = value.lower().split("x")
        parts = [int(word) if word.isdecimal() and len(word) < 10 else word for word in words]
    elif isinstance(value, int):
        parts = [value]
    if (
        isinstance(parts, (list, tuple))
        and len(parts) in (1, 2)
        and all(isinstance(part, int) and not isinstance(part, bool) and part > 0 for part in parts)
    ):
        return int(parts[0]), int(parts[-1])
    raise SpecError(
        f"The size is a number of pixels such as 64, or height x width such as 64x48, but got "
        f"{shown(value)}."
    )


def _size(value: Any) -> Any:
    return None if value is None else parse_size(value)


def _names(value: Any) -> Any:
    """Take one class for a list of one, and numbers for names."""
    items = value if isinstance(value, (list, tuple)) else [value]
    if all(isinstance(item, (str, int)) and not isinstance(item, bool) for item in items):
        return tuple(str(item) for item in items)
    return value


class ReadOptions(BaseModel):
    """How a source is read, which of its classes are normal, and how it is split.

    Parameters
    ----------
    normal : tuple of str
        Names of the normal classes; empty where there is only one class, or where a model knows
        them. One name alone, and numbers, are understood.
    size : (int, int), optional
        Height and width of all images, in pixels. Also ``64`` or ``"64x48"``. By default they keep
        their own; and if those differ, a canvas is chosen on which they lie with their aspect kept.
    fit : {"stretch", "own", "letterbox"}, optional
        How an image gets to that size: resized whatever its aspect (the default), at its own scale
        as far as it fits, or scaled to fit with its aspect kept.
    channels : {1, 3}, optional
        Turn images grey or RGB.
    skip_bad : bool
        Leave out images that cannot be read.
    follow_links : bool
        Follow links that lead out of a folder.
    download : bool
        Allow torchvision to download a named data set.
    test_size : float, in [0, 1)
        Share of each class kept away from training where the source has several classes and
        defines no test part.
    seed : int
        Seed of that split.
    kind : str, optional
        Kind of data, such as "table"; by default what the source looks like. See
        `insphere.modalities`.
    columns : dict of str to str
        What columns of a file are for, such as ``{"label": "fraud"}``; each kind of data names
        those that it knows.

    Raises
    ------
    SpecError
        If a setting is unknown or out of range.

    Examples
    --------
    >>> from insphere.data import ReadOptions
    >>> reading = ReadOptions(normal="3")
    >>> reading.split(reading.load("digits-8x8"))
    OneClassSplit('digits-8x8', normal: 3; 92 to train, 0 to calibrate, 896 to test, of which 805 \
anomalous)
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    normal: Annotated[tuple[str, ...], BeforeValidator(_names)] = ()
    size: Annotated[tuple[int, int] | None, BeforeValidator(_size)] = None
    fit: Fit | None = None
    channels: Literal[1, 3] | None = None
    skip_bad: bool = False
    follow_links: bool = False
    download: bool = False
    test_size: float = Field(default=0.5, ge=0, lt=1)
    seed: int = Field(default=0, ge=0, lt=2**31)
    kind: str | None = None
    columns: dict[str, str] = Field(default_factory=dict)

    def __hash__(self) -> int:
        """Return the same for equal settings, so that what they lead to can be kept in a cache."""
        return hash(self.model_dump_json())

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            if type(self) is not ReadOptions:
                raise  # what was derived knows better what to call it
            raise SpecError(sentence(error, "ReadOptions", ReadOptions)) from error

    def load(self, source: str | PathLike[str], *, progress: bool | None = None) -> ImageSet:
        """Read a source of images; see `insphere.data.load_dataset`.

        `insphere.modalities.load.load_source` reads sources of every kind.

        Parameters
        ----------
        source : str or path
            Name, file, folder or zip.
        progress : bool, optional
            Show a bar while images are decoded; by default if stderr is a terminal.

        Raises
        ------
        InsphereError
            If the source cannot be read; the message says what to do.
        """
        return load_dataset(
            source,
            size=self.size,
            fit=self.fit,
            channels=self.channels,
            skip_bad=self.skip_bad,
            follow_links=self.follow_links,
            download=self.download,
            progress=progress,
        )

    def split(self, data: SampleSet) -> OneClassSplit:
        """Split samples into those to train on and those to test; see `OneClassSplit`.

        Raises
        ------
        InsphereError
            If there is no normal class, or too few images of one.
        """
        return OneClassSplit(
            data, list(self.normal), test_size=self.test_size, random_state=self.seed
        )
