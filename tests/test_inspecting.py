"""A detector of photos from good ones alone: sizes, promises, made-up damage, and the store."""

import json

import numpy as np
import pytest
from PIL import Image

from insphere.detectors import KNNDetector
from insphere.errors import DataError, SpecError
from insphere.experiments.execution.inspection_worker import do
from insphere.experiments.store.inspections import Inspections
from insphere.experiments.store.run_store import Store
from insphere.workflows.inspecting import (
    InspectionPlan,
    inspect_photos,
    promised,
    quick_method,
    reading_of,
)
from insphere.workflows.made_up_damage import damage_found
from photos import good_and_new

needs_features = pytest.mark.skipif(
    quick_method((128, 128)) == "knn", reason="Photos need the extra pretrained."
)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    good_and_new(folder, n=30, n_new=18)
    return folder


def write(folder, sizes, mode="L"):
    folder.mkdir(parents=True)
    for number, size in enumerate(sizes):
        Image.new(mode, size[::-1], 7).save(folder / f"{number}.png")
    return folder


def test_photos_stay_as_large_as_the_limit_allows(tmp_path):
    same = reading_of(write(tmp_path / "same", [(480, 640)] * 3))
    assert same == {"size": (480, 640), "fit": "own", "channels": 1}
    few = reading_of(write(tmp_path / "differ", [(300, 200), (310, 180)], "RGB"))
    assert few == {"size": (310, 200), "fit": "own", "channels": 3}
    large = reading_of(write(tmp_path / "large", [(3000, 2000)] * 2))
    assert large == {"size": (1024, 683), "fit": "letterbox", "channels": 1}
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "a.png").write_bytes(b"no image")
    with pytest.raises(DataError, match="None of the photos can be read"):
        reading_of(tmp_path / "none")


def test_what_few_photos_cannot_promise_is_refused_with_a_number():
    assert promised(57, 0.05).kind == "promise"
    with pytest.raises(SpecError, match=r"30 photos are too few .* which takes 147"):
        promised(30, 0.02)


def test_stronger_damage_is_found_more_often(digits):
    images, labels = digits
    threes = np.kron(images[labels == 3], np.ones((1, 4, 4, 1), np.uint8))
    detector = KNNDetector(false_alarm_rate=0.1, random_state=0).fit(threes[:120])
    found = damage_found(detector, threes[120:132])
    faint, strong = (found.of_strength(name) for name in ("faint", "strong"))
    assert faint.count / faint.total < strong.count / strong.total
    assert 0 <= strong.low <= strong.count / strong.total <= strong.high <= 1
    # The interval is as wide as that of 12 photos, not as that of all their damaged copies.
    assert strong.high - strong.low > 0.2
    assert set(found.plain()["cells"]) == {kind for kind, _ in found.cells}
    again = damage_found(detector, threes[120:132])
    assert again.plain() == found.plain()


@pytest.mark.slow
@needs_features
def test_a_comparison_takes_only_methods_that_mark_the_place(photos):
    plan = InspectionPlan(rate=0.1, method="auto", minutes=0.001)
    steps = []
    result = inspect_photos(str(photos / "good"), plan, say=lambda step, _: steps.append(step))
    assert result.facts["choice"].startswith("Take ")
    assert any(step.startswith("Comparing methods") for step in steps)
    assert hasattr(result.detector, "anomaly_map")
    assert result.facts["promise"] | {"sentence": ""} == {
        "kind": "promise", "rate": 0.1, "sentence": "", **_interval(result.detector),
    }  # fmt: skip
    json.dumps(result.facts)
    assert result.scale.threshold < result.scale.top


def _interval(detector):
    from insphere.scoring.thresholds import false_alarm_interval

    low, high = false_alarm_interval(detector.n_calibration_, 0.1)
    return {"low": round(low, 4), "high": round(high, 4)}


def test_a_killed_scoring_continues_and_a_bad_photo_is_named(photos, tmp_path):
    store = Store(tmp_path / "runs.sqlite")
    inspections = Inspections(store)
    good, new = tmp_path / "good", tmp_path / "new"
    for place, kind in ((good, "good"), (new, "new")):
        place.mkdir()
        for path in (photos / kind).iterdir():
            (place / path.name).write_bytes(path.read_bytes())
    (new / "broken.png").write_bytes(b"\x89PNG no more")
    plan = InspectionPlan(rate=0.1, method="knn").model_dump()
    found = inspections.add("test", {"plan": plan}, good)
    assert inspections.take("train") == found.identity
    do(inspections, "train", found.identity)
    found = inspections.get(found.identity)
    assert found.state == "finished", found.reason
    names = [(path.name, f"line 2/{path.name}") for path in sorted(new.iterdir())]
    batch = inspections.add_batch(found.identity, "new", new, names).identity
    assert inspections.take("score") == batch
    assert inspections.take("score") is None
    inspections.again("score")  # as when the process was killed
    assert inspections.take("score") == batch
    do(inspections, "score", batch)
    assert inspections.batch(batch).state == "finished"
    assert inspections.done(batch) == (19, 19)
    (bad,) = inspections.queue(batch, "unreadable")
    assert bad.name == "line 2/broken.png"
    assert "read" in bad.error
    every = inspections.queue(batch, "all")
    assert len(every) == 18
    assert [inspections.place(photo, "all") for photo in every] == list(range(18))
    counts = inspections.reviews(found.identity)
    assert counts.open + counts.passed == 18
    inspections.review(every[0].key, "anomalous")
    inspections.review(every[0].key, "normal")
    assert inspections.undo(batch) == every[0].key
    assert inspections.photo(every[0].key).review == "anomalous"
    assert inspections.undo(batch) == every[0].key
    assert inspections.photo(every[0].key).review is None
    assert inspections.undo(batch) is None
    with pytest.raises(DataError, match="not 'maybe'"):
        inspections.review(every[0].key, "maybe")
    store.close()


def test_a_store_of_an_earlier_version_gets_the_tables(tmp_path):
    from sqlalchemy import text

    store = Store(tmp_path / "runs.sqlite")
    with store.writing() as session:  # what an earlier version made
        for table in ("photo_reviews", "photos", "photo_batches", "inspections"):
            session.execute(text(f"DROP TABLE IF EXISTS {table}"))
    store.close()
    again = Store(tmp_path / "runs.sqlite")
    assert Inspections(again).all() == []
    again.close()
