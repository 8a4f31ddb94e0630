"""Exporting a model and verifying what came of it, on golden samples and on a source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insphere.atomic import write_atomic
from insphere.data.image_set import ImageSet
from insphere.data.read_options import ReadOptions
from insphere.data.sample_set import SampleSet
from insphere.detectors.base.estimator import OneClassDetector
from insphere.errors import DataError, ModelError, SpecError
from insphere.export.golden import check_golden, read_golden
from insphere.export.graph import check_target, export_onnx, load_for_export
from insphere.export.variants import Variant, to_variant
from insphere.export.verify import Comparison, compare, tolerance_of
from insphere.modalities.load import kind_of_source
from insphere.runtime.reading import image_files, read_image
from insphere.runtime.scorer import Scorer
from insphere.scoring import evaluate_scores
from insphere.workflows.provenance import provenance_of, read_like_training
from insphere.workflows.score_source import part_to_score, score_images

VARIANTS: tuple[Variant, ...] = ("float16", "int8")


@dataclass(frozen=True)
class Written:
    """One exported file, and how it compares.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    bytes : int
        Its size.
    variant : str
        Number format of its network.
    golden, images : Comparison or None
        On the golden samples, and on the images given; None without them.
    auc, auc_lost : float or None
        AUC on the images given, and how much less than that of the model folder; None if the
        truth is not known.
    """

    path: Path
    bytes: int
    variant: str
    golden: Comparison | None
    images: Comparison | None
    auc: float | None
    auc_lost: float | None


def export_model(
    model: str | PathLike[str],
    path: str | PathLike[str],
    *,
    variants: Sequence[Variant] = (),
    images: str | PathLike[str] | None = None,
    reading: ReadOptions | None = None,
    maps: bool = True,
    overwrite: bool = False,
) -> list[Written]:
    """Export a model, and verify it before the files appear under their names.

    Parameters
    ----------
    model : path
        The model folder.
    path : path
        File for the model in float32. Variants are written beside it, as ``NAME.float16.onnx``.
    variants : sequence of {"float16", "int8"}
        Other number formats to write too. Their ranges are found on the golden samples.
    images : str or path, optional
        A source of images or rows to verify on too; of one with known truth the AUC is measured.
    reading : ReadOptions, optional
        How to read it.
    maps : bool, default=True
        Also compute heat maps.
    overwrite : bool, default=False
        Replace files that are there.

    Returns
    -------
    list of Written
        The float32 model first.

    Raises
    ------
    ModelError
        If the model cannot be exported, or the float32 model changes a verdict or a score; nothing
        is written then.
    SpecError
        If a file exists, or a variant needs golden samples and there are none.
    """
    target = check_target(path, overwrite=overwrite)
    targets = [target, *(target.with_suffix(f".{variant}.onnx") for variant in variants)]
    for one in targets[1:]:
        check_target(one, overwrite=overwrite)
    golden = read_golden(model)
    if variants and golden is None:
        raise SpecError(
            "A smaller number format needs the golden samples of the model to find its ranges: fit "
            "it without --no-golden."
        )
    detector = load_for_export(model)
    if golden is not None:
        check_golden(detector, golden, tolerance_of(detector))
    data = None if images is None else read_source(detector, images, reading)
    unverified = target.with_name(f".{target.stem}.unverified.onnx")
    try:
        export_onnx(model, unverified, maps=maps, overwrite=True)
        content = unverified.read_bytes()
    finally:
        unverified.unlink(missing_ok=True)
    written = []
    for place, one in enumerate(targets):
        if place:
            assert golden is not None  # checked above
            raw = Scorer(content).samples(golden.samples)
            content_of = to_variant(content, variants[place - 1], raw)
        else:
            content_of = content
        scorer = Scorer(content_of)
        on_golden = None if golden is None else compare(scorer, detector, golden.samples)
        on_images = None if data is None else _on_images(scorer, detector, data)
        if not place:
            for comparison in filter(None, (on_golden, on_images)):
                comparison.require(f"{target.name}, which was not written,")
        write_atomic(one, content_of)
        auc, lost = (None, None) if data is None else _auc(scorer, detector, data)
        variant = scorer.description.variant
        written.append(Written(one, len(content_of), variant, on_golden, on_images, auc, lost))
    return written


def verify_model(
    path: str | PathLike[str],
    model: str | PathLike[str],
    images: str | PathLike[str] | None = None,
    reading: ReadOptions | None = None,
) -> Comparison:
    """Compare an exported model with the model folder, sample by sample.

    Images of a folder or a zip, and the file of a table, are read by the runtime as well, and have
    to be the same to the last bit.

    Parameters
    ----------
    path : path
        The exported model.
    model : path
        The model folder.
    images : str or path, optional
        A source of images or rows; by default the golden samples.
    reading : ReadOptions, optional
        How to read it.

    Raises
    ------
    ModelError
        If the file is not of this model, or a verdict or a score changed.
    DataError
        If there is nothing to compare on.
    """
    scorer, detector = Scorer(path), load_for_export(model)
    if images is None:
        golden = read_golden(model)
        if golden is None:
            raise DataError(f"{model} has no golden samples: give images to compare on.")
        comparison = compare(scorer, detector, golden.samples)
    else:
        data = read_source(detector, images, reading)
        _check_reading(scorer, data, images)
        comparison = _on_images(scorer, detector, data)
    comparison.require(str(path))
    return comparison


def read_source(
    detector: OneClassDetector, source: str | PathLike[str], reading: ReadOptions | None
) -> SampleSet:
    """Read a source of images or rows as the training samples were read.

    Raises
    ------
    DataError
        If it is of another kind, or cannot be read.
    """
    trained = detector.modality_
    reading = read_like_training(detector, reading or ReadOptions())
    kind = kind_of_source(source, reading.kind)
    if not isinstance(trained, kind):
        raise DataError(f"The model was trained on {trained.noun} and cannot score {kind.noun}.")
    return kind.load(fspath(source), reading, progress=False)


def _samples(data: SampleSet) -> Any:
    return data.take(np.arange(len(data)))


def _on_images(scorer: Scorer, detector: OneClassDetector, data: SampleSet) -> Comparison:
    names = () if data.paths is None else data.paths
    return compare(scorer, detector, _samples(data), names)


def _auc(
    scorer: Scorer, detector: OneClassDetector, data: SampleSet
) -> tuple[float | None, float | None]:
    """Return the AUC of the exported model, and what is lost; None if the truth is not known."""
    trained = provenance_of(detector)
    normal = () if trained is None else tuple(n for n in trained.normal if n in data.class_names)
    index, part = part_to_score(data, trained)
    scored = score_images(detector, data, index, part, normal, progress=False)
    if scored.truth is None or len(np.unique(scored.truth)) < 2:
        return None, None
    found = scorer.score(data.take(index)).scores
    exported, own = (evaluate_scores(scored.truth, s).auc for s in (found, scored.scores))
    return float(exported), float(own - exported)


def _check_reading(scorer: Scorer, data: SampleSet, source: str | PathLike[str]) -> None:
    """Raise ModelError unless the runtime reads a folder, zip or table as the library did."""
    path = Path(source)
    if not path.exists() or path.suffix.lower() in (".npz", ".npy"):
        return
    if not isinstance(data, ImageSet):
        if not np.array_equal(scorer.samples(path), scorer.samples(_samples(data)), equal_nan=True):
            raise ModelError(f"The runtime reads {source} differently than the library does.")
        return
    if data.paths is None:
        return
    files, names = image_files(path)
    rows = {path: row for row, path in enumerate(data.paths)}
    for name in names:
        row = rows.get(f"{files.path}/{name}")
        if row is None:
            continue
        pixels: NDArray[Any] = read_image(files.read(name), scorer.description, name)
        if not np.array_equal(pixels, data.images[row]):
            raise ModelError(f"The runtime reads {name} differently than the library does.")
