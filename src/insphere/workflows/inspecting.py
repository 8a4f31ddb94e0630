"""A detector of photos from good ones alone, and what can be known of it without any defect."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from insphere.data.image_set import ImageSet, take_images
from insphere.data.inputs import training_groups, training_index
from insphere.data.letterbox import choose_canvas
from insphere.data.load import load_paths
from insphere.data.pixels import open_image
from insphere.detectors.base.estimator import OneClassDetector
from insphere.detectors.registry import build_detector, method_card
from insphere.errors import DataError, SpecError
from insphere.explain.heat import HeatScale, heat_maps, heat_method, heat_scale
from insphere.scoring.affordable import Affordable, affordable
from insphere.scoring.conformal import held_out
from insphere.scoring.thresholds import false_alarm_interval
from insphere.workflows.choose import FEWEST, Choice, choose
from insphere.workflows.choosing.candidates import CANDIDATES, Candidate, applicable
from insphere.workflows.fit_config import AUTO, FitConfig
from insphere.workflows.fitting import Fit, fit_source
from insphere.workflows.made_up_damage import DamageFound, damage_found
from insphere.workflows.suspicious import suspicious_places
from insphere.workflows.time_to_fit import seconds_to_fit, without_threshold

LONGEST_SIDE = 1024
"""Pixels to which longer photos are reduced."""
FEWEST_PHOTOS = 10
QUICK = ("patch-gaussian", "feature-mahalanobis", "knn")
"""Methods that need no comparison, the first that is installed and fits the photos."""
CHECK_SECONDS = 60.0  # for made-up damage
MOST_DAMAGED, FEWEST_DAMAGED = 12, 4  # photos
SCALE_PHOTOS = 24  # whose heat maps set the colours
_SIZES = 400  # photos whose headers are read for the size

Say = Callable[[str, float | None], None]


class InspectionPlan(BaseModel):
    """What a person decided about a detector of photos.

    Parameters
    ----------
    rate : float
        Share of false alarms that is bearable; see `insphere.scoring.affordable`.
    method : str
        Key of a method, or "auto" for a comparison.
    minutes : float
        Time for that comparison.
    seed : int
        Of everything random.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    rate: float = Field(gt=0, lt=1)
    method: str = "patch-gaussian"
    minutes: float = Field(default=10.0, gt=0)
    seed: int = 0


@dataclass(frozen=True, eq=False)
class InspectionResult:
    """A fitted detector of photos, and what is known of it.

    Parameters
    ----------
    detector : OneClassDetector
        Fitted; it remembers how photos are read.
    config : FitConfig
        The settings with which `insphere fit` makes the same detector.
    facts : dict
        Plain values: see `inspect_photos`.
    scale : HeatScale or None
        Colours of heat maps; None if there are no maps.
    examples : dict of str to ndarray of uint8, shape (H, W, C)
        A strongly damaged photo of each kind.
    suspects : ndarray, shape (n, H, W, C)
        The training photos that look least normal, in the order of ``facts["suspects"]``.
    """

    detector: OneClassDetector
    config: FitConfig
    facts: dict[str, Any]
    scale: HeatScale | None
    examples: dict[str, NDArray[np.uint8]]
    suspects: NDArray[Any]


def quick_method(shape: tuple[int, int]) -> str:
    """Return the method for photos of this height and width that needs no comparison.

    Raises
    ------
    SpecError
        If none of them is installed.
    """
    for key in QUICK:
        fitting, _ = applicable([_candidate(key)], (*shape, 3), 10**6)
        if fitting:
            return key
    raise SpecError(f"None of the methods {', '.join(QUICK)} fits photos of {shape}.")


def _candidate(key: str) -> Candidate:
    return next(one for one in CANDIDATES if one.method == key)


