"""New photos while they are scored, good photos that are taken out, kinds of parts and defects."""

import csv
import io
import re
import zipfile

import numpy as np
import pytest
from PIL import Image

from axe import check_pages, grave_violations
from insphere.experiments.execution.inspection_worker import do
from insphere.experiments.store.inspection_models import Inspection
from insphere.experiments.store.inspections import Inspections
from insphere.experiments.store.run_store import Store

pytest.importorskip("nicegui", reason="The studio needs the extra studio.")

ADD = "(content) => document.querySelector('.page').insertAdjacentHTML('beforeend', content)"
FACTS = {
    "n_photos": 60, "n_calibration": 19, "score_seconds": 0.01, "scale": None,
    "promise": {"kind": "promise", "rate": 0.05},
}  # fmt: skip


class Scoring:
    """A batch whose photos the test scores, in place of the process that does."""

    def __init__(self, inspections, folder, n):
        self.inspections = inspections
        for name in ("good", "new"):
            (folder / name).mkdir()
        names = [(f"{number}.png", f"{number}.png") for number in range(n)]
        for number, (file, _) in enumerate(names):
            pixels = np.full((40, 60), 20 * number, np.uint8)
            Image.fromarray(pixels).save(folder / "new" / file)
        found = inspections.add("Parts", {}, folder / "good")
        inspections.finish(found.identity, FACTS)
        self.batch = inspections.add_batch(found.identity, "New", folder / "new", names).identity
        assert inspections.take("score") == self.batch
        self.address = f"/photos/{found.identity}/{self.batch}"
        self.keys = [photo.key for photo in inspections.to_do(self.batch, n)]

    def score(self, number, score):
        values = {"score": score, "alarm": True, "p_value": 0.05, "severity": 1.3}
        self.inspections.record([(self.keys[number], values)])

    def review(self, number):
        return self.inspections.photo(self.keys[number]).review


@pytest.fixture
def scoring(studio, tmp_path):
    store = Store(studio.store_path)
    inspections = Inspections(store)
    with inspections.job_lock("score"):
        yield Scoring(inspections, tmp_path, 6)
        inspections.finish_batch(inspections.take("score") or "0" * 12)
    store.close()


def shows(page, number):
    page.wait_for_selector(f"[data-test=photo-name]:text-is('{number}.png')", timeout=20_000)


def test_photos_that_are_scored_meanwhile_change_no_place(visit, scoring):
    for number, score in enumerate((5.0, 3.0, 1.0)):
        scoring.score(number, score)
    page = visit(scoring.address)
    page.wait_for_selector("[data-keys=heard]")
    shows(page, 0)
    page.keyboard.press("ArrowRight")
    shows(page, 1)
    scoring.score(3, 9.0)
    page.wait_for_selector("[role=radio]:has-text('Alarms 4')")
    shows(page, 1)  # what is looked at stays
    page.keyboard.press("ArrowRight")
    shows(page, 2)  # the next one, though a stranger one has come before all of them
    page.keyboard.press("ArrowLeft")
    shows(page, 1)
    scoring.score(4, 8.0)
    page.wait_for_selector("[role=radio]:has-text('Alarms 5')")
    page.keyboard.press("f")
    shows(page, 2)
    assert [scoring.review(number) for number in (0, 1, 2)] == [None, "normal", None]


def test_what_cannot_be_chosen_can_be_read(visit):
    page = visit("/compare")
    page.evaluate(
        ADD, "<button class=choice disabled>-</button><button class=btn disabled>-</button>"
    )
    for selector in (".choice[disabled]", ".btn[disabled]"):
        shown = page.locator(f"{selector} >> nth=-1")
        assert shown.evaluate("(e) => getComputedStyle(e).opacity") == "1"


