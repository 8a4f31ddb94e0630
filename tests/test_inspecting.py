"""A detector of photos from good ones alone: sizes, promises, made-up damage, and the store."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from insphere.cli import main
from insphere.detectors import KNNDetector
from insphere.detectors.model_folder import load_detector
from insphere.errors import DataError, SpecError
from insphere.experiments.execution.inspection_worker import do
from insphere.experiments.execution.photo_scoring import read_photos
from insphere.experiments.store.inspections import Inspections
from insphere.experiments.store.run_store import Store
from insphere.studio.refitting import train_without
from insphere.workflows.inspecting import (
    InspectionPlan,
    inspect_photos,
    learners,
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


@pytest.mark.slow
@needs_features
@pytest.mark.parametrize("method", ["patch-gaussian", "auto"])
def test_what_is_left_out_at_the_edges_is_not_judged(photos, method):
    plan = InspectionPlan(rate=0.1, method=method, minutes=0.001, region=[0.25, 0.0, 1.0, 0.9])
    assert InspectionPlan.model_validate(json.loads(plan.model_dump_json())) == plan
    result = inspect_photos(str(photos / "good"), plan)
    assert result.facts["region"] == result.config.settings()["options"]["region"] == plan.region
    good = result.config.load(str(photos / "good"), progress=False).images[:2]
    heat = result.detector.anomaly_map(good)
    height, width = heat.shape[1:]
    assert (heat[:, : height // 8] == 0).all()
    assert (heat[:, :, -(width // 20) :] == 0).all()
    assert (heat > 0).any()


def left_half(place):
    """Write a picture of 6 rows and 8 columns that is white on the left."""
    white = np.zeros((6, 8), np.uint8)
    white[:, :4] = 255
    Image.fromarray(white).save(place)
    return place


@pytest.mark.slow
@needs_features
@pytest.mark.parametrize("method", ["patch-gaussian", "auto"])
def test_what_is_black_in_a_picture_is_not_judged(photos, tmp_path, method, monkeypatch, capsys):
    store = Store(tmp_path / "runs.sqlite")
    inspections = Inspections(store)
    new = tmp_path / "new"
    shutil.copytree(photos / "good", new / "photos")
    plan = InspectionPlan(rate=0.1, method=method, minutes=0.001, region="region.png")
    picture = left_half(new / "region.png")
    found = inspections.add("Left", {"plan": plan.model_dump()}, new / "photos", beside=[picture])
    assert inspections.take("train") == found.identity
    do(inspections, "train", found.identity)
    found = inspections.need(found.identity)
    assert found.state == "finished", found.reason
    assert (found.result["region"], found.result["judged"]) == ("region.png", 0.5)
    folder = inspections.folder(found.identity)
    detector = load_detector(folder / "model")
    good = read_photos(sorted((photos / "good").iterdir())[:2], detector)
    heat = detector.anomaly_map(good.images)
    width = heat.shape[2]
    assert (heat[:, :, width // 2 + width // 8 :] == 0).all()
    assert (heat > 0).any()
    # What is taken away names the picture, and no place on this computer.
    settings = (folder / "fit.yaml").read_text()
    assert "region: region.png" in settings
    for path in (folder / "fit.yaml", *(folder / "model").iterdir()):
        assert str(tmp_path).encode() not in path.read_bytes(), path
    # Another training keeps it.
    again = train_without(str(store.path), found.identity, [found.result["suspects"][0]["file"]])
    kept, before = (inspections.region(one).read_bytes() for one in (again, found.identity))
    assert kept == before
    assert inspections.need(again).settings["plan"]["region"] == "region.png"
    if method == "auto":
        return
    # The same on the command line, with the picture beside the settings.
    away = tmp_path / "away"
    (away / "photos").mkdir(parents=True)
    (away / "photos" / "good").symlink_to(photos / "good")
    for name in ("fit.yaml", "region.png"):
        shutil.copy(folder / name, away / name)
    monkeypatch.chdir(away)
    assert main(["fit", "--config", "fit.yaml", "--quiet"]) == 0, capsys.readouterr().err
    theirs = load_detector("model")
    assert theirs.threshold_ == detector.threshold_
    np.testing.assert_array_equal(theirs.region_, detector.region_)


def test_a_picture_that_cannot_be_used_is_said_before_the_training(photos, tmp_path):
    gone = InspectionPlan(rate=0.1, region=str(tmp_path / "gone.png"))
    with pytest.raises(SpecError, match="not here any more: hand it in again"):
        inspect_photos(str(photos / "good"), gone)
    Image.new("L", (8, 8)).save(tmp_path / "black.png")
    black = InspectionPlan(rate=0.1, region=str(tmp_path / "black.png"))
    with pytest.raises(SpecError, match="the region is black: make white"):
        inspect_photos(str(photos / "good"), black)


def test_a_method_that_judges_whole_photos_takes_no_region(photos, tmp_path):
    for region in ([0.1, 0.0, 1.0, 1.0], str(left_half(tmp_path / "left.png"))):
        plan = InspectionPlan(rate=0.1, method="knn", region=region)
        assert InspectionPlan.model_validate(json.loads(plan.model_dump_json())) == plan
        with pytest.raises(SpecError, match="judges whole photos: leave nothing out"):
            inspect_photos(str(photos / "good"), plan)


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
    counts = inspections.counts(batch)
    assert (counts.done, counts.total) == (19, 19)
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


@pytest.fixture(scope="module")
def parts(tmp_path_factory, digits):
    """Folders of digits as photos: two kinds of good ones, and defects."""
    images, labels = digits
    root = tmp_path_factory.mktemp("parts")
    for folder, digit, count in (("good/three", 3, 40), ("good/zero", 0, 30), ("defects", 8, 12)):
        (root / folder).mkdir(parents=True)
        for number, image in enumerate(images[labels == digit][:count]):
            large = np.kron(image[..., 0], np.ones((3, 3), np.uint8))
            Image.fromarray(large).save(root / folder / f"{number:02}.png")
    return root


def test_folders_of_good_photos_are_kinds_with_spheres_of_their_own(parts):
    plan = InspectionPlan(rate=0.1, method="knn", by_class=True, group_by="folder")
    result = inspect_photos(str(parts / "good"), plan, anomalies=str(parts / "defects"))
    facts = result.facts
    assert facts["folders"] == {"three": 40, "zero": 30}
    assert facts["n_photos"] == facts["n_train"] + facts["n_calibration"] == 70
    images = load_images(parts / "good")
    kinds = result.detector.predict_class(images)
    assert (kinds == np.repeat(["three", "zero"], [40, 30])).mean() > 0.95
    rates = facts["groups"]["rates"]
    assert {one["name"] for one in rates} == {"three", "zero"}
    assert sum(one["n"] for one in rates) == facts["n_calibration"]
    assert sum(one["outside"] for one in rates) <= 0.1 * (facts["n_calibration"] + 1)
    assert all(one["low"] <= one["outside"] / one["n"] <= one["high"] for one in rates)
    assert any(name in facts["groups"]["sentences"][0] for name in ("three", "zero"))
    # Defects are counted, and are nowhere among the good ones.
    found = facts["defects"]
    assert (found["n"], found["learned"]) == (12, False)
    defects = load_images(parts / "defects")
    alarms = int((result.detector.anomaly_score(defects) > result.detector.threshold_).sum())
    assert found["alarms"] == alarms > 6
    assert found["low"] < alarms / 12 <= found["high"]
    assert "anomalies" not in result.config.settings()
    assert {one["file"].split("/")[0] for one in facts["suspects"]} <= {"three", "zero"}
    json.dumps(facts)


def load_images(folder):
    files = sorted(folder.rglob("*.png"))
    return np.stack([np.asarray(Image.open(path)) for path in files])[..., None]


def test_folders_that_mean_one_kind_are_one_class(parts):
    result = inspect_photos(str(parts / "good"), InspectionPlan(rate=0.1, method="knn"))
    assert (result.facts["by_class"], result.facts["groups"]) == (False, None)
    assert result.facts["folders"] == {"three": 40, "zero": 30}
    assert result.facts["n_photos"] == 70
    plan = InspectionPlan(rate=0.1, method="deep-sad", by_class=True)
    with pytest.raises(SpecError, match="knows one kind of part only"):
        inspect_photos(str(parts / "good"), plan)


def test_folders_whose_names_mean_something_else_are_refused(parts, tmp_path):
    for folder in ("train", "test"):
        (tmp_path / folder).mkdir()
        for path in (parts / "good" / "three").iterdir():
            (tmp_path / folder / path.name).write_bytes(path.read_bytes())
    with pytest.raises(DataError, match="mean something else"):
        inspect_photos(str(tmp_path), InspectionPlan(rate=0.1, method="knn"))


@pytest.mark.slow
def test_a_method_that_learns_from_defects_is_shown_them(parts):
    assert learners()[0] == "deep-sad"
    plan = InspectionPlan(rate=0.1, method="deep-sad")
    source, defects = parts / "good" / "three", parts / "defects"
    result = inspect_photos(str(source), plan, anomalies=str(defects))
    facts = result.facts
    assert facts["n_photos"] == facts["n_train"] + facts["n_calibration"] == 40
    assert result.detector.n_labelled_ == {"normal": 0, "anomalous": 12}
    assert result.config.settings()["anomalies"] == str(defects)
    assert facts["defects"]["learned"]
    assert facts["defects"]["alarms"] > 8
    assert facts["agreement"]["n_photos"] == 18  # 9 good ones that were kept out, 9 damaged
    assert result.reference.shape == (1, 24, 24, 1)
    assert len(facts["suspects"]) == 10


def test_kinds_and_groups_are_kept_in_the_store_and_on_the_command_line(
    parts, tmp_path, monkeypatch, capsys
):
    store = Store(tmp_path / "runs.sqlite")
    inspections = Inspections(store)
    for name in ("good", "anomalies", "new"):
        (tmp_path / name).mkdir()
    for path in (parts / "good").rglob("*.png"):
        (tmp_path / "good" / path.parent.name).mkdir(exist_ok=True)
        (tmp_path / "good" / path.parent.name / path.name).write_bytes(path.read_bytes())
    for name in ("three/05.png", "zero/07.png"):
        copy = tmp_path / "new" / name.replace("/", "-")
        copy.write_bytes((parts / "good" / name).read_bytes())
    (tmp_path / "anomalies" / "8.png").write_bytes((parts / "defects" / "00.png").read_bytes())
    plan = InspectionPlan(rate=0.1, method="knn", by_class=True, group_by="folder").model_dump()
    found = inspections.add(
        "kinds", {"plan": plan}, tmp_path / "good", beside=[tmp_path / "anomalies"]
    )
    inspections.take("train")
    do(inspections, "train", found.identity)
    found = inspections.need(found.identity)
    assert found.state == "finished", found.reason
    assert found.result["defects"]["n"] == 1
    names = [(path.name, path.name) for path in sorted((tmp_path / "new").iterdir())]
    batch = inspections.add_batch(found.identity, "new", tmp_path / "new", names).identity
    inspections.take("score")
    do(inspections, "score", batch)
    photos = inspections.queue(batch, "all")
    assert {photo.name: photo.kind for photo in photos} == {
        "three-05.png": "three", "zero-07.png": "zero",
    }  # fmt: skip
    # The same on the command line, with the photos in the folders that are named.
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "good").symlink_to(parts / "good")
    settings = (inspections.folder(found.identity) / "fit.yaml").read_text()
    (tmp_path / "fit.yaml").write_text(settings)
    monkeypatch.chdir(tmp_path)
    assert main(["fit", "--config", "fit.yaml", "--quiet"]) == 0, capsys.readouterr().err
    images = load_images(parts / "defects")
    ours, theirs = (load_detector(path) for path in (inspections.model(found.identity), "model"))
    np.testing.assert_array_equal(ours.anomaly_score(images), theirs.anomaly_score(images))
    assert ours.threshold_ == theirs.threshold_
    assert ours.group_sentences == theirs.group_sentences
    # What a person calls good goes to its kind, and what is called anomalous beside it.
    from insphere.studio.refitting import train_again

    for photo in photos:
        inspections.review(photo.key, "normal" if photo.kind == "zero" else "anomalous")
    again = inspections.need(train_again(str(store.path), found.identity))
    assert (inspections.photos(again.identity) / "zero" / "reviewed-zero-07.png").is_file()
    assert len(list(inspections.defects(again.identity).iterdir())) == 2
    assert (again.settings["added"], again.settings["confirmed"]) == (1, 1)
    assert again.settings["plan"] == plan
    store.close()


def test_photos_of_a_store_of_an_earlier_version_have_no_kind(tmp_path):
    from sqlalchemy import text

    store = Store(tmp_path / "runs.sqlite")
    (tmp_path / "good").mkdir()
    (tmp_path / "new").mkdir()
    inspections = Inspections(store)
    found = inspections.add("old", {}, tmp_path / "good")
    names = [("a.png", "a.png")]
    batch = inspections.add_batch(found.identity, "new", tmp_path / "new", names).identity
    with store.writing() as session:  # what an earlier version made
        session.execute(text("ALTER TABLE photos DROP COLUMN kind"))
    store.close()
    again = Store(tmp_path / "runs.sqlite")
    (photo,) = Inspections(again).to_do(batch, 9)
    assert (photo.name, photo.kind) == ("a.png", None)
    again.close()


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
