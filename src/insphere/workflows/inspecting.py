"""A detector of photos from good ones alone, and what can be known of it without any defect."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from insphere.data.image_set import ImageSet, take_images
from insphere.data.inputs import training_index
from insphere.data.letterbox import choose_canvas
from insphere.data.load import load_paths
from insphere.data.pixels import open_image
from insphere.detectors.base.estimator import OneClassDetector
from insphere.detectors.pretrained.regions import read_region
from insphere.detectors.registry import METHODS, detector_class, method_card
from insphere.errors import DataError, SpecError
from insphere.explain.heat import HeatScale, heat_method
from insphere.scoring.affordable import Affordable, affordable
from insphere.scoring.thresholds import false_alarm_interval
from insphere.workflows.choose import FEWEST, Choice, choose
from insphere.workflows.choosing.candidates import CANDIDATES, Candidate, applicable
from insphere.workflows.fit_config import AUTO, FitConfig
from insphere.workflows.fitting import fit_source
from insphere.workflows.group_table import GROUPS
from insphere.workflows.inspection_checks import (
    CHECK_SECONDS,
    agreement_of,
    damage_of,
    defects_found,
    group_facts,
    map_colours,
    outside_of,
    suspects_of,
)
from insphere.workflows.known_anomalies import read_anomalies
from insphere.workflows.time_to_fit import seconds_to_fit

LONGEST_SIDE = 1024
"""Pixels to which longer photos are reduced."""
NETWORK_SIDE = 64
"""The same for methods that train a network of their own, so that it takes minutes."""
FEWEST_PHOTOS = 10
QUICK = ("patch-gaussian", "feature-mahalanobis", "knn")
"""Methods that need no comparison, the first that is installed and fits the photos."""
USUAL_LEARNER = "deep-sad"
"""The method that learns from labelled anomalies unless another is named, as in `insphere fit`."""
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
    by_class : bool
        The folders in which the photos lie are kinds of parts, each with a sphere of its own.
    group_by : "folder", "table" or None
        Count false alarms by these folders, or by a table of groups.
    group_column : str
        The column of that table.
    region : list of float, or str, optional
        Top, left, bottom and right of what is judged, as shares of height and width; or the path of
        a picture that is white where photos are judged. By default it is the whole photo. Only
        methods that look at patches take it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    rate: float = Field(gt=0, lt=1)
    method: str = "patch-gaussian"
    minutes: float = Field(default=10.0, gt=0)
    seed: int = 0
    by_class: bool = False
    group_by: Literal["folder", "table"] | None = None
    group_column: str = ""
    region: Annotated[list[float], Field(min_length=4, max_length=4)] | str | None = None


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
    reference : ndarray, shape (1, H, W, C), or None
        The mean good photo, with which maps from outside compare; None for a detector with maps of
        its own.
    """

    detector: OneClassDetector
    config: FitConfig
    facts: dict[str, Any]
    scale: HeatScale | None
    examples: dict[str, NDArray[np.uint8]]
    suspects: NDArray[Any]
    reference: NDArray[Any] | None = None


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