@pytest.fixture(scope="module")
def threes(studio, tmp_path_factory, digits):
    """The store, and a detector of threes among which is a zero."""
    images, labels = digits
    folder = tmp_path_factory.mktemp("digits") / "good"
    folder.mkdir()
    large = np.kron(images[..., 0], np.ones((3, 3), np.uint8))
    for number, pixels in enumerate(large[labels == 3][:40]):
        Image.fromarray(pixels).save(folder / f"three-{number}.png")
    Image.fromarray(large[labels == 0][0]).save(folder / "zero.png")
    store = Store(studio.store_path)
    inspections = Inspections(store)
    with inspections.job_lock("train"):
        plan = {"rate": 0.1, "method": "knn"}
        found = inspections.add("Threes", {"plan": plan}, folder)
        assert inspections.take("train") == found.identity
        do(inspections, "train", found.identity)
    yield inspections, inspections.need(found.identity)
    store.close()


def test_the_least_normal_of_the_good_photos_are_shown_and_can_be_taken_out(visit, threes):
    inspections, before = threes
    assert before.state == "finished", before.reason
    page = visit(f"/photos/{before.identity}")
    shown = page.locator(".suspects li")
    assert shown.count() == 10
    assert "zero.png" in shown.first.inner_text()
    assert "would raise an alarm" in shown.first.inner_text()
    said = page.inner_text("[data-test=suspects]")
    assert "The 10 of the normal training photos that look least normal" in said
    assert "Scores do not tell how many are wrong." in said
    page.evaluate("document.querySelectorAll('.suspects img').forEach((i) => i.loading = 'eager')")
    page.wait_for_function(
        "[...document.querySelectorAll('.suspects img')].every((i) => i.complete && i.width > 20)"
    )
    assert shown.first.locator("img").count() == 2  # the photo and its map
    assert page.locator("[data-test=train-without]").count() == 0
    page.focus(".suspects input >> nth=0")
    page.keyboard.press("Space")
    page.wait_for_selector("[data-test=would-take-out]:has-text('the other 40 photos')")
    page.click("[data-test=train-without]")
    page.wait_for_url(
        lambda url: re.search("/photos/[0-9a-f]{12}$", url) and before.identity not in url
    )
    assert "without 1 photo that a person took out: zero.png" in page.inner_text(".lead")
    page.wait_for_selector("[data-state=finished]")
    after = inspections.need(page.url[-12:])
    assert (before.result["n_photos"], after.result["n_photos"]) == (41, 40)
    assert "zero.png" not in [one["file"] for one in after.result["suspects"]]
    assert [path.name for path in inspections.folder(after.identity).glob("taken-out/*")] == [
        "zero.png"
    ]
    assert (inspections.photos(before.identity) / "zero.png").is_file()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_take_a_photo_out(visit, threes, scheme):
    page = visit(f"/photos/{threes[1].identity}", color_scheme=scheme)
    page.check(".suspects input >> nth=0")
    page.wait_for_selector("[data-test=train-without]")
    for width in (390, 1280):
        page.set_viewport_size({"width": width, "height": 844})
        page.wait_for_timeout(300)
        wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0, f"{wide} pixels too wide"
        assert grave_violations(page) == []


def test_a_detector_of_an_earlier_version_still_opens(visit, threes):
    inspections, found = threes
    later = ("suspects", "defects", "groups", "kinds")
    facts = {name: value for name, value in found.result.items() if name not in later}
    with inspections.store.writing() as session:
        session.add(
            Inspection(
                identity="0123456789ab", title="Old", settings=found.settings, parent=None,
                state="finished", result=facts, created=found.created, finished=found.finished,
            )
        )  # fmt: skip
    page = visit("/photos/0123456789ab")
    page.wait_for_selector("[data-test=expect]")
    assert page.locator("[data-test=suspects]").count() == 0


# ---------------------------------------------------------------------- several kinds, and defects


def packed(path, digits, counts):
    """Write a zip of folders with so many photos of a digit each."""
    images, labels = digits
    with zipfile.ZipFile(path, "w") as archive:
        for folder, digit, count, first in counts:
            for number, image in enumerate(images[labels == digit][first : first + count]):
                file = io.BytesIO()
                pixels = np.kron(image[..., 0], np.ones((3, 3), np.uint8))
                Image.fromarray(pixels).save(file, "PNG")
                archive.writestr(f"parts/{folder}/{number:02}.png", file.getvalue())
    return path


