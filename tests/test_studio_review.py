"""New photos while they are scored, and good photos that are taken out, in a real browser."""

import re

import numpy as np
import pytest
from PIL import Image

from axe import grave_violations
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
