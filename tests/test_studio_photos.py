"""Photos of good parts, new photos, reviews and a new training, in a real browser."""

import csv
import io
import json
import re
import zipfile

import numpy as np
import pytest
from PIL import Image

from axe import check_pages, grave_violations
from insphere.cli import main
from insphere.detectors.model_folder import load_detector
from insphere.experiments.execution.photo_scoring import read_photos
from insphere.experiments.store.inspections import Inspections
from insphere.experiments.store.run_store import Store
from insphere.web.uploads import LIMITS
from photos import good_and_new

pytest.importorskip("efficientnet_lite_pytorch", reason="Photos need the extra pretrained.")
pytestmark = pytest.mark.slow

WAIT = 300_000
OPACITIES = """(() => {
  const image = document.querySelector('.judged .dimmed');
  if (!image?.complete) return null;
  const canvas = Object.assign(document.createElement('canvas'), {width: 80, height: 60});
  const drawn = canvas.getContext('2d');
  drawn.drawImage(image, 0, 0, 80, 60);
  return [5, 15, 25, 75].map((x) => drawn.getImageData(x, 30, 1, 1).data[3]);
})()"""
"""How much a photo is darkened at four columns of 80."""


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Paths of good photos, of new ones, and their folder."""
    folder = tmp_path_factory.mktemp("photos")
    return *good_and_new(folder), folder


def tab_to(page, selector):
    """Press Tab until this element has the focus."""
    for _ in range(60):
        if page.evaluate("(s) => document.activeElement?.matches(s)", selector):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"{selector} cannot be reached by keyboard")


def choose_files(page, selector, files):
    tab_to(page, selector)
    page.set_input_files(selector, files)  # the dialog belongs to the system, not to the page


def test_the_key_enter_opens_the_dialog_of_the_system(visit):
    page = visit("/photos")
    opened = []
    # Long before the key, because nothing says when the browser has begun to tell.
    page.on("filechooser", lambda chooser: opened.append(chooser))
    page.wait_for_function("document.querySelector('[data-test=photos]').ready")
    page.wait_for_timeout(1500)
    for count, selector in enumerate(("[data-test=files]", "[data-test=folder]"), start=1):
        tab_to(page, selector)
        page.keyboard.press("Enter")
        for _ in range(300):
            if len(opened) == count:
                break
            page.wait_for_timeout(100)
        assert len(opened) == count
    assert opened[0].is_multiple()


@pytest.fixture(scope="module")
def trained(studio, chromium, photos):
    """The page of a detector, and of a batch, made from the first page on by keyboard alone."""
    good, new, _ = photos
    page = chromium.new_page()
    page.set_default_timeout(WAIT)
    page.goto(f"{studio.address}/")
    tab_to(page, "[data-test=way-photos]")
    page.keyboard.press("Enter")
    page.wait_for_selector("[data-test=photos]")
    page.wait_for_function("document.querySelector('[data-test=photos]').ready")
    choose_files(page, "[data-test=files]", good)
    page.wait_for_selector("[data-test=train-photos]")
    found = page.inner_text("[data-test=n-photos]")
    assert found.startswith(f"{len(good)} grey photos, read on a canvas of")
    rates = "[aria-label='Bearable false alarms'] [role=radio]"
    offered = {one.inner_text().split("\n")[0]: one for one in page.locator(rates).all()}
    assert offered["1 in 10"].is_enabled()
    assert offered["1 in 100"].is_disabled()  # and says how many photos it takes
    assert "takes 297 photos" in offered["1 in 100"].inner_text()
    tab_to(page, f"{rates}[aria-checked=true]")
    page.keyboard.press("ArrowLeft")  # from 1 in 20, an estimate here, to 1 in 10
    page.wait_for_selector(f"{rates}[aria-checked=true]:has-text('1 in 10')")
    tab_to(page, "input[name=title]")
    page.keyboard.type("Test surfaces")
    tab_to(page, "[data-test=train-photos]")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("/photos/[0-9a-f]{12}$"))
    page.wait_for_selector("[data-test=step]")
    page.wait_for_selector("[data-state=finished]")
    detector = page.url[len(studio.address) :]
    page.wait_for_function("document.querySelector('[data-test=photos]').ready")
    choose_files(page, "[data-test=files]", new)
    page.wait_for_url(re.compile("/photos/[0-9a-f]{12}/[0-9a-f]{12}"))
    total = len(new)
    page.wait_for_selector(f"[data-test=scored-photos]:has-text('{total} of {total}')")
    batch = page.url[len(studio.address) :].partition("?")[0]
    page.close()
    return detector, batch


@pytest.fixture(scope="module")
def store(studio, trained):
    opened = Store(studio.store_path)
    yield Inspections(opened)
    opened.close()


def identity(address):
    return address.rstrip("/").rpartition("/")[2]


def downloaded(page, selector):
    with page.expect_download() as waiting:
        page.click(selector)
    return waiting.value.path().read_bytes()


def test_what_can_be_known_is_said_without_statistics(visit, trained, photos, store):
    page = visit(trained[0])
    text = page.inner_text("main, .page")
    for word in ("AUC", "ROC", "confusion", "p-value", "quantile", "conformal"):
        assert word not in text
    expected = page.inner_text("[data-test=expect]")
    assert "At most 1 in 10 good photos raises a false alarm" in expected
    assert "kept out of the training" in expected
    assert "separate trainings agree" in expected
    facts = store.get(identity(trained[0])).result
    n = len(photos[0])
    assert facts["n_train"] + facts["n_calibration"] == facts["n_photos"] == n
    assert facts["n_calibration"] == 9 <= n / 3
    by_strength = facts["damage"]["by_strength"]
    shares = [by_strength[name][0] / by_strength[name][1] for name in ("faint", "strong")]
    assert shares[0] < shares[1]
    assert page.locator("[data-test=damage] tbody tr").count() == 9
    loaded = "[...document.querySelectorAll('.shots img')].every((i) => i.complete && i.width > 20)"
    page.evaluate(
        "document.querySelectorAll('.shots img').forEach((i) => { i.loading = 'eager'; })"
    )
    page.wait_for_function(loaded)


def test_the_strangest_come_first_and_can_be_enlarged(visit, trained, store):
    page = visit(trained[1])
    page.wait_for_selector("[data-test=photo-name]")
    assert "bad-" in page.inner_text("[data-test=photo-name]")
    assert "stranger than every one of the 9 good photos" in page.inner_text("[data-test=severity]")
    shown = "(s) => ((i) => i?.complete && i.naturalWidth > 60)(document.querySelector(s))"
    for name in ("shot-large", "shot-map"):
        page.wait_for_function(shown, arg=f"[data-test={name}] img")
    page.click("[data-test=shot-map]")
    page.wait_for_function(shown, arg="[data-test=enlarged-map]")
    assert page.locator("[data-test=enlarged-large]").count() == 1
    page.keyboard.press("Escape")
    page.wait_for_selector("[data-test=enlarged-map]", state="hidden")
    scores = [photo.score for photo in store.queue(identity(trained[1]), "all")]
    assert scores == sorted(scores, reverse=True)
    page.click("[role=radio]:has-text('All photos')")
    page.wait_for_selector(f"[data-test=place]:has-text('1 of {len(scores)}')")
    page.click(f".mini >> nth={len(scores) - 1}")  # no alarm: its map is made when it is asked for
    page.wait_for_selector("[data-test=photo-verdict]:has-text('No alarm')")
    page.wait_for_function(shown, arg="[data-test=shot-map] img")


def test_one_key_decides_and_another_undoes(visit, trained, store):
    batch = identity(trained[1])
    first, second = store.queue(batch, "all")[:2]
    assert first.alarm
    page = visit(f"{trained[1]}?show=all")
    page.wait_for_selector("[data-keys=heard] [data-test=photo-name]")
    here = "document.querySelector('[data-test=photo-verdict]').dataset.key"
    for photo, key in ((first, "r"), (second, "f")):
        page.wait_for_function(f"{here} === '{photo.key}'")
        page.keyboard.press(key)
    page.wait_for_selector('[role=radio]:has(b:text-matches("^Reviewed 2"))')
    assert [store.photo(one.key).review for one in (first, second)] == ["anomalous", "normal"]
    page.keyboard.press("u")
    page.wait_for_selector('[role=radio]:has(b:text-matches("^Reviewed 1"))')
    page.wait_for_function(f"{here} === '{second.key}'")
    assert store.photo(second.key).review is None
    page.reload()
    page.wait_for_selector("[data-test=learned]:has-text('1 of 1 reviewed alarms were right')")
    page.wait_for_selector("[data-keys=heard]")
    page.keyboard.press("u")  # also what was decided before the page was opened
    page.wait_for_selector('[role=radio]:has(b:text-matches("^Reviewed"))', state="detached")
    assert store.photo(first.key).review is None


def test_the_command_line_does_the_same(visit, trained, photos, tmp_path, capsys, monkeypatch):
    page = visit(trained[1])
    content = downloaded(page, "a:has-text('Table')").decode()
    table = {row["path"]: row for row in csv.DictReader(io.StringIO(content))}
    assert len(table) == len(photos[1])
    report = downloaded(page, "a:has-text('Report')").decode()
    assert report.count("<article>") == sum(row["verdict"] == "anomalous" for row in table.values())
    assert 'src="data:image/jpeg' in report
    page.goto(page.url.partition("/photos/")[0] + trained[0])
    packed = zipfile.ZipFile(io.BytesIO(downloaded(page, "a:has-text('Model as zip')")))
    packed.extractall(tmp_path)
    (folder,) = tmp_path.iterdir()
    assert load_detector(folder).n_calibration_ == 9
    page.click("summary:has-text('command line')")
    lines = page.inner_text("[data-test=commands]").splitlines()
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "good").symlink_to(photos[2] / "good")
    (tmp_path / "photos" / "new").symlink_to(photos[2] / "new")
    (tmp_path / "fit.yaml").write_bytes((folder / "fit.yaml").read_bytes())
    monkeypatch.chdir(tmp_path)
    for line in lines[:2]:
        words = line.split()
        assert words[0] == "insphere"
        assert main(words[1:]) == 0, capsys.readouterr().err
    with (tmp_path / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(table)
    for row in rows:
        name = row["path"].rpartition("/")[2]
        assert float(row["score"]) == pytest.approx(float(table[name]["score"]), rel=1e-4)
        assert row["verdict"] == table[name]["verdict"]


def test_reviewed_photos_are_added_to_a_new_detector_and_it_is_said(
    studio, visit, trained, photos, store, tmp_path, capsys
):
    batch, before = identity(trained[1]), identity(trained[0])
    for photo in store.queue(batch, "all", limit=100):
        store.review(photo.key, "normal" if photo.name.startswith("ok") else "anomalous")
    page = visit(trained[0])
    good = sum(path.name.startswith("ok") for path in photos[1])
    learned = page.inner_text("[data-test=learned]")
    assert f"of {good} good photos raised a false alarm" in learned
    assert "Promised were at most 10 of 100" in learned
    assert f"the {good} photos that you called good" in page.inner_text("[data-test=would-add]")
    zipped = zipfile.ZipFile(io.BytesIO(downloaded(page, "a:has-text('Reviewed photos')")))
    zipped.extractall(tmp_path)
    page.click("[data-test=train-again]")
    page.wait_for_url(lambda url: re.search("/photos/[0-9a-f]{12}$", url) and before not in url)
    assert f"with {good} photos that a person called good" in page.inner_text(".lead")
    page.wait_for_selector("[data-state=finished]", timeout=WAIT)
    after = identity(page.url)
    facts = store.get(after).result
    assert facts["n_photos"] == len(photos[0]) + good
    assert store.get(before).result["n_photos"] == len(photos[0])
    kept = store.folder(after) / "anomalies"
    assert len(list(kept.iterdir())) == len(photos[1]) - good
    command = ["refit", str(store.model(before)), "--normals", str(store.photos(before))]
    command += ["--reviews", str(tmp_path / "reviews"), "--out", str(tmp_path / "m"), "--json"]
    assert main(command) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["n_before"], told["n_added"]) == (len(photos[0]), good)
    assert told["n_anomalous"] == len(photos[1]) - good


def test_a_zip_with_good_and_defective_photos_asks_which_is_which(visit, photos, tmp_path):
    place = tmp_path / "parts.zip"
    with zipfile.ZipFile(place, "w") as archive:
        for path in photos[1]:
            kind = "good" if path.name.startswith("ok") else "defect"
            archive.write(path, f"parts/{kind}/{path.name}")
        archive.writestr("parts/readme.txt", "no photo")
    page = visit("/photos")
    page.wait_for_function("document.querySelector('[data-test=photos]').ready")
    page.set_input_files("[data-test=files]", place)
    page.wait_for_selector("[data-test=take-folder]")
    chosen = page.inner_text("[aria-label='Folders of good parts'] [aria-checked=true]")
    assert "parts/good" in chosen
    page.click("[data-test=take-folder]")
    page.wait_for_selector("[data-test=train-photos]")
    assert page.inner_text("[data-test=n-photos]").startswith("16 grey photos")
    bad = tmp_path / "bad.zip"
    bad.write_bytes(b"PK\x03\x04 this is no zip")
    page.set_input_files("[data-test=files]", bad)
    page.wait_for_selector("[role=alert]:has-text('no zip, or a damaged one')")


def test_what_is_left_out_at_the_edges_is_shown_and_belongs_to_the_detector(visit, photos, store):
    page = visit("/photos")
    page.wait_for_function("document.querySelector('[data-test=photos]').ready")
    page.set_input_files("[data-test=files]", photos[0])
    page.wait_for_selector("[data-test=region] img")
    assert "Judged: 100 % of the height and 100 % of the width" in page.inner_text("figcaption")
    for edge, value in (("top", "20"), ("left", "5")):
        field = page.locator(f"[data-test=region] label:has-text('{edge}') input")
        field.fill(value)
        field.press("Tab")
    page.wait_for_selector("figcaption:has-text('80 % of the height and 95 % of the width')")
    assert "inset:20% 0% 0% 5%" in page.locator(".judged span").get_attribute("style")
    assert grave_violations(page) == []
    page.click("[data-test=train-photos]")
    page.wait_for_url(re.compile("/photos/[0-9a-f]{12}$"))
    page.wait_for_selector("[data-state=finished]", timeout=WAIT)
    said = "between 20 and 100 % of the height, and 5 and 100 % of the width"
    assert said in page.inner_text("body")
    detector = load_detector(store.model(page.url.rsplit("/", 1)[1]))
    assert detector.region == [0.2, 0.05, 1.0, 1.0]


def test_a_picture_says_what_is_judged_and_belongs_to_the_detector(
    studio, visit, photos, store, tmp_path
):
    white = np.zeros((60, 80), np.uint8)
    white[:24] = 255
    Image.fromarray(white).save(tmp_path / "upper.png")
    white[:], white[:, :20] = 0, 255
    Image.fromarray(white).save(tmp_path / "left.png")
    Image.fromarray(0 * white).save(tmp_path / "black.png")
    content = (tmp_path / "left.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(content[: len(content) - 30])
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "note.txt").write_text("no image")
    with (tmp_path / "large.png").open("wb") as file:
        file.truncate(LIMITS.bytes + 1)
    Image.new("L", (7_000, 6_000), 255).save(tmp_path / "giant.png")

    page = visit("/photos")
    page.wait_for_function("document.querySelector('[data-test=photos]').ready")
    page.set_input_files("[data-test=files]", photos[0])
    page.wait_for_selector("[data-test=region] img")
    field = "[data-test=region] input[type=file]"
    for name, said in (
        ("text", "no image, or a damaged one"),
        ("black", "the region is black: make white"),
        ("cut", "no image, or a damaged one"),
        ("large", "no PNG file, or it is larger than 100 MB"),
        ("giant", "too large"),
        ("note", "no PNG file"),
    ):
        page.set_input_files(field, tmp_path / f"{name}.{'txt' if name == 'note' else 'png'}")
        page.wait_for_selector(f"[data-test=region] [role=alert]:has-text('{said}')")
        assert page.locator("[data-test=region] [role=alert]").count() == 1
        assert page.locator(".judged .dimmed").count() == 0

    top = "[data-test=region] label:has-text('top') input"
    page.fill(top, "20")
    page.press(top, "Tab")
    page.wait_for_selector("figcaption:has-text('80 % of the height')")
    for name, share in (("upper", 40), ("left", 25)):
        page.set_input_files(field, tmp_path / f"{name}.png")
        page.wait_for_selector(f"figcaption:has-text('{share} % of the photo')")
    assert page.locator("[data-test=region] [role=alert]").count() == 0
    assert page.locator(top).count() == 0  # the picture alone counts
    page.set_input_files(field, tmp_path / "text.png")
    page.wait_for_selector("[data-test=region] [role=alert]")
    assert page.locator(".judged .dimmed").count() == 1  # the one before stays
    page.click("[data-test=no-picture]")
    page.wait_for_selector("figcaption:has-text('80 % of the height')")
    assert page.input_value(top) == "20"
    page.set_input_files(field, tmp_path / "left.png")
    page.wait_for_function(OPACITIES + "?.join() === '0,0,140,140'")
    assert grave_violations(page) == []

    page.click("[data-test=train-photos]")
    page.wait_for_url(re.compile("/photos/[0-9a-f]{12}$"))
    page.wait_for_selector("[data-state=finished]", timeout=WAIT)
    assert "white in the picture that was given: 25 % of each photo" in page.inner_text("body")
    page.click("summary:has-text('command line')")
    assert "fit.yaml and the picture region.png are in the zip" in page.inner_text("details[open]")
    packed = zipfile.ZipFile(io.BytesIO(downloaded(page, "a:has-text('Model as zip')")))
    inside = {name.rpartition("/")[2]: packed.read(name) for name in packed.namelist()}
    np.testing.assert_array_equal(
        np.asarray(Image.open(io.BytesIO(inside["region.png"]))), white > 0
    )
    assert not any(str(studio.store_path.parent).encode() in one for one in inside.values())
    found = identity(page.url)
    detector = load_detector(store.model(found))
    np.testing.assert_array_equal(detector.region_, white > 0)

    page.wait_for_function("document.querySelector('[data-test=photos]').ready")
    page.set_input_files("[data-test=files]", photos[1])
    page.wait_for_url(re.compile(f"/photos/{found}/[0-9a-f]{{12}}"))
    total = len(photos[1])
    page.wait_for_selector(
        f"[data-test=scored-photos]:has-text('{total} of {total}')", timeout=WAIT
    )
    batch = identity(page.url.partition("?")[0])
    scores = {one.name: one.score for one in store.queue(batch, "all", limit=100)}
    assert len(scores) == total
    images = read_photos(photos[1], detector).images
    ours = detector.anomaly_score(images)
    assert [scores[path.name] for path in photos[1]] == pytest.approx(ours.tolist(), rel=1e-4)
    heat = detector.anomaly_map(images)
    assert (heat[:, :, heat.shape[2] // 2 :] == 0).all()
    assert (heat > 0).any()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_use_the_pages(studio, visit, trained, scheme):
    page = visit("/", color_scheme=scheme)
    check_pages(page, studio.address, ("/photos", *trained))
    page.click("[data-test=shot-large]")
    page.wait_for_selector("[data-test=enlarged-large]")
    page.wait_for_timeout(500)  # until it is opaque
    assert grave_violations(page) == []