def send(page, selector, path):
    field = selector.replace("files", "photos")
    page.wait_for_function(f"document.querySelector('[data-test={field}]').ready")
    page.set_input_files(f"[data-test={selector}]", path)


@pytest.fixture(scope="module")
def kinds(studio, chromium, digits, tmp_path_factory):
    """The addresses of a detector of two kinds of parts, and of new photos, made as a person."""
    folder = tmp_path_factory.mktemp("kinds")
    good = [("three", 3, 40, 0), ("zero", 0, 40, 0), ("scrap", 8, 9, 0)]
    new = [("a", 3, 4, 60), ("b", 0, 4, 60), ("c", 8, 4, 60)]
    page = chromium.new_page()
    page.set_default_timeout(300_000)
    page.goto(f"{studio.address}/photos")
    send(page, "files", packed(folder / "good.zip", digits, good))
    page.wait_for_selector("[data-test=take-folder]")
    ticks = "[aria-label='Folders of good parts'] [role=checkbox]"
    marked = {
        one.inner_text().split("\n")[0]: one.get_attribute("aria-checked")
        for one in page.locator(ticks).all()
    }
    assert set(marked) == {"parts/scrap", "parts/three", "parts/zero"}
    for name in ("three", "zero"):
        if marked[f"parts/{name}"] == "false":
            page.focus(f"{ticks}:has-text('{name}')")
            page.keyboard.press("Space")
            page.wait_for_selector(f"{ticks}[aria-checked=true]:has-text('{name}')")
    if marked["parts/scrap"] == "true":
        page.click(f"{ticks}:has-text('scrap')")
    page.click("[data-test=take-folder]:has-text('these folders')")
    page.wait_for_selector("[data-test=n-photos]:has-text('80 grey photos')")
    page.click("[role=radio]:has-text('Each is a kind of its own')")
    page.check("input[name=by-folder]")
    page.click("[aria-label='Bearable false alarms'] [role=radio]:has(b:text-is('1 in 10'))")
    page.click("[data-test=train-photos]")
    page.wait_for_url(re.compile("/photos/[0-9a-f]{12}$"))
    page.wait_for_selector("[data-state=finished], [data-state=failed]")
    detector = page.url[len(studio.address) :]
    send(page, "files", packed(folder / "new.zip", digits, new))
    page.wait_for_url(re.compile("/photos/[0-9a-f]{12}/[0-9a-f]{12}"))
    page.wait_for_selector("[data-test=scored-photos]:has-text('12 of 12')")
    batch = page.url[len(studio.address) :].partition("?")[0]
    page.close()
    return detector, batch


def test_several_folders_are_kinds_with_spheres_of_their_own(visit, kinds):
    page = visit(kinds[0])
    expected = page.inner_text("[data-test=expect]")
    assert "It knows 2 kinds of parts: three (40), zero (40)" in expected
    rows = page.locator("[data-test=groups] tbody tr")
    cells = [row.inner_text().split() for row in rows.all()]
    assert sorted(row[0] for row in cells) == ["three", "zero"]
    assert sum(int(row[3]) for row in cells) == 16  # a fifth of the photos
    page.click("summary:has-text('command line')")
    assert "in the folders three, zero" in page.inner_text(".page details")


def test_each_photo_is_called_by_its_nearest_kind(visit, kinds):
    page = visit(f"{kinds[1]}?show=all")
    page.wait_for_selector("[data-test=kind]:has-text('Nearest kind')")
    with page.expect_download() as waiting:
        page.click("a:has-text('Table')")
    rows = list(csv.DictReader(io.StringIO(waiting.value.path().read_text())))
    assert len(rows) == 12
    for row in rows:
        if "/c/" not in row["path"]:
            assert row["class"] == ("three" if "/a/" in row["path"] else "zero")
    with page.expect_download() as waiting:
        page.click("a:has-text('Report')")
    if any(row["verdict"] == "anomalous" for row in rows):
        assert "nearest to" in waiting.value.path().read_text()


