"""What is asked of a kind of data, so that nothing else needs to know which kinds there are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

from numpy.typing import NDArray

from insphere.data.degenerate import check_informative

Array = NDArray[Any]


@dataclass(frozen=True)
class Modality(ABC):
    """What is known of the samples that a detector was fitted to.

    The class speaks about the kind as a whole, an object about the samples of one training set: its
    fields are JSON values, or tuples of them, and are saved with the model. A kind is recognised
    twice: an input by `reads`, and the array that `read` makes of it by `owns`; no two kinds may
    make arrays of the same form.

    Attributes
    ----------
    key : str
        Name in the table of kinds and in saved models.
    noun : str
        An input of this kind in a sentence, such as "a table".
    plural : str
        Its samples in a sentence, such as "rows".
    has_maps : bool
        Whether samples have places, for heat maps.
    """

    key: ClassVar[str]
    noun: ClassVar[str]
    plural: ClassVar[str]
    has_maps: ClassVar[bool] = False

    # ------------------------------------------------------------------ the kind

    @classmethod
    @abstractmethod
    def reads(cls, X: Any) -> bool:
        """Whether an input, as a person gives it, is of this kind."""

    @classmethod
    def opened(cls, X: Any) -> Any:
        """Return what lies at a path or name, once; other inputs come back as they are."""
        return X

    @classmethod
    @abstractmethod
    def owns(cls, data: Array) -> bool:
        """Whether an array is of the form that `read` returns."""

    @classmethod
    @abstractmethod
    def read(cls, X: Any, *, fitting: bool, estimator: Any) -> Array:
        """Turn an input into one array with a row for each sample.

        Parameters
        ----------
        X : object
            An input that the class `reads`.
        fitting : bool
            Whether it is to be trained on: of inputs with a test part, the training part is read.
        estimator : object
            The detector; what scikit-learn keeps there is set while fitting.

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
        """Return samples as networks see them: numbers, N×C×H×W or N×F; a view where possible."""
        return data

    @classmethod
    def unbatch(cls, values: Array) -> Array:
        """Return values in the layout of networks, such as reconstructions, in that of `read`."""
        return values

    @classmethod
    def check_varied(cls, data: Array) -> None:
        """Refuse training samples of which nothing can be learned.

        Raises
        ------
        DataError
            If they do not show how normal samples differ.
        """
        check_informative(data)

    # ------------------------------------------------------------------ these samples

    @property
    @abstractmethod
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of one sample as networks see it: (C, H, W) or (F,)."""

    @abstractmethod
    def describe(self) -> str:
        """Return what one was trained on, such as "images of 28×28×1"."""

    @abstractmethod
    def check(self, data: Array) -> None:
        """Refuse new samples, as `read` returned them, that do not fit the training samples.

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
        """The encoder, as a person would give it; None: by the shape of the samples."""
        return None

    @property
    def default_preprocess(self) -> Sequence[Any] | None:
        """The preprocessing, as a person would give it; None: by the shape of the samples."""
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
        """Return JSON values from which `insphere.modalities.table.restored` makes this again."""
        fields = asdict(self).items()
        return {"kind": self.key} | {k: list(v) if isinstance(v, tuple) else v for k, v in fields}

    @classmethod
    def restore(cls, fields: Mapping[str, Any]) -> Self:
        """Make an object of its saved fields; lists become tuples."""
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()})


def forget_columns(estimator: Any) -> None:
    """Remove what scikit-learn noted of a table fitted before."""
    for name in ("n_features_in_", "feature_names_in_"):
        vars(estimator).pop(name, None)
