"""Groups of photos by a table: handed in beside the photos, counted, kept and taken away."""

import re
import shutil
import zipfile
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from axe import grave_violations
from insphere.cli import main
from insphere.detectors.model_folder import load_detector
from insphere.experiments.execution.inspection_worker import do
from insphere.experiments.store.inspections import Inspections
from insphere.experiments.store.run_store import Store
from insphere.studio.refitting import train_again, train_without
from insphere.workflows.inspecting import InspectionPlan

N = 60


@pytest.fixture(scope="module")
def photos(tmp_path_factory, digits):
    """Small photos of one digit in two folders, and a table of their shifts and cameras."""
    images, labels = digits
    root = tmp_path_factory.mktemp("photos")
    lines = ["camera;photo;shift"]
    for number, image in enumerate(images[labels == 0][:N]):
        folder = root / "good" / ("b c" if number % 2 else "a")
        folder.mkdir(parents=True, exist_ok=True)
        large = np.kron(image[..., 0], np.ones((3, 3), np.uint8))
        Image.fromarray(large).save(folder / f"{number:02}.png")
        lines.append(f"C1;{number:02}.png;{'night' if number % 3 else 'day'}")
    (root / "shifts.csv").write_text("\n".join([*lines[:-3], "C1;99.png;day"]))
    return root


@pytest.fixture(scope="module")
def store(studio):
    opened = Store(studio.store_path)
    yield Inspections(opened)
    opened.close()


@pytest.fixture(scope="module")
def trained(store, photos, tmp_path_factory):
    """The identity of a detector that counts by a table."""
    folder = tmp_path_factory.mktemp("new")
    shutil.copytree(photos / "good", folder / "photos")
    files = sorted(path.relative_to(folder) for path in (folder / "photos").rglob("*.png"))
    rows = [
        f"{path.relative_to('photos')},{path.name},{'night' if int(path.stem) % 3 else 'day'}"
        for path in files
    ]
    (folder / "groups.csv").write_text("\n".join(["file,name,shift", *rows]))
    plan = InspectionPlan(rate=0.1, method="knn", group_by="table", group_column="shift")
    found = store.add(
        "By table", {"plan": plan.model_dump()}, folder / "photos", beside=[folder / "groups.csv"]
    )
    store.take("train")
    do(store, "train", found.identity)
    found = store.need(found.identity)
    assert found.state == "finished", found.reason
    return found.identity


def test_a_table_counts_as_folders_do_and_is_taken_away(
    studio, store, trained, photos, tmp_path, monkeypatch, capsys
):
    inspections, identity, path = store, trained, studio.store_path
    facts = inspections.need(identity).result
    assert facts["group_column"] == "shift"
    rates = {one["name"]: one for one in facts["groups"]["rates"]}
    assert set(rates) == {"day", "night"}
    assert sum(one["n"] for one in rates.values()) == facts["n_calibration"]
    assert all(one["low"] <= one["outside"] / one["n"] <= one["high"] for one in rates.values())
    # The same on the command line, with the table beside the settings.
    ours = load_detector(inspections.model(identity))
    assert ours.trained_on_.group_by == "groups.csv:shift"
    for name in ("fit.yaml", "groups.csv"):
        shutil.copy(inspections.folder(identity) / name, tmp_path / name)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "good").symlink_to(photos / "good")
    monkeypatch.chdir(tmp_path)
    assert main(["fit", "--config", "fit.yaml", "--quiet"]) == 0, capsys.readouterr().err
    theirs = load_detector("model")
    assert ours.threshold_ == theirs.threshold_
    assert ours.group_sentences == theirs.group_sentences
    # Another training keeps the table.
    with inspections.job_lock("train"):  # nothing is trained
        again = train_without(str(path), identity, ["a/00.png"])
        other = train_again(str(path), identity)
        for _ in range(2):
            inspections.fail("train", inspections.take("train"), "Not trained in a test.")
    assert inspections.groups(again).read_text() == inspections.groups(identity).read_text()
    assert inspections.need(again).settings["plan"]["group_column"] == "shift"
    assert inspections.groups(other).is_file()


