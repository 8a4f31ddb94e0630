"""The scorer: an exported model in a session of ONNX Runtime."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from insphere.data.value_range import ValueRange
from insphere.errors import DataError, ModelError, require
from insphere.resources import usable_cores
from insphere.runtime.description import CARD_KEY, Description, with_tuples
from insphere.runtime.reading import (
    check_filled,
    check_shape,
    image_files,
    in_batches,
    pixels_of,
    read_image,
    stacked,
)
from insphere.runtime.rows import numbers_for, schema_of

MOST_AT_ONCE = 256  # samples
VALUES_AT_ONCE = 1 << 22  # values of the samples of a batch
SEEN_AT_ONCE = 1 << 19  # the same as a network sees them: more leave the caches of a core
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Scores:
    """What a model says of some samples, in their order.

    Parameters
    ----------
    scores : ndarray of float64, shape (n,)
        Higher is more anomalous.
    verdicts : ndarray of bool, shape (n,), or None
        True is anomalous; None if the model has no threshold and none was given.
    p_values, severities : ndarray of float64, shape (n,), or None
        None for models without calibration images.
    z_scores : ndarray of float64, shape (n,)
        Standard deviations above the mean of normal samples.
    heat_maps : ndarray of float32, shape (n, H, W), or None
        None if the model has none.
    names : tuple of str
        Names of the files; empty for arrays.
    """

    scores: Floats
    verdicts: NDArray[np.bool_] | None
    p_values: Floats | None
    severities: Floats | None
    z_scores: Floats
    heat_maps: NDArray[np.float32] | None = None
    names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.scores)


class Scorer:
    """An exported model that scores samples; its scores are those of the model folder.

    It may be used from several threads at once.

    Parameters
    ----------
    model : path or bytes
        The file that ``insphere export`` wrote, or its content.
    threads : int, optional
        Threads for one batch; by default one for each core that the process may use.
    providers : sequence of str, optional
        Execution providers of ONNX Runtime; by default the CPU alone, whose scores were verified.

    Attributes
    ----------
    description : Description
        What the model says of itself.
    card : str
        Its card, in Markdown.

    Raises
    ------
    ModelError
        If the file is not an exported model, or damaged.

    Examples
    --------
    .. code-block:: python

        scorer = Scorer("model.onnx")
        found = scorer.score("photos/new")
        scorer.score(images, threshold=2.5).verdicts
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | bytes,
        *,
        threads: int | None = None,
        providers: Sequence[str] = ("CPUExecutionProvider",),
    ) -> None:
        runtime = require("onnxruntime", "runtime", "The runtime of exported models")
        name = "The model" if isinstance(model, bytes) else str(model)
        if not isinstance(model, bytes) and not Path(model).is_file():
            raise ModelError(f"There is no file {name}.")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads or usable_cores()
        # Threads that spin while they wait starve other programs, and each other.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        given = model if isinstance(model, bytes) else os.fspath(model)
        try:
            self._session = runtime.InferenceSession(given, options, providers=list(providers))
        except Exception as error:  # ONNX Runtime has errors of its own for each cause
            raise ModelError(f"{name} is no ONNX model, or a damaged one.") from error
        notes = self._session.get_modelmeta().custom_metadata_map
        self.description = Description.of(notes, name)
        self.card: str = notes.get(CARD_KEY, "")
        self._input: str = self._session.get_inputs()[0].name
        values = self.description.values
        self._values = None if values is None else ValueRange(**with_tuples(values))
        self._schema = schema_of(self.description)

    @property
    def batch(self) -> int:
        """Number of samples that are scored at once."""
        return most_at_once(self.description)

    def score(self, X: Any, *, threshold: float | None = None, group: str | None = None) -> Scores:
        """Score images or rows.

        Parameters
        ----------
        X : path, list of paths, array, or list of arrays or pictures of Pillow
            A folder, a zip or an image file; or images N×H×W×C (N×H×W if grey) in the number
            format of the training images. For a model of tables: a CSV or Parquet file, a data
            frame, rows N×d, or a list of rows, each with the values of columns by their names.
        threshold : float, optional
            Scores above it are anomalous; by default the threshold of the model.
        group : str, optional
            What all of them belong to, such as a camera: the threshold that keeps the promised
            false-alarm rate in that group, if the model knows one; else that of the model.

        Returns
        -------
        Scores

        Raises
        ------
        DataError
            If something cannot be read, or does not fit the model.
        """
        if threshold is None and group is not None:
            threshold = self.threshold_of(group)
        if isinstance(X, (str, os.PathLike)):
            return self._score_files(X, threshold)
        if isinstance(X, (list, tuple)) and X and isinstance(X[0], (str, os.PathLike)):
            parts = [self._score_files(path, threshold) for path in X]
            return joined(parts)
        data = self.samples(X)
        parts = [
            self.run(data[start : start + self.batch], threshold)
            for start in range(0, len(data), self.batch)
        ]
        return joined(parts)

    def threshold_of(self, group: str) -> float | None:
        """Return the threshold of a group; None if the model has none of its own for it."""
        return self.description.group_thresholds.get(group)

    def samples(self, X: Any) -> NDArray[Any]:
        """Return images or rows as one array that fits the model.

        Raises
        ------
        DataError
            If they do not fit.
        """
        model = self.description
        if model.kind == "tables":
            return numbers_for(model, self._schema, X)
        if isinstance(X, Image.Image):
            X = [X]
        if isinstance(X, (list, tuple)):
            if not X:
                raise DataError("There are no images in an empty list.")
            X = stacked([self._single(item) for item in X], model)
        images: NDArray[Any] = np.asarray(X)
        images = images[..., None] if images.ndim == 3 else images
        if images.ndim != 4 or not len(images):
            raise DataError(
                f"Images are an array N×H×W×C, but got one of shape {images.shape}; one single "
                "image is images[None]."
            )
        check_shape(images.shape[1:], model, "the image")
        return self.checked(images)

    def checked(self, images: NDArray[Any]) -> NDArray[Any]:
        """Check number format and values of images (N, H, W, C)."""
        model = self.description
        if images.dtype.kind == "f" and model.dtype == "float32":
            images = images.astype(np.float32, copy=False)
            if not np.isfinite(images).all():
                raise DataError("Images contain NaN or infinite values: replace or remove them.")
        if images.dtype.name != model.dtype:
            raise DataError(
                f"The model takes {model.dtype} images, but these are {images.dtype.name}; convert "
                "them in the same way as the training images."
            )
        if model.fills_canvas:
            for image in images:
                check_filled(image)
        if self._values is not None:
            self._values.check(images)
        return images

    def run(
        self, data: NDArray[Any], threshold: float | None = None, *, maps: bool = True
    ) -> Scores:
        """Score samples that fit the model, all at once; without their heat maps if not wanted."""
        given: dict[str, Any] = {self._input: np.ascontiguousarray(data)}
        if threshold is not None:
            given["threshold"] = np.asarray(threshold, np.float64)
        names = [name for name in self.description.outputs if maps or name != "heat_map"]
        found = dict(zip(names, self._session.run(names, given), strict=True))
        judged = self.description.threshold is not None or threshold is not None
        return Scores(
            scores=found["score"],
            verdicts=found["verdict"] if judged else None,
            p_values=found.get("p_value"),
            severities=found.get("severity"),
            z_scores=found["z_score"],
            heat_maps=found.get("heat_map"),
        )

    def score_in_turn(
        self, source: str | os.PathLike[str], *, threshold: float | None = None
    ) -> Iterator[Scores]:
        """Yield the scores of the images of a source, batch by batch, so that memory stays small.

        Parameters
        ----------
        source : path
            A folder, a zip or an image file; for a model of tables, a CSV or Parquet file, whose
            rows are called by their numbers.
        threshold : float, optional
            As in `score`.

        Raises
        ------
        DataError
            If a sample cannot be read, or does not fit the model.
        """
        model = self.description
        if model.kind != "images":
            rows = self.samples(source)
            for start in range(0, len(rows), self.batch):
                part = rows[start : start + self.batch]
                found = self.run(part, threshold)
                named = tuple(str(start + place) for place in range(len(part)))
                yield Scores(**{**vars(found), "names": named})
            return
        files, names = image_files(source)
        for few in in_batches(names, self.batch):
            images = stacked([read_image(files.read(name), model, name) for name in few], model)
            found = self.run(self.checked(images), threshold)
            yield Scores(**{**vars(found), "names": tuple(few)})

    def _score_files(self, source: str | os.PathLike[str], threshold: float | None) -> Scores:
        return joined(list(self.score_in_turn(source, threshold=threshold)))

    def _single(self, item: Any) -> NDArray[Any]:
        """Return one picture or array as an image H×W×C that fits the model."""
        model = self.description
        if isinstance(item, Image.Image):
            item = pixels_of(item, model)
        image: NDArray[Any] = np.asarray(item)
        image = image[..., None] if image.ndim == 2 else image
        check_shape(image.shape, model, "an image in the list")
        return image


def most_at_once(model: Description) -> int:
    """Return how many samples of a model are scored at once, so that memory stays small."""
    most = min(MOST_AT_ONCE, VALUES_AT_ONCE // int(np.prod(model.shape)))
    return max(1, min(most, SEEN_AT_ONCE // model.seen) if model.seen else most)


def joined(parts: Sequence[Scores]) -> Scores:
    """Return several scores one after the other."""
    if len(parts) == 1:
        return parts[0]
    columns: dict[str, Any] = {}
    for name in ("scores", "verdicts", "p_values", "severities", "z_scores", "heat_maps"):
        values = [getattr(part, name) for part in parts]
        columns[name] = None if any(v is None for v in values) else np.concatenate(values)
    return Scores(**columns, names=tuple(name for part in parts for name in part.names))
