"""Known anomalies in settings, sweeps, the command line and forms: used as given, or refused."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import numpy as np
import pytest
from fuzzing import ODD, ODD_TEXT, Drawn, altered, check_sentence, folder_contents, tries
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image
from test_fuzz_cli import run

from insphere.detectors.registry import parameters_of
from insphere.errors import DataError, InsphereError
from insphere.experiments.runs.display_names import in_words
from insphere.experiments.runs.spec import RunSpec
from insphere.experiments.runs.sweep_file import make_sweep
from insphere.workflows.fit_config import make_config
from insphere.workflows.known_anomalies import draw_anomalies

LEARNERS = ("deep-sad", "hsc", "fcdd-labelled")
CLASSES = {"classes": ["5", 6], "share": 0.1}
SOURCE = {"source": "mnist-5k", "share": 0.1}
VALUES = altered(CLASSES) | altered(SOURCE) | ODD | st.sampled_from([CLASSES, SOURCE])
SHARES = st.floats(0, 1, exclude_min=True, exclude_max=True)


# ---------------------------------------------------------------------- sweeps and runs


@tries(100)
@given(anomalies=VALUES, method=st.sampled_from([*LEARNERS, "knn"]))
@example(anomalies={"classes": ["5"], "share": "0.1"}, method="deep-sad")
@example(anomalies={"classes": [None], "share": 0.1}, method="deep-sad")
@example(anomalies={"classes": ["no digit"], "share": 0.1}, method="deep-sad")
@example(anomalies={"a\nb": 1}, method="deep-sad")
def test_anomalies_of_a_sweep_are_those_of_its_runs_or_are_refused(anomalies, method):
    part = {"method": method, "params": {"anomalies": anomalies}}
    content = {"name": "a", "datasets": "digits-8x8", "normal": ["3", "4"], "methods": [part]}
    try:
        sweep = make_sweep(content)
        sweep.check()
    except InsphereError as error:
        check_sentence(str(error), 600)
        return
    for planned in sweep.runs():
        spec, known = planned.spec, planned.spec.known_anomalies
        again = RunSpec(**json.loads(spec.model_dump_json()))
        assert (again, again.identity) == (spec, spec.identity)
        if known is None:
            assert anomalies is None
            continue
        assert in_words(spec.params).startswith("shown ")
        assert known.model_dump(exclude_none=True) == spec.params["anomalies"]
        assert set(known.classes or ()) <= set("0126789" + "5")


@tries(200)
@given(n=st.integers(0, 300), n_normal=st.integers(1, 10**5), share=SHARES, seed=st.integers(0, 9))
@example(n=1, n_normal=6000, share=0.001, seed=0)
@example(n=0, n_normal=1, share=0.5, seed=0)
def test_as_many_are_drawn_as_make_up_the_share(n, n_normal, share, seed):
    try:
        drawn = draw_anomalies(n, n_normal, share, seed, "a has b")
    except DataError as error:
        check_sentence(str(error))
        if n:  # what is called possible is
            possible = float(str(error).split("at most ")[1].split(" is")[0])
            assert 0 < possible < share
            assert 0 < len(draw_anomalies(n, n_normal, possible, seed, "a has b")) <= n
        return
    assert len(drawn) == max(1, round(n_normal * share / (1 - share)))
    assert np.all(np.diff(drawn) > 0)
    assert drawn[0] >= 0
    assert drawn[-1] < n


# ---------------------------------------------------------------------- one fit

PLACES = (
    "others", "reviews.csv", "others/0.png", "good", "missing.csv", "no-reviews.csv", "empty",
    "none", "text.txt", "pipe", "loop", "x" * 300, "a\0b", "~", "~nobody/x", "/dev/null/x", "",
    "digits-8x8", "breast-cancer", "-", "\x1b[2J",
)  # fmt: skip
N_OF = {"others": 5, "reviews.csv": 2, "others/0.png": 1, "digits-8x8": 1797}
SHARE_TEXTS = SHARES.map(str) | st.sampled_from(["0.2", "0", "1", "-1", "nan", "inf", "x", "1e-9"])


def save(folder: Path, images: Any) -> None:
    folder.mkdir()
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{number}.png")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder with good images, other images, and odd things."""
    place = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    save(place / "good", rng.integers(0, 255, (12, 6, 6), np.uint8))
    save(place / "others", rng.integers(0, 255, (5, 9, 7, 3), np.uint8))
    (place / "empty").mkdir()
    rows = "path,review\nothers/1.png,anomalous\ngood/2.png,good\nothers/3.png,defect\n"
    (place / "reviews.csv").write_text(rows)
    (place / "missing.csv").write_text("path,review\nnone.png,anomalous\n")
    (place / "no-reviews.csv").write_text("path,review\ngood/2.png,good\n")
    (place / "text.txt").write_text("hello\n")
    (place / "loop").symlink_to("loop")
    os.mkfifo(place / "pipe")
    return place


