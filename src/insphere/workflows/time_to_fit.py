"""How long a training will take, measured on a few images before it begins."""

from __future__ import annotations

import time
from typing import Any

from insphere.data.image_set import ImageSet
from insphere.data.inputs import training_groups, training_index
from insphere.detectors.registry import build_detector
from insphere.workflows.fit_config import FitConfig


def seconds_to_fit(config: FitConfig, data: ImageSet, n: int) -> float:
    """Measure a training on a few images, and return the seconds for n.

    Nothing of it is kept. The cost of a training grows with the number of images, from a fixed
    part on; the detectors without a part of the images of small sets are counted in.
    """
    few, more = (min(count, n) for count in (4, 8))
    rows = training_index(data)[:more]
    took = []
    for count in (few, more):
        detector = build_detector(config.method, without_threshold(config), seed=config.seed)
        started = time.perf_counter()
        detector.fit(data.take(rows[:count]))
        took.append(time.perf_counter() - started)
    each = max((took[1] - took[0]) / max(more - few, 1), took[1] / more / 4)
    plan = config.detector().planned_calibration(n, training_groups(data))
    return plan.trainings * (took[0] + each * (n - few))


def without_threshold(config: FitConfig) -> dict[str, Any]:
    """Return the options of a detector whose threshold does not count."""
    options = {name: value for name, value in config.options.items() if name != "calibration"}
    return options | {"contamination": 0.0}