def test_photos_of_defects_are_asked_for_and_it_is_said_what_was_done(visit, digits, tmp_path):
    page = visit("/photos")
    assert not page.is_visible("[data-test=defect-photos]")
    send(page, "files", packed(tmp_path / "good.zip", digits, [("good", 3, 40, 0)]))
    page.wait_for_selector("[data-test=train-photos]")
    page.wait_for_selector("[data-test=defect-photos]")
    radio = "[aria-label=Training] [role=radio]"
    assert "Quick" in page.inner_text(f"{radio}[aria-checked=true]")
    send(page, "defect-files", packed(tmp_path / "bad.zip", digits, [("bad", 8, 9, 0)]))
    page.wait_for_selector("[data-test=n-defects]:has-text('9 photos of defects')")
    page.wait_for_selector(f"{radio}:has-text('made small for it')")
    assert "Quick" in page.inner_text(f"{radio}[aria-checked=true]")
    page.click(f"{radio}:has-text('Deep SAD')")
    page.wait_for_selector(f"{radio}[aria-checked=true]:has-text('Deep SAD')")
    page.click("[data-test=no-defects]")
    page.wait_for_selector(f"{radio}[aria-checked=true]:has-text('Quick')")
    assert page.locator(f"{radio}:has-text('Learn from the defects')").count() == 0
    send(page, "defect-files", tmp_path / "bad.zip")
    page.wait_for_selector("[data-test=n-defects]:has-text('9 photos of defects')")
    page.wait_for_selector(f"{radio}:has-text('Deep SAD'):has-text('; about')")  # measured
    for width in (390, 1280):
        page.set_viewport_size({"width": width, "height": 844})
        page.wait_for_timeout(300)
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        assert grave_violations(page) == []
    page.click("[aria-label='Bearable false alarms'] [role=radio]:has(b:text-is('1 in 10'))")
    assert "Quick" in page.inner_text(f"{radio}[aria-checked=true]")
    page.click("[data-test=train-photos]")
    page.wait_for_url(re.compile("/photos/[0-9a-f]{12}$"))
    page.wait_for_selector("[data-state=finished]", timeout=300_000)
    expected = page.inner_text("[data-test=expect]")
    assert re.search(r"\d of your 9 photos of defects raise an alarm", expected)
    assert "None of them was trained on" in expected
    assert "trained on 31 photos, 9 kept out" in page.inner_text(".page")  # the 40 good ones


@pytest.mark.slow
def test_a_method_that_learns_from_defects_says_what_that_means(studio, visit, digits, tmp_path):
    page = visit("/photos")
    send(page, "files", packed(tmp_path / "good.zip", digits, [("good", 3, 40, 0)]))
    page.wait_for_selector("[data-test=defect-photos]")
    send(page, "defect-files", packed(tmp_path / "bad.zip", digits, [("bad", 8, 9, 0)]))
    page.click("[aria-label=Training] [role=radio]:has-text('Deep SAD')")
    page.wait_for_selector("[aria-label=Training] [aria-checked=true]:has-text('Deep SAD')")
    page.click("[aria-label='Bearable false alarms'] [role=radio]:has(b:text-is('1 in 10'))")
    page.click("[data-test=train-photos]")
    page.wait_for_url(re.compile("/photos/[0-9a-f]{12}$"))
    page.wait_for_selector("[data-state=finished]", timeout=300_000)
    expected = page.inner_text("[data-test=expect]")
    assert "It has learned from 9 photos of defects" in expected
    assert "does not say how many new ones are found" in expected
    page.click("summary:has-text('command line')")
    assert "those of defects in photos/defects" in page.inner_text(".page details")
    store = Store(studio.store_path)
    settings = (Inspections(store).folder(page.url[-12:]) / "fit.yaml").read_text()
    store.close()
    assert "method: deep-sad" in settings
    assert "anomalies: photos/defects" in settings


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_use_the_pages_of_kinds(studio, visit, kinds, scheme):
    page = visit("/", color_scheme=scheme)
    check_pages(page, studio.address, kinds)
