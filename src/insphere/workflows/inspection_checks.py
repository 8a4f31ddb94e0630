"""What can be known of a fitted detector of photos: made-up damage, agreement, defects, groups."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insphere.data.image_set import ImageSet, take_images
from insphere.detectors.base.estimator import OneClassDetector
from insphere.detectors.registry import build_detector
from insphere.errors import DataError
from insphere.explain.heat import HeatScale, heat_maps, heat_method, heat_scale
from insphere.scoring.reviews import share_interval
from insphere.workflows.fitting import Fit
from insphere.workflows.made_up_damage import DamageFound, damage_found
from insphere.workflows.suspicious import suspicious_places
from insphere.workflows.time_to_fit import without_threshold

CHECK_SECONDS = 60.0  # for made-up damage
MOST_DAMAGED, FEWEST_DAMAGED = 12, 4  # photos
SCALE_PHOTOS = 24  # whose heat maps set the colours


def outside_of(fitted: Fit) -> tuple[NDArray[np.int64], bool]:
    """Return places of photos that were held out, or, if there are none, of some trained on.

    Right after the training only.
    """
    index, mask = fitted.index, fitted.detector._held_out_of_normals
    if mask is not None:
        return index[mask], True
    rng = np.random.default_rng(fitted.config.seed)
    some = np.sort(rng.permutation(len(index))[: min(SCALE_PHOTOS, len(index) // 4)])
    return index[some], False


def damage_of(fitted: Fit, outside: NDArray[Any]) -> tuple[DamageFound, float]:
    """Damage as many photos as the time allows; return also the seconds to score one.

    Parameters
    ----------
    fitted : Fit
        The detector and its photos.
    outside : ndarray, shape (n, H, W, C)
        The photos that are damaged.
    """
    detector, data = fitted.detector, _images(fitted)
    probe = np.ascontiguousarray(np.flip(outside[:2], axis=2))  # nothing of it is known already
    detector.anomaly_score(probe[:1])
    started = time.perf_counter()
    detector.anomaly_score(probe)
    each = (time.perf_counter() - started) / len(probe)
    if outside.dtype != np.uint8:
        return DamageFound({}, {}, 0), each
    count = int(np.clip(CHECK_SECONDS / (27 * max(each, 1e-4)), FEWEST_DAMAGED, MOST_DAMAGED))
    textures = take_images(data.images, fitted.index[:32])
    seed = fitted.config.seed
    return damage_found(detector, outside[:count], textures=textures, seed=seed), each


def agreement_of(
    fitted: Fit,
    damage: DamageFound,
    rows: NDArray[np.int64],
    defects: NDArray[Any] | None,
    expected: float,
) -> dict[str, Any] | None:
    """Train on each half of the other photos; return how often both agree which of two is worse.

    The interval comes from 200 samples of the photos.

    Parameters
    ----------
    fitted : Fit
        The detector and its photos.
    damage : DamageFound
        Whose examples are looked at.
    rows : ndarray of int64
        Places of the photos that are looked at, and not trained on.
    defects : ndarray, shape (m, H, W, C), or None
        Labelled anomalies, of which each training gets a half.
    expected : float
        Seconds of a training.

    Returns
    -------
    dict or None
        share, low, high, n_photos; None if it would take too long.
    """
    config, data = fitted.config, _images(fitted)
    if expected > 4 * CHECK_SECONDS or not damage.examples:
        return None
    index = np.setdiff1d(fitted.index, rows)
    order = np.random.default_rng((config.seed, 7)).permutation(len(index))
    good = take_images(data.images, rows[:MOST_DAMAGED])
    shown = np.concatenate([good, np.stack(list(damage.examples.values()))])
    scores = []
    for start in (0, 1):
        half = index[np.sort(order[start::2])]
        images, y = take_images(data.images, half), None
        if config.by_class:
            y = np.array(data.class_names)[data.labels[half]]
            if np.unique(y, return_counts=True)[1].min() < 2:
                return None
        elif defects is not None:
            some = defects[start::2]
            y = np.repeat([0, -1], [len(images), len(some)])
            images = np.concatenate([images, some])
        detector = build_detector(config.method, without_threshold(config), seed=config.seed)
        scores.append(detector.fit(images, y).anomaly_score(shown))
    first, second = (np.sign(one[:, None] - one[None, :]) for one in scores)
    same = first == second
    n = len(shown)
    off = ~np.eye(n, dtype=bool)
    rng = np.random.default_rng(config.seed)
    weights = rng.multinomial(n, np.full(n, 1 / n), 200).astype(float)
    pairs = np.einsum("ri,ij,rj->r", weights, off.astype(float), weights)
    agreed = np.einsum("ri,ij,rj->r", weights, (same & off).astype(float), weights)
    low, high = np.quantile(agreed / pairs, (0.05, 0.95))
    share = float(same[off].mean())
    return {"share": share, "low": float(low), "high": float(high), "n_photos": n}


def defects_found(fitted: Fit, defects: ImageSet | None, *, learned: bool) -> dict[str, Any] | None:
    """Say how many of the photos of defects raise an alarm.

    Parameters
    ----------
    fitted : Fit
        The detector.
    defects : ImageSet or None
        Photos that are known to be anomalous.
    learned : bool
        Whether the detector was trained on them.

    Returns
    -------
    dict or None
        n, alarms, low, high (the interval of the share), learned, n_skipped; None without any.

    Raises
    ------
    DataError
        If they have another number of bits than the good ones.
    """
    if defects is None:
        return None
    own = _images(fitted).images.dtype
    if defects.images.dtype != own:
        raise DataError(
            f"The photos of defects are {defects.images.dtype} images and the good ones {own}: "
            "store both in the same form."
        )
    alarms = fitted.detector.anomaly_score(defects.images) > fitted.detector.threshold_
    share = share_interval(int(alarms.sum()), len(alarms))
    return {
        "n": len(alarms), "alarms": share.count, "low": round(share.low, 4),
        "high": round(share.high, 4), "learned": learned, "n_skipped": len(defects.skipped),
    }  # fmt: skip


def group_facts(detector: OneClassDetector) -> dict[str, Any] | None:
    """Return the false alarms of each group at the threshold for all, and what is promised.

    Returns
    -------
    dict or None
        ``rates``: name, n, outside, low and high of each group, the highest rate first;
        ``sentences``. None for a detector without groups.
    """
    by_group = detector.by_group_
    if by_group is None:
        return None
    rates = [
        {
            "name": one.name, "n": one.n, "outside": one.outside, "low": round(one.low, 4),
            "high": round(one.high, 4),
        }
        for one in by_group.rates(detector.threshold_)
    ]  # fmt: skip
    return {"rates": rates, "sentences": detector.group_sentences}


def suspects_of(fitted: Fit, source: str) -> tuple[NDArray[np.int64], list[dict[str, Any]]]:
    """Return the places of the photos that look least normal, and what is said of each.

    Parameters
    ----------
    fitted : Fit
        Right after the training.
    source : str
        The folder of the photos, from which they are named.

    Returns
    -------
    places : ndarray of int64
        In the set of photos, the least normal first.
    said : list of dict
        file, score, alarm.
    """
    data, detector = _images(fitted), fitted.detector
    paths = data.paths
    found = [] if paths is None else suspicious_places(fitted)
    said = [
        {
            "file": _within(source, "" if paths is None else paths[place]),
            "score": score,
            "alarm": score > detector.threshold_,
        }
        for place, score in found
    ]
    return np.array([place for place, _ in found], np.int64), said


def map_colours(
    detector: OneClassDetector, normal: NDArray[Any], damaged: list[NDArray[np.uint8]]
) -> HeatScale | None:
    """Return the colours of heat maps; None where each would take a pass for each piece."""
    if heat_method(detector) == "occlusion" and detector.uses_pretrained:
        return None
    normal_maps = heat_maps(detector, normal[:SCALE_PHOTOS], reference=normal)
    maps = heat_maps(detector, np.stack(damaged), reference=normal) if damaged else normal_maps[:0]
    return heat_scale(normal_maps, maps)


def _images(fitted: Fit) -> ImageSet:
    if not isinstance(fitted.data, ImageSet):
        raise DataError(f"{fitted.data.name} holds no photos.")
    return fitted.data


def _within(source: str, path: str) -> str:
    place = Path(path)
    return place.relative_to(source).as_posix() if place.is_relative_to(source) else path