def reading_of(source: str | Path) -> dict[str, Any]:
    """Say how photos in a folder are read: size, fit, channels, by the sizes in their headers.

    They lie on one canvas with their aspect kept, at their own scale where that is possible. No
    side of the canvas is longer than `LONGEST_SIDE`. Photos that come later are read in the same
    way, whatever their size.

    Raises
    ------
    DataError
        If there is no photo that can be read.
    """
    sizes, grey = [], True
    for height, width, is_grey in photo_headers(Path(source)):
        sizes.append((height, width))
        grey = grey and is_grey
    if not sizes:
        raise DataError("None of the photos can be read: choose PNG, JPEG or TIFF files.")
    canvas = choose_canvas(sizes)
    longest = max(canvas.size)
    if longest > LONGEST_SIDE:
        scale = LONGEST_SIDE / longest
        height, width = (max(1, round(scale * side)) for side in canvas.size)
        canvas = replace(canvas, height=height, width=width, fit="letterbox")
    return {"size": canvas.size, "fit": canvas.fit, "channels": 1 if grey else 3}


def photo_headers(folder: Path) -> Iterable[tuple[int, int, bool]]:
    """Yield height, width and whether it is grey of some photos of a folder, from their headers."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    step = max(1, len(files) // _SIZES)
    for path in files[::step]:
        try:
            image = open_image(path.read_bytes())
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            continue  # it is named when it is decoded
        yield image.height, image.width, image.mode in ("1", "L", "I", "I;16", "F")


def promised(n: int, rate: float) -> Affordable:
    """Return what n photos can say about a rate.

    Raises
    ------
    SpecError
        If they cannot say anything.
    """
    found = next((one for one in affordable(n) if one.rate == rate), None)
    if found is None or found.kind == "none":
        fewest = "" if found is None else f", which takes {found.fewest}"
        raise SpecError(
            f"{n} photos are too few for a false-alarm rate of {rate:g}{fewest}: give more photos, "
            "or accept more false alarms."
        )
    return found


def inspect_photos(
    source: str, plan: InspectionPlan, *, say: Say | None = None
) -> InspectionResult:
    """Train a detector on good photos, and find out what can be known without defects.

    All photos are trained on but those that are held out for the promise. Then photos that were
    held out (if none were, photos that were trained on) are damaged in nine ways and three
    strengths (`insphere.workflows.made_up_damage`). Two more detectors are trained, each on another
    half of the training photos, and it is counted how often the two agree on which of two photos,
    good or damaged, is worse.

    Parameters
    ----------
    source : str
        Folder or zip of good photos alone.
    plan : InspectionPlan
        Rate and method.
    say : callable, optional
        Called with a sentence and the seconds that the step will probably take, or None.

    Returns
    -------
    InspectionResult
        Its facts are: ``n_photos``, ``n_train``, ``n_calibration``, ``n_skipped``, ``skipped``,
        ``method``, ``title``, ``size``, ``fit``, ``channels``, ``fit_seconds``,
        ``score_seconds`` (for each photo), ``promise`` (kind, rate, low, high, sentence),
        ``damage`` (see `DamageFound.plain`; ``held_out`` says what was damaged),
        ``agreement`` (share, low, high, n_photos; None if it took too long), ``choice``,
        ``suspects`` (file, score and alarm of the training photos that look least normal; see
        `insphere.workflows.suspicious`).

    Raises
    ------
    InsphereError
        If the photos or the settings cannot be used.
    """
    tell = say or (lambda sentence, seconds: None)
    tell("Reading the photos", None)
    reading: dict[str, Any] = {"skip_bad": True, "seed": plan.seed, "test_size": 0.5}
    if Path(source).is_dir():
        reading |= reading_of(source)
    config = FitConfig(source=source, method="knn", **reading)
    data = config.load(source, progress=False)
    n = len(training_index(data))
    if n < FEWEST_PHOTOS:
        raise SpecError(f"{n} photos are too few: give at least {FEWEST_PHOTOS} good ones.")
    afforded = promised(n, plan.rate)
    height, width, channels = data.image_shape
    method, options, choice = _method(data, plan, tell)
    if "calibration" in afforded.params:
        options = {**options, "calibration": afforded.params["calibration"]}
    config = FitConfig(
        source=source, method=method, options=options,
        false_alarm_rate=afforded.params.get("false_alarm_rate"),
        **reading,
    )  # fmt: skip
    expected = seconds_to_fit(config, data, n)
    tell(f"Training on {n - afforded.held_out:,} photos", expected)
    fitted = fit_source(config, progress=False)
    detector = fitted.detector
    rows, were_held_out = _outside(data, detector, config)
    outside = take_images(data.images, rows)
    tell("Checking it with made-up damage", CHECK_SECONDS)
    damage, each = _damage(detector, outside, data, plan.seed)
    tell("Comparing two trainings", expected)
    agreement = _agreement(config, data, damage, rows, plan.seed, expected)
    scale = _scale(detector, outside, list(damage.examples.values()))
    low, high = false_alarm_interval(detector.n_calibration_, plan.rate)
    facts = {
        "n_photos": n,
        "n_train": detector.n_train_,
        "n_calibration": detector.n_calibration_,
        "n_skipped": len(data.skipped),
        "skipped": list(data.skipped[:20]),
        "method": method,
        "title": method_card(method).title,
        "size": [height, width],
        "fit": data.fit,
        "channels": channels,
        "fit_seconds": round(fitted.seconds, 2),
        "score_seconds": round(each, 4),
        "threshold": detector.threshold_,
        "promise": {
            "kind": afforded.kind,
            "rate": plan.rate,
            "low": round(low, 4),
            "high": round(high, 4),
            "sentence": detector.guarantee,
        },
        "damage": damage.plain() | {"held_out": were_held_out},
        "agreement": agreement,
        "choice": None if choice is None else choice.sentence,
    }
    places, facts["suspects"] = _suspects(fitted, source)
    return InspectionResult(detector, config, facts, scale, damage.examples, data.images[places])


def _suspects(fitted: Fit, source: str) -> tuple[NDArray[np.int64], list[dict[str, Any]]]:
    """Return the places of the photos that look least normal, and what is said of each."""
    data, detector = fitted.data, fitted.detector
    found = suspicious_places(fitted) if data.paths is not None else []
    said = [
        {
            "file": _within(source, data.paths[place] if data.paths is not None else ""),
            "score": score,
            "alarm": score > detector.threshold_,
        }
        for place, score in found
    ]
    return np.array([place for place, _ in found], np.int64), said


def _within(source: str, path: str) -> str:
    """Return the path of a photo from the folder that was read."""
    place = Path(path)
    return place.relative_to(source).as_posix() if place.is_relative_to(source) else path


def _method(
    data: ImageSet, plan: InspectionPlan, tell: Say
) -> tuple[str, dict[str, Any], Choice | None]:
    """Return method and options, after a comparison if one is wanted."""
    if plan.method != AUTO:
        known = next((one for one in CANDIDATES if one.method == plan.method), None)
        return plan.method, {} if known is None else dict(known.params), None
    if len(training_index(data)) < FEWEST:
        return quick_method(data.image_shape[:2]), {}, None
    with_maps = [one for one in CANDIDATES if _draws_maps(one)]
    fitting, _ = applicable(with_maps, data.image_shape, len(data))
    choice = choose(
        data,
        minutes=plan.minutes,
        candidates=with_maps if fitting else CANDIDATES,
        seed=plan.seed,
        progress=lambda sentence: tell(f"Comparing methods: {sentence}", 60 * plan.minutes),
    )
    if choice.stopped:
        raise KeyboardInterrupt
    return choice.best.method, choice.best.params, choice


def _draws_maps(candidate: Candidate) -> bool:
    """Whether a candidate says where an anomaly is, without covering the photo piece by piece."""
    return hasattr(build_detector(candidate.method, dict(candidate.params), seed=0), "anomaly_map")


def _outside(
    data: ImageSet, detector: OneClassDetector, config: FitConfig
) -> tuple[NDArray[np.int64], bool]:
    """Return places of photos that were held out, or, if there are none, of some trained on."""
    index = training_index(data)
    wanted = detector.false_alarm_rate
    if detector.calibration_kind_ == "held out":
        plan = config.detector().planned_calibration(len(index), training_groups(data))
        rate = plan.rate if wanted is None else wanted
        assert rate is not None
        seed = detector._split_seed
        mask = held_out(len(index), rate, plan.amount, seed, training_groups(data))
        return index[mask], True
    rng = np.random.default_rng(config.seed)
    some = np.sort(rng.permutation(len(index))[: min(SCALE_PHOTOS, len(index) // 4)])
    return index[some], False


def _damage(
    detector: OneClassDetector, outside: NDArray[Any], data: ImageSet, seed: int
) -> tuple[DamageFound, float]:
    """Damage as many photos as the time allows; return also the seconds to score one."""
    probe = np.ascontiguousarray(np.flip(outside[:2], axis=2))  # nothing of it is known already
    detector.anomaly_score(probe[:1])
    started = time.perf_counter()
    detector.anomaly_score(probe)
    each = (time.perf_counter() - started) / len(probe)
    if outside.dtype != np.uint8:
        return DamageFound({}, {}, 0), each
    count = int(np.clip(CHECK_SECONDS / (27 * max(each, 1e-4)), FEWEST_DAMAGED, MOST_DAMAGED))
    photos = outside[:count]
    textures = take_images(data.images, training_index(data)[:32])
    return damage_found(detector, photos, textures=textures, seed=seed), each


def _agreement(
    config: FitConfig,
    data: ImageSet,
    damage: DamageFound,
    rows: NDArray[np.int64],
    seed: int,
    expected: float,
) -> dict[str, Any] | None:
    """Train on each half of the other photos; return how often both agree which of two is worse.

    The interval comes from 200 samples of the photos.
    """
    if expected > 4 * CHECK_SECONDS or not damage.examples:
        return None
    index = np.setdiff1d(training_index(data), rows)
    order = np.random.default_rng((seed, 7)).permutation(len(index))
    good = take_images(data.images, rows[:MOST_DAMAGED])
    shown = np.concatenate([good, np.stack(list(damage.examples.values()))])
    scores = []
    for half in (order[::2], order[1::2]):
        detector = build_detector(config.method, without_threshold(config), seed=config.seed)
        detector.fit(take_images(data.images, index[np.sort(half)]))
        scores.append(detector.anomaly_score(shown))
    first, second = (np.sign(one[:, None] - one[None, :]) for one in scores)
    same = first == second
    n = len(shown)
    off = ~np.eye(n, dtype=bool)
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(n, np.full(n, 1 / n), 200).astype(float)
    pairs = np.einsum("ri,ij,rj->r", weights, off.astype(float), weights)
    agreed = np.einsum("ri,ij,rj->r", weights, (same & off).astype(float), weights)
    low, high = np.quantile(agreed / pairs, (0.05, 0.95))
    share = float(same[off].mean())
    return {"share": share, "low": float(low), "high": float(high), "n_photos": n}


def _scale(
    detector: OneClassDetector, normal: NDArray[Any], damaged: list[NDArray[np.uint8]]
) -> HeatScale | None:
    """Return the colours of heat maps; None where each would take a pass for each piece."""
    if heat_method(detector) == "occlusion" and detector.uses_pretrained:
        return None
    normal_maps = heat_maps(detector, normal[:SCALE_PHOTOS], reference=normal)
    maps = heat_maps(detector, np.stack(damaged), reference=normal) if damaged else normal_maps[:0]
    return heat_scale(normal_maps, maps)


def seconds_for_folder(source: str, method: str, rate: float) -> float:
    """Return the seconds that a training on a folder of photos will take; see `seconds_to_fit`.

    Only eight of the photos are read.
    """
    folder = Path(source)
    if not folder.is_dir():
        raise DataError(f"There is no folder {folder.name} of photos any more.")
    files = sorted(path for path in folder.iterdir() if path.is_file())
    reading = reading_of(folder)
    data = load_paths(files[:8], **reading, skip_bad=True, progress=False)
    known = next((one for one in CANDIDATES if one.method == method), None)
    options = {} if known is None else dict(known.params)
    afforded = next((one for one in affordable(len(files)) if one.rate == rate), None)
    if afforded is not None and "calibration" in afforded.params:
        options["calibration"] = afforded.params["calibration"]
    config = FitConfig(
        source=source, method=method, options=options,
        false_alarm_rate=None if afforded is None else afforded.params.get("false_alarm_rate"),
    )  # fmt: skip
    return seconds_to_fit(config, data, len(files))
