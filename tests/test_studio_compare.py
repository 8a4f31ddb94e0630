"""A person's whole way through the studio, in a real browser: choose, train, compare, see why."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
import zipfile

import pytest
import yaml

from insphere.experiments.execution.queue import Queue
from insphere.experiments.store.run_record import Run
from insphere.experiments.store.run_store import Store

pytestmark = pytest.mark.slow

SHORT = "dataset=digits-8x8&pretrain=3&epochs=6"
LONG = "dataset=digits-8x8&pretrain=1000&epochs=1000"
WAIT = 240_000


def number(page, name):
    return float(page.inner_text(f"[data-test={name}]").replace("−", "-").strip("%\n "))


def identity(page):
    return re.search(r"/runs/([0-9a-f]{12})", page.url)[1]


def wait_for(condition, seconds=240):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.1)
    raise AssertionError("it did not happen in time")


def run_of(studio, page) -> Run:
    store = Store(studio.store_path)
    try:
        return store.get(identity(page))
    finally:
        store.close()


def train(page):
    page.click("[data-test=train]")
    page.wait_for_url("**/runs/*")


@pytest.fixture(scope="module")
def trained(studio, chromium):
    """A short run with two options, started by hand."""
    page = chromium.new_page()
    page.goto(f"{studio.address}/compare?{SHORT}")
    page.click("[role=radio][aria-label='3']")
    page.check("input[name=attention]")
    page.check("input[name=layer-norm]")
    page.wait_for_function("location.search.includes('options=attention%2Clayer-norm')")
    train(page)
    page.wait_for_selector("[data-test=difference]", timeout=WAIT)
    yield identity(page)
    page.close()


def test_from_nothing_to_a_comparison_that_the_command_line_confirms(
    studio, visit, trained, tmp_path
):
    page = visit(f"/runs/{trained}")
    page.wait_for_function("document.querySelectorAll('.scale').length === 4")
    own, base = number(page, "auc"), number(page, "baseline-auc")
    assert number(page, "difference") == pytest.approx(own - base, abs=0.11)
    assert "assumed +1.2" in page.inner_text("[data-test=assumed]")
    back = page.get_attribute(".crumb a", "href")
    assert "normal=3&options=attention%2Clayer-norm&pretrain=3" in back
    assert "epochs=6" in back

    page.click("summary:has-text('command line')")
    text = page.inner_text("pre.code >> nth=0")
    sweep = yaml.safe_load(text.split("# run.yaml")[1])
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(sweep), encoding="utf-8")
    code = "import sys; from insphere.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "sweep", "run", str(tmp_path / "run.yaml")]
    command += ["--store", str(tmp_path / "other.sqlite"), "--jobs", "1", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    (row,) = json.loads(done.stdout)["rows"]
    assert row["run"] == trained
    assert row["auc"] == run_of(studio, page).auc
    assert own == pytest.approx(100 * row["auc"], abs=0.051)


def test_the_threshold_moves_and_stays_in_the_address(visit, trained):
    page = visit(f"/runs/{trained}")
    slider = page.locator("[data-test=threshold] [tabindex='0']")
    before = page.inner_text("[data-test=confusion]")
    slider.focus()
    shown = "document.querySelector('[data-test=threshold-value]').innerText"
    for _ in range(12):
        value = page.inner_text("[data-test=threshold-value]")
        page.keyboard.press("ArrowLeft")
        page.wait_for_function(f"value => {shown} !== value", arg=value)
    page.wait_for_function(
        "before => document.querySelector('[data-test=confusion]').innerText !== before", arg=before
    )
    given = "new URLSearchParams(location.search).get('threshold')"
    page.wait_for_function(f"Math.abs({given} / {shown} - 1) < 0.01")
    moved, place = page.inner_text("[data-test=confusion]"), number(page, "threshold-value")
    page.reload()
    page.wait_for_selector("[data-test=confusion]")
    assert number(page, "threshold-value") == pytest.approx(place, rel=0.02)
    assert page.inner_text("[data-test=confusion]") == moved


def test_an_image_is_looked_at_closely_and_has_an_address(visit, trained):
    page = visit(f"/runs/{trained}")
    page.click(".thumb[data-image] >> nth=0")
    page.wait_for_selector("[data-test=verdict]")
    assert "Anomalous" in page.inner_text("[data-test=verdict]")
    facts = page.inner_text("[data-test=facts]")
    assert re.search(r"z-score\s", facts)
    assert re.search(r"severity\s+~?[\d.]+ (usual|unusual|suspect|severe|extreme)", facts)
    assert page.locator("[data-test=heat] img").count() == 2
    assert page.locator(".sheet .thumbs img").count() == 6
    assert "image=" in page.url
    page.reload()
    page.wait_for_selector("[data-test=verdict]")
    assert page.inner_text("[data-test=facts]") == facts
    page.keyboard.press("Escape")
    page.wait_for_function("!location.search.includes('image=')")


def test_z_scores_change_what_is_shown_and_no_auc(visit, trained):
    page = visit(f"/runs/{trained}?scores=z")
    page.wait_for_selector("text=z-scores keep the order")
    assert number(page, "auc") == number(visit(f"/runs/{trained}"), "auc")


def held(studio, page, before=None):
    """Stop the worker of a run when it has told of a further epoch, and return that epoch."""
    run = wait_for(
        lambda: (
            (found := run_of(studio, page)).progress
            and found.progress["epoch"] != before
            and found.state == "running"
            and found
        )
    )
    os.kill(worker_of(run), signal.SIGSTOP)
    return run.progress["epoch"]


def worker_of(run):
    return int(run.worker.split("-")[0])


def test_reload_second_visitor_cancel_and_continue(studio, visit):
    # The worker stands still while pages are opened, so that a short training lasts long enough.
    page = visit("/compare?dataset=digits-8x8&pretrain=500&epochs=300&normal=4")
    train(page)
    page.wait_for_selector("[data-state=running]")
    told = held(studio, page)
    worker = worker_of(run_of(studio, page))
    try:
        page.wait_for_function(
            "/epoch \\d+/.test(document.querySelector('[data-test=progress]')?.innerText)"
        )
        first = page.inner_text("[data-test=progress]")
        os.kill(worker, signal.SIGCONT)
        held(studio, page, told)
        page.wait_for_function(
            "first => document.querySelector('[data-test=progress]').innerText !== first", arg=first
        )
        page.reload()
        other, watcher = visit(f"/runs/{identity(page)}"), visit("/experiments")
        at_work = f"button[aria-label='Cancel run {identity(page)}']"
        watcher.wait_for_selector(at_work)
        for one in (page, other):
            one.wait_for_selector("[data-state=running]")
        other.click("[data-test=cancel]")
        wait_for(lambda: run_of(studio, page).stop_requested)
    finally:
        os.kill(worker, signal.SIGCONT)
    for one in (page, other):
        one.wait_for_selector("[data-state=interrupted]")
    watcher.wait_for_selector(at_work, state="detached")
    assert run_of(studio, page).reason == "Cancelled."
    assert list((studio.store_path.with_suffix("") / "checkpoints").rglob("*.safetensors"))
    for one in (other, watcher):  # drawing the training on every page takes longer than training
        one.close()
    page.click("[data-test=continue]")
    page.wait_for_selector("[data-state=running], [data-state=queued]")
    page.wait_for_selector("[data-test=auc]", timeout=WAIT)
    assert run_of(studio, page).attempts == 2


def test_two_visitors_start_at_once_and_nothing_is_started_twice(studio, visit):
    pages = [visit(f"/compare?{SHORT}&normal={digit}&method=dcae") for digit in (1, 2)]
    twin = visit(f"/compare?{SHORT}&normal=1&method=dcae")
    for page in (*pages, twin):
        page.wait_for_selector("[data-test=train]")
    for page in (*pages, twin):
        page.click("[data-test=train]")
    for page in (*pages, twin):
        page.wait_for_selector("[data-test=difference]", timeout=WAIT)
    assert identity(pages[0]) == identity(twin) != identity(pages[1])
    store = Store(studio.store_path)
    digits = [run for run in store.runs() if run.normal in (["1"], ["2"])]
    store.close()
    assert {run.attempts for run in digits if run.state == "finished"} == {1}


def test_runs_outlive_the_server_and_a_killed_worker_is_told(studio, visit):
    page = visit(f"/compare?{LONG}&normal=6&threshold=training")
    train(page)
    page.wait_for_selector("[data-state=running]")
    name = identity(page)
    page.close()
    studio.stop()
    studio.start()
    page = visit(f"/runs/{name}")
    page.wait_for_selector("[data-state=running]")
    assert run_of(studio, page).attempts == 1
    os.kill(worker_of(run_of(studio, page)), signal.SIGKILL)
    page.wait_for_selector("[data-state=interrupted]")
    assert "killed" in page.inner_text("[data-state]")
    store = Store(studio.store_path)  # the baseline, which takes as long, is of no use
    Queue(store).cancel([run.identity for run in store.runs(states=("running", "queued"))])
    store.close()


def test_what_is_no_zip_of_classes_is_refused_politely(visit, tmp_path):
    page = visit("/compare?dataset=digits-8x8")
    page.click("summary:has-text('your own')")
    bad = tmp_path / "bad.zip"
    bad.write_bytes(b"PK\x03\x04 this is no zip")
    page.set_input_files("input[type=file]", bad)
    page.wait_for_selector("[role=alert]:has-text('no zip, or a damaged one')")
    with zipfile.ZipFile(bad, "w") as archive:
        archive.writestr("a/1.png", b"no image")
        archive.writestr("b/1.png", b"no image")
    page.set_input_files("input[type=file]", bad)
    page.wait_for_selector("[role=alert]:has-text('is no image')")


def test_train_is_heard_right_after_a_choice(visit, studio):
    page = visit(f"/compare?{SHORT}&normal=3")
    page.evaluate("""() => {
        [...document.querySelectorAll("[role=radio]")]
            .find((one) => one.textContent.includes("Isolation forest")).click();
        document.querySelector("[data-test=train]").click();
    }""")
    page.wait_for_url("**/runs/*")
    assert run_of(studio, page).spec.method == "isolation-forest"


def test_several_classes_can_be_normal(visit, studio):
    page = visit(f"/compare?{SHORT}&normal=3&method=knn")
    page.click("summary:has-text('Several classes are normal')")
    further = "[aria-label='Further normal classes'] [role=checkbox]"
    assert page.locator(further).count() == 9
    page.focus(f"{further}[aria-label='5']")
    page.keyboard.press("Space")
    page.wait_for_selector("aside h2:has-text('3 + 5')")
    page.wait_for_function("location.search.includes('also=%5B%225%22%5D')")
    page.click("[aria-label='Normal class'] [aria-label='5']")  # then it is none of the others
    page.wait_for_function("!location.search.includes('also')")
    page.goto(f"{studio.address}/compare?{SHORT}&normal=3&also=%5B%225%22%2C%22x%22%5D&method=knn")
    page.wait_for_selector(f"{further}[aria-label='5'][aria-checked=true]")
    train(page)
    assert run_of(studio, page).spec.normal == ("3", "5")
    assert "trained on 3 + 5 of" in page.inner_text(".title")
    page.wait_for_selector("[data-test=auc]", timeout=WAIT)
    assert number(page, "auc") > 80
    assert "normal=3&also=%5B%225%22%5D" in page.get_attribute(".crumb a", "href")


def test_images_of_ones_own_become_a_choice(visit, tmp_path):
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    path = tmp_path / "my shapes.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for kind, level in (("defect", 200), ("good", 60)):
            for number_ in range(30):
                pixels = rng.integers(level - 40, level + 40, (12, 12), dtype=np.uint8)
                file = io.BytesIO()
                Image.fromarray(pixels).save(file, "PNG")
                archive.writestr(f"{kind}/{number_}.png", file.getvalue())
    page = visit(f"/compare?{SHORT}")  # also of the baseline
    page.click("summary:has-text('your own')")
    page.set_input_files("input[type=file]", path)
    page.wait_for_selector("[role=radio][aria-label='good']")
    page.wait_for_url("**my-shapes**")  # the address follows the choice a moment later
    assert page.get_attribute("[role=radio][aria-label='good']", "aria-checked") == "true"
    page.click("[role=radio]:has-text('Isolation forest')")
    train(page)
    page.wait_for_selector("[data-test=auc]", timeout=WAIT)
    assert number(page, "auc") > 50
