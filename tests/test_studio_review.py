"""The queue of new photos while they are still being scored, in a real browser."""

import numpy as np
import pytest
from PIL import Image

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