@tries(12)
@given(
    source=st.sampled_from(PLACES),
    share=st.none() | SHARE_TEXTS,
    method=st.sampled_from([None, *LEARNERS, "knn", "auto"]),
)
@example(source="others", share=None, method=None)
@example(source="reviews.csv", share="0.1", method="deep-sad")
@example(source="others", share="0.999", method="hsc")
@example(source="others", share=None, method="auto")
def test_a_fit_is_shown_as_many_anomalies_as_asked_or_says_why_not(source, share, method, photos):
    line = ["fit", str(photos / "good"), "--anomalies", source, "--out", "out", "--json"]
    line += ["--no-golden", "--quiet"]
    line += [] if share is None else ["--anomaly-share", share]
    line += [] if method is None else ["--method", method]
    has = set() if method == "auto" else parameters_of(method or "deep-sad")
    line += ["--epochs", "1"] if "epochs" in has else []
    line += ["--pretrain-epochs", "0"] if "pretrain_epochs" in has else []
    here = Path.cwd()
    os.chdir(photos)
    before = folder_contents(photos)
    code, out, err = run(line)
    shutil.rmtree("out", ignore_errors=True)
    os.chdir(here)
    assert "Traceback" not in out + err
    if code:
        assert code == 2, err
        last = err.rstrip("\n").splitlines()[-1]
        assert last.startswith("Error: "), err
        check_sentence(last.removeprefix("Error: "), sum(map(len, line)))
        assert folder_contents(photos) == before
        return
    found = json.loads(out)
    n = N_OF[source]
    asked = n if share is None else max(1, round(12 * float(share) / (1 - float(share))))
    assert found["n_anomalies"] == asked <= n
    assert found["n_train"] == 12 + asked
    settings, _ = make_config(found["settings"])
    assert settings.settings() == found["settings"]


# ---------------------------------------------------------------------- forms of the studio

DIGITS = st.lists(st.sampled_from("0123456789"), max_size=4)
LISTS = DIGITS.map(json.dumps) | st.sampled_from(
    ["", "5", '"5"', "[5]", "[[", "{}", "null", '["5", "5"]', '["5", 6, null]', '["x\\n"]',
     '["\\ud800"]', "[" * 9999, '["' + "x" * 20_000 + '"]', json.dumps(list("0123456789"))]
)  # fmt: skip
OTHERS = st.sampled_from(["textures", "mnist-5k", "digits-8x8", "/etc", "none", "\0", "x" * 5000])
ADDRESS = st.fixed_dictionaries(
    {},
    optional={
        "normal": st.sampled_from(["3", "5", "x", "", "\ud800"]),
        "also": LISTS,
        "models": st.sampled_from(["each", "all", "", "x"]),
        "known": LISTS,
        "others": OTHERS,
        "share": SHARE_TEXTS | st.sampled_from(["0.01", "0.05", "0.1", "0.2", "all", "0.10"]),
        "method": st.sampled_from([*LEARNERS, "knn", "deep-svdd", "x"]),
        "objective": st.sampled_from(["soft-boundary", "x"]),
        "recipe": st.sampled_from(["best", "paper", "x"]),
        "threshold": st.sampled_from(["training", "x"]),
        "head": st.sampled_from(["centers", "x"]),
        "epochs": st.sampled_from(["3", "0", "x"]),
        "seed": st.sampled_from(["7", "-1"]),
    },
)


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    pytest.importorskip("nicegui", reason='The studio needs pip install "insphere[studio]".')
    from insphere.studio.app_state import Studio

    place = tmp_path_factory.mktemp("studio")
    (place / "data").mkdir()
    images = np.random.default_rng(0).integers(0, 255, (6, 9, 9), np.uint8)
    save(place / "data" / "textures", images)
    found = Studio(place / "runs.sqlite", place / "data", workers=1, threads=1)
    counted: dict[Any, Any] = {}

    async def here(function: Any, *args: Any) -> Any:
        """Call without a helper process, and once for each source."""
        if args not in counted:
            counted[args] = function(*args)
        return counted[args]

    found.ask = here  # type: ignore[method-assign]
    yield found
    found.store.close()