def test_what_the_table_says_is_shown_and_taken_away(studio, visit, trained):
    page = visit(f"/photos/{trained}")
    said = page.inner_text("[data-test=groups]")
    assert said.split()[0].lower() == "shift"
    assert {"day", "night"} <= set(said.split())
    page.click("summary:has-text('command line')")
    assert "the table groups.csv are in the zip" in page.inner_text("details[open]")
    with page.expect_download() as waiting:
        page.click("a:has-text('Model as zip')")
    archive = zipfile.ZipFile(BytesIO(waiting.value.path().read_bytes()))
    inside = {name.rpartition("/")[2]: name for name in archive.namelist()}
    assert "group_by: groups.csv:shift" in archive.read(inside["fit.yaml"]).decode()
    assert "night" in archive.read(inside["groups.csv"]).decode()
    assert not any(
        str(studio.store_path.parent) in archive.read(n).decode("latin-1") for n in inside.values()
    )


def hand_in(page, path, seen):
    page.set_input_files("[data-test=group-table] input[type=file]", path)
    page.wait_for_selector(seen)


@pytest.mark.slow
def test_a_table_is_handed_in_beside_the_photos(studio, visit, store, photos, tmp_path):
    pytest.importorskip("efficientnet_lite_pytorch", reason="Photos need the extra pretrained.")
    inspections = store
    page = visit("/photos")
    page.wait_for_function("document.querySelector('[data-test=photos]').ready")
    assert not page.is_visible("[data-test=group-table]")
    packed = tmp_path / "good.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for file in sorted((photos / "good").rglob("*.png")):
            archive.write(file, str(file.relative_to(photos)))
    page.set_input_files("[data-test=files]", packed)
    ticks = "[aria-label='Folders of good parts'] [role=checkbox]"
    page.wait_for_selector(ticks)
    for one in page.locator(ticks).all():
        if one.get_attribute("aria-checked") == "false":
            one.click()
    page.click("[data-test=take-folder]")
    page.wait_for_selector("[data-test=train-photos]")
    # What cannot be used is said, with the name that the file came with.
    bad = tmp_path / "bad <b>.csv"
    bad.write_bytes(b"photo,shift\n00.png\n")
    hand_in(page, bad, "[role=alert]:has-text('has 1 values')")
    assert str(studio.store_path.parent) not in page.inner_text("main, .page")
    page.wait_for_selector("input[name=by-folder]")
    hand_in(page, photos / "shifts.csv", "[data-test=n-groups]")
    # The first column is the same for all, so the other one is taken.
    assert page.input_value("select[name='column that says the group']") == "shift"
    assert page.inner_text("[data-test=n-groups]") == (
        "3 groups by shift: night (38), day (19), unknown (3)."
    )
    about = page.inner_text("[data-test=about-groups]")
    assert "3 of the 60 photos have no row in shifts.csv" in about
    assert "1 name belongs to none of the 60 photos: 99.png." in about
    assert page.locator("input[name=by-folder]").count() == 0
    page.select_option("select[name='column that says the group']", "camera")
    page.wait_for_selector("[role=alert]:has-text('of one group only, C1')")
    page.select_option("select[name='column that says the group']", "shift")
    page.wait_for_selector("[data-test=n-groups]:has-text('shift')")
    assert grave_violations(page) == []
    with inspections.job_lock("train"):  # nothing is trained
        page.click("[data-test=train-photos]")
        page.wait_for_url(re.compile("/photos/[0-9a-f]{12}$"))
        identity = page.url.rpartition("/")[2]
        found = inspections.need(identity)
        assert inspections.take("train") == identity
        inspections.fail("train", identity, "Not trained in a test.")
    assert found.settings["plan"]["group_by"] == "table"
    assert found.settings["plan"]["group_column"] == "shift"
    rows = inspections.groups(identity).read_text().splitlines()
    assert rows[0] == "file,name,shift"
    assert len(rows) == 1 + N - 3
    assert "b-c/01.png,b c/01.png,night" in rows
    assert (inspections.photos(identity) / "b-c" / "01.png").is_file()
