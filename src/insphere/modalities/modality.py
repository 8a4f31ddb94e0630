"""The base of kinds of data, so that no other module depends on which kinds exist."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from insphere.data.degenerate import check_informative
from insphere.data.sample_set import SampleSet
from insphere.errors import DataError
from insphere.modalities.exhibit import Exhibit

if TYPE_CHECKING:
    from insphere.data.read_options import ReadOptions

Array = NDArray[Any]


@dataclass(frozen=True)
class Example:
    """Real data of a kind that an installed package ships; `Modality.demo` reads it.

    Parameters
    ----------
    name : str
        Name in specs, on the command line and in the studio.
    title : str
        What it is, for pages.
    module : str
        The package that ships it.
    """

    name: str
    title: str
    module: str

    @property
    def available(self) -> bool:
        """Whether the package is installed."""
        return find_spec(self.module) is not None


@dataclass(frozen=True)
class Modality(ABC):
    """The kind of the samples of a detector, with their properties.

    The class describes the kind as a whole. An object describes the samples of one training set:
    its fields are JSON values, or tuples of them, and are saved with the model. A kind recognises
    an input with `reads`, and the array that `read` makes of it with `owns`. No two kinds may make
    arrays of the same form.

    Attributes
    ----------
    key : str
        Name in the table of kinds and in saved models.
    noun : str
        An input of this kind in a sentence, such as "a table".
    plural : str
        Its samples in a sentence, such as "rows".
    has_maps : bool
        Whether samples have positions, for heat maps.
    singular : str
        One sample in a sentence, such as "row".
    how_to_label : str
        What a user does so that the truth about samples is known.
    needs_own : bool
        Whether only detectors whose card names this kind take it.
    independent : bool
        Whether samples say nothing about each other, unlike neighbours in time or in a graph.
    rivals : tuple of str
        Methods that the demo shows beside it.
    method : str
        The method that the command line takes for this kind unless another is named.
    example : Example or None
        Real data that a package ships, if `demo` has some.
    """

    key: ClassVar[str]
    noun: ClassVar[str]
    plural: ClassVar[str]
    has_maps: ClassVar[bool] = False
    singular: ClassVar[str] = "sample"
    how_to_label: ClassVar[str] = "give a source with labels"
    needs_own: ClassVar[bool] = False
    independent: ClassVar[bool] = True
    rivals: ClassVar[tuple[str, ...]] = ("knn", "isolation-forest")
    method: ClassVar[str] = "deep-svdd"
    example: ClassVar[Example | None] = None

    # ------------------------------------------------------------------ the kind

    @classmethod
    @abstractmethod
    def reads(cls, X: Any) -> bool:
        """Whether the input of a user is of this kind."""

    @classmethod
    def is_source(cls, source: str) -> bool:
        """Whether a path or name is surely of this kind, by its name and its first bytes."""
        return False

    @classmethod
    def load(cls, source: str, reading: ReadOptions, *, progress: bool | None = None) -> SampleSet:
        """Read a path or name.

        Parameters
        ----------
        source : str
            File, folder or name.
        reading : ReadOptions
            How to read it.
        progress : bool, optional
            Show a bar; by default if stderr is a terminal.

        Raises
        ------
        DataError
            If it cannot be read, or this kind is not read from files.
        """
        raise DataError(f"There is no file format for {cls.noun}: fit it in Python.")

    @classmethod
    def demo(cls) -> tuple[SampleSet, str]:
        """Return real data that an installed package ships, and the name of its normal class.

        Raises
        ------
        DataError
            If there is none of this kind.
        """
        raise DataError(f"There is no demo for {cls.noun}.")

    @classmethod
    def opened(cls, X: Any) -> Any:
        """Return the data at a path or name; other inputs are returned as they are."""
        return X

    @classmethod
    def learned(cls, X: Any, estimator: Any) -> tuple[Array, Self]:
        """Read training samples, and describe them.

        Override it, and `new`, where reading new samples needs what is known of those trained on,
        such as the categories of a column.
        """
        data = cls.read(X, fitting=True, estimator=estimator)
        return data, cls.of(data)

    @classmethod
    @abstractmethod
    def owns(cls, data: Array) -> bool:
        """Whether an array is of the form that `read` returns."""

    @classmethod
    @abstractmethod
    def read(cls, X: Any, *, fitting: bool, estimator: Any) -> Array:
        """Return an input as one array with a row for each sample.

        Parameters
        ----------
        X : object
            An input that the class `reads`.
        fitting : bool
            Whether it is for training. If the input has a test part, then only the training part is
            read.
        estimator : object
            The detector; fitting sets the attributes of scikit-learn on it.

        Raises
        ------
        DataError, ValueError
            If the input cannot be used.
        """

    @classmethod
    @abstractmethod
    def of(cls, data: Array) -> Self:
        """Describe the samples of an array that `read` returned."""

    @classmethod
    def batch(cls, data: Array) -> Array:
        """Return samples as input of networks, N×C×H×W or N×F; a view if possible."""
        return data

    @classmethod
    def unbatch(cls, values: Array) -> Array:
        """Return values in the layout of networks, such as reconstructions, in that of `read`."""
        return values

    @classmethod
    def check_varied(cls, data: Array) -> None:
        """Refuse training samples that are useless for training.

        Raises
        ------
        DataError
            If the samples do not vary.
        """
        check_informative(data)

    # ------------------------------------------------------------------ these samples

    def new(self, X: Any, estimator: Any) -> Array:
        """Read new samples, and check that they fit the training samples.

        Raises
        ------
        DataError, ValueError
            If they cannot be used.
        """
        data = self.read(X, fitting=False, estimator=estimator)
        self.check(data)
        return data

    def prepared(self, data: Array) -> Self:
        """Describe training samples again, after values were put on one scale."""
        return self

    def feature_name(self, position: int) -> str | None:
        """Return the name of a number in the form of `read`; None: what the detector knows."""
        return None

    def column_origins(self) -> tuple[tuple[str, ...], NDArray[np.int64]] | None:
        """Return names of columns, and for each number in the form of `read` its column's place."""
        return None

    def shown_values(self, data: Array) -> tuple[tuple[str, ...], ...] | None:
        """Return samples in the form of `read` as texts, a tuple for each column."""
        return None

    @classmethod
    def called(cls, data: SampleSet, index: NDArray[np.int64]) -> list[str]:
        """Return what samples of a set are called, for lists: a few words each."""
        if data.paths is not None:
            return [data.paths[int(i)] for i in index]
        return [f"{cls.singular} {int(i)}" for i in index]

    def announced(self, position: int) -> bool:
        """Whether `new` has already warned of a change of this number."""
        return False

    def exhibits(
        self, detector: Any, data: SampleSet, index: NDArray[np.int64]
    ) -> list[Exhibit] | None:
        """Return why each of some samples is where it is, for the report and the command line.

        Parameters
        ----------
        detector : OneClassDetector
            Fitted to this kind.
        data : SampleSet
            The set that they are of.
        index : ndarray of int64, shape (n,)
            Their places in the set, ascending.

        Returns
        -------
        list of Exhibit, length n, or None
            None: this kind has pictures of its own.
        """
        return [Exhibit() for _ in index]

    @property
    @abstractmethod
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of one sample as input of networks: (C, H, W) or (F,)."""

    @abstractmethod
    def describe(self) -> str:
        """Return a description of the training samples, such as "images of 28×28×1"."""

    @abstractmethod
    def check(self, data: Array) -> None:
        """Check that new samples, in the form of `read`, fit the training samples.

        Raises
        ------
        DataError
            If they do not fit.
        """

    @property
    def size(self) -> str:
        """Size of one sample in a few characters, such as "28×28×1" or "8 numbers"."""
        return "×".join(map(str, self.sample_shape))

    @property
    def default_encoder(self) -> str | Mapping[str, Any] | None:
        """The default encoder; None: that for the shape of the samples."""
        return None

    @property
    def default_preprocess(self) -> Sequence[Any] | None:
        """The default preprocessing; None: that for the shape of the samples."""
        return None

    @property
    def image_shape(self) -> tuple[int, int, int] | None:
        """Height, width and channels, if samples are images."""
        return None

    @property
    def image_dtype(self) -> str | None:
        """Name of the number format of pixels, if samples are images."""
        return None

    def saved(self) -> dict[str, Any]:
        """Return JSON values for `insphere.modalities.table.restored`."""
        fields = asdict(self).items()
        return {"kind": self.key} | {k: list(v) if isinstance(v, tuple) else v for k, v in fields}

    @classmethod
    def restore(cls, fields: Mapping[str, Any]) -> Self:
        """Return an object from its saved fields; lists become tuples."""
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()})


def forget_columns(estimator: Any) -> None:
    """Remove the attributes of scikit-learn from an earlier fit to a table."""
    for name in ("n_features_in_", "feature_names_in_"):
        vars(estimator).pop(name, None)