def awaited(coroutine: Any) -> Any:
    """Return the outcome; in a thread, because tests in a browser leave a loop in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()


async def form_at(studio: Any, given: dict[str, str], dataset: str = "digits-8x8") -> Any:
    from insphere.studio.form_state import FormState

    form = FormState(studio, given)
    await form.take(dataset)
    await form.known.look(studio, form.source.dataset)
    return form


def query(address: str) -> dict[str, str]:
    found = dict(parse_qsl(address.partition("?")[2]))
    found.pop("dataset", None)
    return found


@tries(50)
@given(given=ADDRESS)
@example(given={"known": '["5", "5", "x"]', "method": "deep-sad"})
@example(given={"also": '["7", "7", "5"]'})
@example(given={"known": '["7", "5"]', "method": "hsc", "share": "0.2"})
@example(given={"others": "digits-8x8", "method": "deep-sad"})
@example(given={"others": "textures", "method": "deep-sad", "share": "all"})
def test_an_address_makes_a_form_and_the_form_makes_it_again(given, studio):
    from insphere.studio.form_state import address_of
    from insphere.studio.image_sources import source_key

    if given.get("others") == "textures":
        given = given | {"others": source_key(str(studio.sources.folder / "textures"))}
    form = awaited(form_at(studio, given))
    address = form.address()
    assert len(set(form.also)) == len(form.also)
    assert not {form.normal, *form.also} & set(form.known.classes)
    assert form.known.others is None or form.known.others.dataset != form.source.dataset
    again = awaited(form_at(studio, query(address)))
    assert again.address() == address
    try:
        choice = form.choice()
    except InsphereError as error:
        said = str(error)
        check_sentence(said)
        with pytest.raises(InsphereError, match=re.escape(said)):
            again.choice()
        return
    assert again.choice() == choice
    spec = choice.spec()
    spec.detector()
    from_run = awaited(form_at(studio, query(address_of(form.source, spec))))
    assert from_run.choice().spec() == spec
    for one in choice.specs():
        one.detector()


@st.composite
def forms(draw: Drawn) -> dict[str, Any]:
    """Draw what a visitor selects in the form of a small sweep."""
    return {
        "classes": set(draw(DIGITS)),
        "methods": set(draw(st.lists(st.sampled_from([*LEARNERS, "knn", "deep-svdd", "kde"])))),
        "options": set(draw(st.lists(st.sampled_from(["zca", "residual"])))),
        "together": draw(st.booleans()),
        "by_class": draw(st.booleans()),
        "seeds": draw(st.integers(1, 3)),
        "epochs": draw(st.sampled_from([None, 1])),
        "known": draw(DIGITS),
        "others": draw(st.sampled_from(["", "", "textures", "mnist-5k", "digits-8x8"])),
        "share": draw(SHARE_TEXTS | st.sampled_from(["0.1", "all"]) | ODD_TEXT),
    }


@tries(30)
@given(chosen=forms())
@example(
    chosen={"classes": {"3", "5"}, "methods": {"hsc", "knn"}, "known": ["7", "5"], "share": "0.1"}
)
@example(chosen={"classes": {"3"}, "methods": {"deep-sad"}, "known": ["3"]})
@example(chosen={"classes": {"3"}, "methods": {"deep-sad"}, "known": []})
def test_a_small_sweep_has_as_many_runs_as_it_says_each_with_these_anomalies(chosen, studio):
    from insphere.studio.new_sweep import Form

    form = Form(studio, lambda: None)
    form.source = studio.sources.get("digits-8x8")
    for name in chosen.keys() - {"known", "others", "share"}:
        setattr(form, name, chosen[name])
    if chosen.get("others"):
        sources = studio.sources.others()
        form.known.take_others(next(one for one in sources if chosen["others"] in one.dataset))
        awaited(form.known.look(studio, form.source.dataset))
    else:
        form.known.take_classes(sorted(set(chosen["known"])))
    form.known.fit_to(form.source.dataset, "0123456789")
    form.known.take_share(chosen.get("share", ""))
    if not form.known:
        form.methods -= set(LEARNERS)
    count = form.n_runs()
    try:
        form.check()
    except InsphereError as error:
        check_sentence(str(error))
        return
    if not count:
        return
    sweep = make_sweep(form.content())
    sweep.check()
    runs = sweep.runs()
    assert len(runs) == count
    for one in runs:
        assert (one.spec.known_anomalies is not None) == (one.spec.method in LEARNERS)
