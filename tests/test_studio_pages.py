"""Experiments, models and looking at an image of one's own, in a real browser."""

import csv
import io
import zipfile

import pytest
from PIL import Image
from sklearn.datasets import load_digits

from axe import grave_violations
from insphere.experiments.execution.queue import Queue
from insphere.experiments.execution.worker import Worker
from insphere.experiments.runs.spec import RunSpec
from insphere.experiments.store.run_store import Store

pytestmark = pytest.mark.slow

WAIT = 240_000
PAGES = ("/", "/photos", "/compare", "/experiments", "/models", "/look")


@pytest.fixture(scope="module")
def store(studio):
    """The studio's store with a few finished runs."""
    opened = Store(studio.store_path)
    specs = [
        RunSpec(dataset="digits-8x8", normal=(digit,), method=method, params=params)
        for digit in ("3", "4")
        for method, params in (
            ("knn", {}),
            ("deep-svdd", {"pretrain_epochs": 2, "epochs": 3, "false_alarm_rate": 0.1}),
        )
    ]
    opened.add(specs)
    with Worker(opened, save_models=True, live=True) as worker:
        for spec in specs:
            worker.run(spec)
    assert {run.state for run in opened.runs()} == {"finished"}
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def deep(store):
    return next(run for run in store.runs() if run.method == "deep-svdd")


def downloaded(page, selector):
    with page.expect_download() as waiting:
        page.click(selector)
    return waiting.value.path().read_bytes()


def test_runs_are_filtered_grouped_compared_and_taken_away(visit, store):
    page = visit("/experiments")
    page.wait_for_selector("tbody tr")
    assert page.locator("tbody tr").count() == 4
    page.fill("input[name=search]", "deep")
    page.wait_for_function("document.querySelectorAll('tbody tr').length === 2")
    page.wait_for_function("location.search.includes('search=deep')")
    page.fill("input[name=search]", "")
    page.wait_for_function("document.querySelectorAll('tbody tr').length === 4")
    page.select_option("select[name='group by']", "method")
    page.wait_for_selector("[data-test=groups]")
    assert page.locator("[data-test=groups] tr").count() == 3
    page.select_option("select[name='group by']", "")
    page.wait_for_selector("thead [role=checkbox]")
    page.click("thead [role=checkbox]")
    page.click("[data-test=compare]")
    page.wait_for_selector("[data-test=comparison] .main-svg")
    assert len(page.url.split("compare=")[1].split("&")[0].split(",")) == 4
    page.select_option("select[name=figure]", "change")
    page.wait_for_function("location.search.includes('figure=change')")
    table = downloaded(page, "a:has-text('CSV') >> nth=0").decode()
    rows = list(csv.DictReader(io.StringIO(table)))
    assert {row["run"] for row in rows} == {run.identity for run in store.runs()}
    assert downloaded(page, "text=PNG").startswith(b"\x89PNG")
    assert b"<svg" in downloaded(page, "text=HTML report")


def test_a_sweep_is_started_paused_resumed_and_cancelled(visit, store):
    page = visit("/experiments")
    page.select_option("section#sweep select[name=images]", "digits-8x8")
    page.wait_for_selector("section#sweep [data-source='digits-8x8']")
    for digit in "0123456":
        page.uncheck(f"section#sweep input[name='{digit}']")
    page.fill("section#sweep input[name=pretraining-epochs]", "1000")
    page.fill("section#sweep input[name=training-epochs]", "1000")
    page.press("section#sweep input[name=training-epochs]", "Tab")
    page.wait_for_selector("text=3 runs")
    page.click("[data-test=start-sweep]")
    state = "[data-test=sweep]"
    page.wait_for_selector(f"{state}:has-text('training')")
    page.click("button:has-text('Pause')")
    page.wait_for_selector(f"{state}:has-text('paused')")
    while store.runs(states=("running",)):
        page.wait_for_timeout(100)
    reasons = {run.reason for run in store.runs(states=("interrupted",))}
    assert reasons == {"Paused."}  # also of those that were training
    page.click("button:has-text('Resume')")
    page.wait_for_selector(f"{state}:has-text('training')")
    page.click("div.between:has([data-test=sweep]) button:has-text('Cancel')")
    page.wait_for_selector(f"{state}:has-text('stopped')")
    reasons = {run.reason for run in Store(store.path).runs(states=("interrupted",))}
    assert reasons == {"Cancelled."}
    assert Queue(store).waiting() == []


def test_a_model_scores_images_and_is_taken_away(visit, deep):
    page = visit(f"/models?model={deep.identity}")
    page.select_option(".sheet select", "digits-8x8")
    page.wait_for_selector("[data-test=scores]", timeout=WAIT)
    table = list(csv.reader(io.StringIO(downloaded(page, "text=Download all as CSV").decode())))
    assert len(table) == 897  # the images held out from training, and the heading
    page.keyboard.press("Escape")
    content = downloaded(page, f"a[href='/download/models/{deep.identity}.zip']")
    names = zipfile.ZipFile(io.BytesIO(content)).namelist()
    assert f"insphere-{deep.identity}/weights.safetensors" in names