def reading_of(source: str | Path, longest: int = LONGEST_SIDE) -> dict[str, Any]:
    """Say how photos in a folder are read: size, fit, channels, by the sizes in their headers.

    They lie on one canvas with their aspect kept, at their own scale where that is possible. No
    side of the canvas is longer than `longest`, in pixels. Photos that come later are read in the
    same way, whatever their size.

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
    if max(canvas.size) > longest:
        scale = longest / max(canvas.size)
        height, width = (max(1, round(scale * side)) for side in canvas.size)
        canvas = replace(canvas, height=height, width=width, fit="letterbox")
    return {"size": canvas.size, "fit": canvas.fit, "channels": 1 if grey else 3}


def photo_files(folder: Path) -> list[Path]:
    """Return the files in a folder and the folders in it, in order."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def photo_headers(folder: Path) -> Iterable[tuple[int, int, bool]]:
    """Yield height, width and whether it is grey of some photos of a folder, from their headers."""
    files = photo_files(folder)
    step = max(1, len(files) // _SIZES)
    for path in files[::step]:
        try:
            image = open_image(path.read_bytes())
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            continue  # it is named when it is decoded
        yield image.height, image.width, image.mode in ("1", "L", "I", "I;16", "F")


def takes_region(method: str) -> bool:
    """Say whether a method can judge a part of each photo alone."""
    return "region" in detector_class(method)._get_param_names()


def check_region(plan: InspectionPlan) -> None:
    """Refuse a region that the method of the plan cannot use.

    Raises
    ------
    SpecError
        If it cannot.
    """
    if plan.region is not None and plan.method != AUTO and not takes_region(plan.method):
        raise SpecError(
            f"{method_card(plan.method).title} judges whole photos: leave nothing out of them, or "
            "take another way to train."
        )


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
    source: str,
    plan: InspectionPlan,
    *,
    anomalies: str | None = None,
    groups: str | None = None,
    say: Say | None = None,
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
        Folder or zip of good photos alone. Where they lie in several folders, all of these are
        normal.
    plan : InspectionPlan
        Rate and method.
    anomalies : str, optional
        Folder of photos that are known to be anomalous. A method that learns from them is trained
        on them; of any other it is counted how many of them raise an alarm. They are never among
        the normals.
    groups : str, optional
        Table that says the group of each photo; see `insphere.workflows.group_table.GroupTable`.
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
        `insphere.workflows.suspicious`), ``defects`` (see
        `insphere.workflows.inspection_checks.defects_found`), ``groups`` (see
        `insphere.workflows.inspection_checks.group_facts`), ``group_column``, ``folders`` (number
        of photos in each, if there are several), ``by_class``, ``region`` (of a picture, the name
        of its file; so do the settings and the model, which are taken away with it), ``judged``
        (the share of each photo that is judged).

    Raises
    ------
    InsphereError
        If the photos or the settings cannot be used.
    """
    tell = say or (lambda sentence, seconds: None)
    tell("Reading the photos", None)
    judged = _judged(plan)
    config = _reading(source, plan)
    data = config.load(source, progress=False)
    normals = _normals(data, config)
    n = len(training_index(normals))
    if n < FEWEST_PHOTOS:
        raise SpecError(f"{n} photos are too few: give at least {FEWEST_PHOTOS} good ones.")
    afforded = promised(n, plan.rate)
    height, width, channels = data.image_shape
    method, options, choice = _method(normals, plan, tell)
    if "calibration" in afforded.params:
        options = {**options, "calibration": afforded.params["calibration"]}
    learns = method_card(method).takes_anomalies and anomalies is not None
    by_table = plan.group_by == "table"
    if by_table and groups is None:
        raise SpecError("The table of groups is not here any more: hand it in again.")
    config = config.model_copy(
        update={
            "method": method, "options": options, "by_class": plan.by_class,
            "group_by": f"{groups}:{plan.group_column}" if by_table else plan.group_by,
            "false_alarm_rate": afforded.params.get("false_alarm_rate"),
            "anomalies": anomalies if learns else None,
        }
    )  # fmt: skip
    expected = seconds_to_fit(config, normals, n)
    tell(f"Training on {n - afforded.held_out:,} photos", expected)
    fitted = fit_source(config, progress=False)
    detector = fitted.detector
    if by_table and detector.trained_on_ is not None:  # the model is taken away with the table
        group_by = f"{GROUPS}:{plan.group_column}"
        detector.trained_on_ = detector.trained_on_.model_copy(update={"group_by": group_by})
    places, suspects = suspects_of(fitted, source)
    rows, were_held_out = outside_of(fitted)
    outside = take_images(data.images, rows)
    defects = None
    if anomalies is not None:
        tell("Looking at the photos of defects", None)
        defects = read_anomalies(anomalies, data, config, progress=False)
    found = defects_found(fitted, defects, learned=learns)
    tell("Checking it with made-up damage", CHECK_SECONDS)
    damage, each = damage_of(fitted, outside)
    tell("Comparing two trainings", expected)
    shown = defects.images if learns and defects is not None else None
    agreement = agreement_of(fitted, damage, rows, shown, expected)
    low, high = false_alarm_interval(detector.n_calibration_, plan.rate)
    region = plan.region
    if isinstance(region, str):  # the model is taken away with the picture
        config, region = _with_name_of(region, config, detector), Path(region).name
    facts = {
        "n_photos": n,
        "n_train": n - detector.n_calibration_ if were_held_out else n,
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
        "suspects": suspects,
        "defects": found,
        "groups": group_facts(detector),
        "group_column": plan.group_column if by_table else "",
        "folders": _folders(data) if config.normal else {},
        "by_class": plan.by_class,
        "region": region,
        "judged": judged,
    }
    return InspectionResult(
        detector, config, facts, map_colours(detector, outside, list(damage.examples.values())),
        damage.examples, data.images[places], _reference(detector, outside),
    )  # fmt: skip


def _judged(plan: InspectionPlan) -> float:
    """Return the share of each photo that is judged.

    Raises
    ------
    SpecError
        If it is nothing, or its picture is gone.
    """
    if isinstance(plan.region, str) and not Path(plan.region).is_file():
        raise SpecError("The picture of what is judged is not here any more: hand it in again.")
    mask = read_region(plan.region)
    return 1.0 if mask is None else round(float(mask.mean()), 4)


def _with_name_of(path: str, config: FitConfig, detector: OneClassDetector) -> FitConfig:
    """Let a detector, and its settings, name a file beside them instead of its path."""

    def named(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: named(one) for key, one in value.items()}
        if isinstance(value, list):
            return [named(one) for one in value]
        return Path(path).name if value == path else value

    options = named(config.options)
    detector.set_params(**{key: options[key] for key in ("region", "members") if key in options})
    return config.model_copy(update={"options": options})


def _reference(detector: OneClassDetector, good: NDArray[Any]) -> NDArray[Any] | None:
    if heat_method(detector) == "own":
        return None
    mean: NDArray[Any] = good.mean(axis=0, keepdims=True, dtype=np.float64)
    return mean.astype(good.dtype)


def learners() -> list[str]:
    """Return the installed methods for photos that learn from labelled anomalies, in order.

    The first is the one that ``insphere fit --anomalies`` takes.
    """
    found = []
    for method in METHODS:
        card = method_card(method)
        if card.takes_anomalies and "images" in card.takes:
            found.append(method)
    return sorted(found, key=lambda method: method != USUAL_LEARNER)


def _reading(source: str, plan: InspectionPlan) -> FitConfig:
    """Say how the photos are read, before a method is chosen."""
    reading: dict[str, Any] = {"skip_bad": True, "seed": plan.seed, "test_size": 0.5}
    learner = plan.method != AUTO and method_card(plan.method).takes_anomalies
    if Path(source).is_dir():
        reading |= reading_of(source, NETWORK_SIDE if learner else LONGEST_SIDE)
        folders = sorted({path.parent.name for path in photo_files(Path(source))})
        if len(folders) > 1:
            reading |= {"normal": tuple(folders), "test_size": 0.0}
    if plan.by_class and learner:
        raise SpecError(
            f"{method_card(plan.method).title} learns from defects and knows one kind of part "
            "only: take one sphere for all, or another method."
        )
    return FitConfig(source=source, method="knn", **reading)


def _normals(data: ImageSet, config: FitConfig) -> ImageSet:
    """Return the photos as a set of one class.

    Raises
    ------
    DataError
        If several folders were understood in another way.
    """
    if not config.normal:
        return data
    if set(config.normal) != set(data.class_names) or data.is_test is not None:
        raise DataError(
            f"The folders {', '.join(config.normal)} cannot all be read as good photos, because "
            "their names mean something else in a data set: give them other names."
        )
    return data.one_class(np.arange(len(data)), "good")


def _folders(data: ImageSet) -> dict[str, int]:
    counts = np.bincount(data.labels, minlength=len(data.class_names)).tolist()
    return dict(zip(data.class_names, counts, strict=True))


def _method(
    data: ImageSet, plan: InspectionPlan, tell: Say
) -> tuple[str, dict[str, Any], Choice | None]:
    """Return method and options, after a comparison if one is wanted."""
    check_region(plan)
    own: dict[str, Any] = {} if plan.region is None else {"region": plan.region}
    if plan.method != AUTO:
        known = next((one for one in CANDIDATES if one.method == plan.method), None)
        return plan.method, {} if known is None else dict(known.params) | own, None
    if plan.by_class:
        raise SpecError("Methods are compared on one kind of part only: name a method instead.")
    if len(training_index(data)) < FEWEST:
        quick = plan.model_copy(update={"method": quick_method(data.image_shape[:2])})
        check_region(quick)
        return quick.method, own, None
    with_maps = [one for one in CANDIDATES if one.draws_maps]
    if plan.region is not None:
        with_maps = [
            replace(one, params={**one.params, **own})
            for one in with_maps
            if takes_region(one.method)
        ]
    fitting, _ = applicable(with_maps, data.image_shape, len(data))
    choice = choose(
        data,
        minutes=plan.minutes,
        candidates=with_maps if fitting or plan.region is not None else CANDIDATES,
        seed=plan.seed,
        progress=lambda sentence: tell(f"Comparing methods: {sentence}", 60 * plan.minutes),
    )
    if choice.stopped:
        raise KeyboardInterrupt
    return choice.best.method, choice.best.params, choice


def seconds_for_folder(source: str, method: str, rate: float) -> float:
    """Return the seconds that a training on a folder of photos will take; see `seconds_to_fit`.

    Only eight of the photos are read.
    """
    folder = Path(source)
    if not folder.is_dir():
        raise DataError(f"There is no folder {folder.name} of photos any more.")
    files = photo_files(folder)
    learner = method_card(method).takes_anomalies
    reading = reading_of(folder, NETWORK_SIDE if learner else LONGEST_SIDE)
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
