"""What a visitor of the studio chooses as known anomalies, and the small sweep that shows them."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from insphere.errors import DataError, InsphereError, SpecError
from insphere.experiments.runs.sweep_file import make_sweep
from insphere.studio.app_state import Studio
from insphere.studio.form_state import FormState, address_of
from insphere.studio.image_sources import Sources, source_key
from insphere.studio.known_choice import KnownChoice, count_others, read_known
from insphere.studio.new_sweep import Form
from insphere.studio.uploads import keep_others
from insphere.workflows.known_anomalies import KnownAnomalies


def awaited(coroutine):
    """Return the outcome; in a thread, because tests in a browser leave a loop in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()


@pytest.fixture
def data(tmp_path):
    """A data folder with a folder of images of other things."""
    folder = tmp_path / "data" / "textures"
    folder.mkdir(parents=True)
    for number in range(6):
        Image.fromarray(np.full((9, 9), 40 * number, np.uint8)).save(folder / f"{number}.png")
    return folder.parent


@pytest.fixture
def studio(tmp_path, data):
    found = Studio(tmp_path / "runs.sqlite", data, workers=1, threads=1)

    async def here(function, *args):
        return function(*args)

    found.ask = here  # without a helper process
    yield found
    found.store.close()


def test_other_images_are_those_that_are_offered_and_those_that_were_brought(tmp_path, data):
    sources = Sources(data, tmp_path / "brought")
    photos = tmp_path / "arriving" / "photos"
    photos.mkdir(parents=True)
    with pytest.raises(DataError, match="There is no image among these files"):
        keep_others(photos, sources.uploads, "../../etc/pass wd")
    (photos / "a.png").write_bytes(b"")
    kept = keep_others(photos, sources.uploads, "../../etc/pass wd")
    assert kept.parent == sources.uploads / "others"
    assert kept.name.startswith("pass-wd-")
    assert not photos.exists()
    others = {one.dataset for one in sources.others()}
    assert others - {one.dataset for one in sources.all()} == {str(kept)}
    assert sources.other(source_key(str(kept))).dataset == str(kept)
    assert source_key("mnist-5k") == "mnist-5k"
    with pytest.raises(DataError, match="no images called"):
        sources.get(source_key(str(kept)))  # nothing to train on
    with pytest.raises(DataError, match="no images called"):
        sources.other("/etc")


def test_an_address_says_the_choice_and_nothing_that_is_not_offered(studio, data):
    key = source_key(str(data / "textures"))
    for given, expected in (
        ({"others": key, "share": "all"}, (key, None)),
        ({"others": key, "share": "0.2"}, (key, 0.2)),
        ({"others": "/etc", "share": "all"}, (None, 0.05)),
        ({"known": '["5"]', "share": "all"}, (None, 0.05)),
        ({"known": "[[[", "share": "7"}, (None, 0.05)),
    ):
        found = read_known(given, studio.sources)
        assert (None if found.others is None else found.others.key, found.share) == expected
        again = read_known(found.in_address(), studio.sources)
        assert (again.classes, again.others, again.share) == (
            found.classes, found.others, found.share
        )  # fmt: skip


def test_a_run_leads_back_to_the_form_that_it_came_from(studio, data):
    async def chosen():
        key = source_key(str(data / "textures"))
        given = {"normal": "3", "method": "deep-sad", "others": key, "share": "all"}
        form = FormState(studio, given)
        await form.take("digits-8x8")
        with pytest.raises(SpecError, match="still being read"):
            form.choice()
        await form.known.look(studio, form.source.dataset)
        return form

    form = awaited(chosen())
    assert form.known.n_others == 6
    spec = form.choice().spec()
    assert spec.known_anomalies == KnownAnomalies(source=str(data / "textures"))
    assert address_of(form.source, spec) == form.address()
    form.known.share = 0.1
    with pytest.raises(DataError, match=r"textures has 6 images, of the 10 that a share of 0.1"):
        form.choice()
    form.method = "knn"  # learns from none, so nothing has to be there
    assert "anomalies" not in form.choice().spec().params


def test_what_cannot_be_read_is_the_problem_of_the_form(studio, data):
    (data / "textures" / "bad.png").write_bytes(b"no image")
    known = KnownChoice()
    known.take_others(studio.sources.other(str(data / "textures")))
    awaited(known.look(studio, "digits-8x8"))
    with pytest.raises(DataError, match="The anomalies cannot be read: 1 of 7 images"):
        known.check()
    known.take_classes(["5"])
    known.check()
    assert known.others is None
    with pytest.raises(InsphereError, match="holds no images"):
        count_others("mnist-5k", "breast-cancer")


def columns(form):
    sweep = make_sweep(form.content())
    sweep.check()
    return [(run.spec.method, run.spec.normal, run.spec.params) for run in sweep.runs()]


@pytest.fixture
def form(studio):
    found = Form(studio, lambda: None)
    found.source = studio.sources.get("digits-8x8")
    found.classes, found.methods = {"3", "4"}, {"knn"}
    found.epochs = found.pretrain = 1
    return found


def test_a_small_sweep_trains_one_for_each_class_beside_one_for_all(form):
    form.by_class = True
    assert columns(form) == [("knn", ("3",), {}), ("knn", ("4",), {})]
    form.together = True
    form.methods = {"knn", "isolation-forest"}
    assert columns(form) == [
        ("isolation-forest", ("3", "4"), {}),
        ("knn", ("3", "4"), {}),
        ("knn", ("3", "4"), {"by_class": True}),
    ]
    form.classes = set("0123456789")
    with pytest.raises(SpecError, match="nothing is left to find"):
        form.check()


def test_a_small_sweep_shows_known_anomalies(form, studio, data):
    form.methods = {"knn", "deep-sad"}
    form.known.take_classes(["4", "5"])
    shown = {"anomalies": {"classes": ["4", "5"], "share": 0.05}, "epochs": 1, "pretrain_epochs": 1}
    assert [(m, n) for m, n, _ in columns(form)] == [
        ("deep-sad", ("3",)), ("knn", ("3",)), ("knn", ("4",))
    ]  # fmt: skip
    assert columns(form)[0][2] == shown
    assert form.content()["name"].endswith("3, 4, 1 seed, shown 5 % anomalies (4 + 5)")
    form.together = True
    with pytest.raises(SpecError, match="The class 4 is normal and cannot be a known anomaly"):
        form.check()
    form.known.take_others(studio.sources.other(str(data / "textures")))
    form.known.n_others = 6
    form.check()
    assert columns(form)[0][2]["anomalies"] == {"source": str(data / "textures"), "share": 0.05}