def test_new_images_need_no_classes_to_be_scored(visit, deep, tmp_path):
    digits = load_digits()
    path = tmp_path / "arrived today.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(12):
            file = io.BytesIO()
            Image.fromarray((digits.images[number] * 15).astype("uint8")).save(file, "PNG")
            archive.writestr(f"new-{number}.png", file.getvalue())
    page = visit(f"/models?model={deep.identity}")
    page.set_input_files(".sheet input[type=file]", path)
    page.wait_for_selector("[data-test=scores]", timeout=WAIT)
    table = list(csv.reader(io.StringIO(downloaded(page, "text=Download all as CSV").decode())))
    assert sorted(row[0] for row in table[1:]) == sorted(f"new-{n}.png" for n in range(12))
    page.goto(page.url.partition("/models")[0] + "/compare")
    page.wait_for_selector("h1")
    assert page.locator("[role=radio]:has-text('arrived')").count() == 0  # nothing to choose from


def test_a_drawn_digit_and_a_dropped_file_are_judged(visit, deep, tmp_path):
    page = visit(f"/look?model={deep.identity}")
    canvas = page.locator("#drawing")
    page.wait_for_function("!!window.insphereClear")
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + 90, box["y"] + 60)
    page.mouse.down()
    for x, y in ((190, 60), (130, 130), (190, 180), (90, 220)):
        page.mouse.move(box["x"] + x, box["y"] + y, steps=4)
    page.mouse.up()
    page.wait_for_selector("[data-test=verdict]", timeout=WAIT)
    assert "score" in page.inner_text("[data-test=facts]")
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"\x89PNG no more")
    page.set_input_files("input[type=file]", bad)
    page.wait_for_selector("[role=alert]:has-text('no image, or a damaged one')")


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_fit_and_are_readable(visit, studio, deep, width, scheme):
    page = visit(PAGES[0], color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 844})
    for path in (*PAGES, f"/runs/{deep.identity}"):
        page.goto(studio.address + path)
        page.wait_for_selector("h1")
        page.wait_for_function(
            "dark => document.body.classList.contains('body--dark') === dark", arg=scheme == "dark"
        )
        wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0, f"{path} is {wide} pixels too wide"
        assert page.evaluate(UNNAMED) == []
        if (width == 390) == (scheme == "light"):
            assert grave_violations(page) == [], path
        assert page.evaluate(CONTRAST) > 4.5


def test_the_keyboard_reaches_and_chooses(visit):
    page = visit("/compare?dataset=digits-8x8&pretrain=1")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.innerText") == "Skip to content"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    reached = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.closest('[role=radiogroup]')?.ariaLabel"))
        if page.evaluate("document.activeElement.dataset.test") == "train":
            break
    else:
        raise AssertionError("Tab does not reach the button")
    assert {"Images", "Normal class", "Method", "Recipe", "Threshold"} <= reached
    page.focus("[role=radio][aria-label='3']")
    page.keyboard.press("ArrowRight")
    page.wait_for_function("location.search.includes('normal=4')")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "4"
    page.keyboard.press("Shift+Tab")
    page.focus("input[name=residual]")
    page.keyboard.press("Space")
    page.wait_for_function("location.search.includes('options=residual')")
    page.fill("input[name=training-epochs]", "7")
    page.keyboard.press("Tab")
    page.wait_for_function("location.search.includes('epochs=7')")
    page.check("input[name=zca]")
    page.wait_for_function("location.search.includes('zca')")
    assert page.input_value("input[name=training-epochs]") == "7"
    page.focus("[data-test=train]")
    page.keyboard.press("Enter")
    page.wait_for_url("**/runs/*")


def test_unknown_addresses_are_told_kindly(visit):
    page = visit("/runs/000000000000")
    assert "no such run" in page.inner_text("h1")
    page = visit("/compare?dataset=nowhere&normal=x&epochs=-1&seed=a&options=b&method=c")
    page.wait_for_selector("[role=alert]:has-text('no images called')")
    page.wait_for_selector("[data-test=train]")


# Controls without a name that a screen reader could say.
UNNAMED = """() => [...document.querySelectorAll('button, a[href], input, select')].filter((e) =>
  e.offsetParent && e.checkVisibility() && !(e.innerText || '').trim()
  && !e.getAttribute('aria-label') && !e.labels?.length
  && !e.title && !e.closest('.q-uploader, .q-table__bottom, label')
).map((e) => e.outerHTML.slice(0, 120))"""

# Contrast of the quieter text against the background, as WCAG defines it.
CONTRAST = """() => {
  const parse = (text) => text.match(/[\\d.]+/g).slice(0, 3).map(Number);
  const light = (rgb) => rgb.map((v) => v / 255).map((v) =>
    v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4
  ).reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const text = light(parse(getComputedStyle(document.querySelector('.lead, .muted, small')).color));
  const back = light(parse(getComputedStyle(document.body).backgroundColor));
  return (Math.max(text, back) + 0.05) / (Math.min(text, back) + 0.05);
}"""
