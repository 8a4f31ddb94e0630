"""What the studio lets in, keeps and gives away, without a browser."""

import asyncio
import io
import os
import subprocess
import sys
import threading
import urllib.request
import zipfile
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from PIL import Image

from insphere.cli import main
from insphere.data.load import load_dataset
from insphere.detectors import KNNDetector
from insphere.detectors.model_folder import load_detector
from insphere.detectors.pretrained.regions import read_region
from insphere.errors import DataError, InsphereError, SpecError
from insphere.experiments.analysis.run_collection import selected_runs
from insphere.experiments.execution.queue import Queue
from insphere.experiments.execution.worker import Worker
from insphere.experiments.plots.catalogue import figure_specs, figures_of
from insphere.experiments.plots.run_comparison import as_csv, as_page, groups
from insphere.experiments.runs.run_builder import RunChoice, comparable_methods, installed_methods
from insphere.experiments.runs.spec import RunSpec
from insphere.experiments.store.run_store import Store
from insphere.studio.image_sources import Source, Sources
from insphere.studio.inspect_image import inspect_image, score_all
from insphere.studio.uploads import clean_title, drawn_digit, judged_part, keep_zip
from insphere.web.uploads import Limits, one_image

pytest.importorskip("nicegui", reason='The studio needs pip install "insphere[studio]".')

from insphere.studio.downloads import packed_model
from insphere.studio.form_state import address_of
from insphere.studio.formatting import about, percent, points
from insphere.studio.method_list import by_family
from insphere.web.access import COOKIE, Guard
from insphere.web.disconnects import EndAbandonedAnswers
from insphere.web.place import find_place

TOKEN = "a-token"


def ask(guard, *, kind="http", method="GET", path="/", query="", headers=()):
    """Send one request through the guard; return status and headers, or 'close'."""
    sent = []

    async def receive():
        return {"type": "http.request", "body": b"x" * 600, "more_body": False}

    async def send(message):
        sent.append(message)

    scope = {
        "type": kind, "method": method, "path": path, "query_string": query.encode(),
        "headers": [(k.encode(), v.encode()) for k, v in headers],
    }  # fmt: skip
    with ThreadPoolExecutor(1) as pool:  # the browser's own loop may run in this thread
        pool.submit(asyncio.run, guard(scope, receive, send)).result()
    if sent[0]["type"] == "websocket.close":
        return "close", {}
    return sent[0]["status"], dict(sent[0].get("headers", []))


async def inner(scope, receive, send):
    message = await receive()
    status = 200 if message["type"] != "http.disconnect" else 499
    await send({"type": "http.response.start", "status": status, "headers": []})


def test_the_address_is_printed_only_when_it_answers(tmp_path):
    command = [sys.executable, "-m", "insphere", "studio", "--no-open", "--port", "0"]
    command += ["--store", str(tmp_path / "runs.sqlite"), "--workers", "1"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        address = line.rpartition(" ")[2].strip()
        assert urllib.request.urlopen(address, timeout=60).status == 200  # at once
    finally:
        process.terminate()
        process.wait(30)


# ---------------------------------------------------------------------- who is let in


@pytest.mark.parametrize(
    ("host", "status"),
    [("127.0.0.1:8421", 200), ("localhost:1", 200), ("[::1]:1", 200), ("evil.example", 403),
     ("", 403)],
)  # fmt: skip
def test_without_a_token_only_this_machine_is_answered(host, status):
    assert ask(Guard(inner, None, 1000), headers=[("host", host)])[0] == status


def test_other_sites_cannot_use_a_local_studio():
    guard = Guard(inner, None, 1000)
    host = ("host", "localhost:8421")
    own, other = ("origin", "http://localhost:8421"), ("origin", "http://evil.example")
    assert ask(guard, method="POST", headers=[host, own])[0] == 200
    assert ask(guard, method="POST", headers=[host, other])[0] == 403
    assert ask(guard, kind="websocket", headers=[host, other])[0] == "close"
    assert ask(guard, kind="websocket", headers=[host, own])[0] == 200


def test_a_token_opens_once_by_address_and_then_by_cookie():
    guard = Guard(inner, TOKEN, 1000)
    host = ("host", "studio.example")
    assert ask(guard, headers=[host])[0] == 401
    assert ask(guard, headers=[host], query="token=wrong")[0] == 401
    status, headers = ask(guard, headers=[host], path="/look", query=f"token={TOKEN}&model=a")
    assert status == 303
    assert headers[b"location"] == b"/look?model=a"
    cookie = headers[b"set-cookie"].decode()
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    given = ("cookie", cookie.partition(";")[0])
    assert ask(guard, headers=[host, given])[0] == 200
    assert ask(guard, kind="websocket", headers=[host, given])[0] == 200
    assert ask(guard, kind="websocket", headers=[host])[0] == "close"
    assert ask(guard, headers=[host, ("cookie", f"{COOKIE}=wrong")])[0] == 401
    assert ask(guard, headers=[host, ("cookie", f"{COOKIE}=\xe9")])[0] == 401


def test_what_is_too_large_is_refused_also_if_it_lies_about_its_size():
    host = ("host", "localhost")
    guard = Guard(inner, None, 500)
    assert ask(guard, method="POST", headers=[host, ("content-length", "501")])[0] == 413
    assert ask(guard, method="POST", headers=[host, ("content-length", "10")])[0] == 499
    assert ask(guard, method="POST", headers=[host, ("content-length", "-1")])[0] == 413


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
@pytest.mark.parametrize("patience", [0, 1, 2])
def test_a_visitor_who_leaves_before_an_answer_is_complete_is_no_error(
    tmp_path, encoding, patience
):
    """With the layers that NiceGUI puts around the studio; `patience` counts messages awaited."""
    from nicegui.middlewares import RedirectWithPrefixMiddleware, SetCacheControlMiddleware
    from starlette.middleware.gzip import GZipMiddleware
    from starlette.responses import FileResponse

    path = tmp_path / "large.js"
    path.write_bytes(b"x" * 3_000_000)

    async def visit(app):
        gone, sent = asyncio.Event(), []
        bodies = iter([{"type": "http.request", "body": b""}])
        if not patience:
            gone.set()

        async def receive():
            if (message := next(bodies, None)) is not None:
                return message
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message):
            if not gone.is_set():
                sent.append(message)
            if len(sent) == patience:
                gone.set()

        headers = [(b"accept-encoding", encoding.encode())]
        scope = {
            "type": "http", "method": "GET", "path": "/large.js", "query_string": b"",
            "headers": headers, "asgi": {"spec_version": "2.3"},
        }  # fmt: skip
        await app(scope, receive, send)
        return sent

    def ask_for_a_file(layer):
        app = layer(FileResponse(path))
        for around in (GZipMiddleware, RedirectWithPrefixMiddleware, SetCacheControlMiddleware):
            app = around(app)
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(asyncio.run, visit(app)).result()

    sent = ask_for_a_file(EndAbandonedAnswers)
    assert len(sent) == patience
    if not patience and encoding == "gzip":  # without it, whenever the file is slower

        def ask_often():
            for _ in range(200):
                ask_for_a_file(lambda app: app)

        with pytest.raises(RuntimeError, match="No response returned"):
            ask_often()


def test_a_visitor_who_stays_gets_the_whole_answer():
    whole = [
        {"type": "http.response.start", "status": 200, "headers": []},
        {"type": "http.response.body", "body": b"one", "more_body": True},
        {"type": "http.response.body", "body": b"two"},
    ]

    async def answer(scope, receive, send):
        for message in whole:
            await send(message)

    async def fails(scope, receive, send):
        await receive()
        raise ZeroDivisionError("a bug")

    sent = []

    async def keep(message):
        sent.append(message)

    async def gone():
        return {"type": "http.disconnect"}

    with ThreadPoolExecutor(1) as pool:
        layer = EndAbandonedAnswers(answer)
        pool.submit(asyncio.run, layer({"type": "http"}, gone, keep)).result()
        assert sent == whole
        with pytest.raises(ZeroDivisionError):  # a fault stays a fault
            pool.submit(
                asyncio.run, EndAbandonedAnswers(fails)({"type": "http"}, gone, keep)
            ).result()
    assert sent == whole


def test_a_token_is_made_unless_it_is_this_machine():
    assert find_place("127.0.0.1", 0).token is None
    places = [find_place("0.0.0.0", 0) for _ in range(2)]
    assert len({place.token for place in places}) == 2
    assert len(places[0].token) >= 32
    assert places[0].token in places[0].address
    taken = find_place("127.0.0.1", 0)
    import socket

    with socket.socket() as other:
        other.bind(("127.0.0.1", taken.port))
        other.listen()
        with pytest.raises(InsphereError, match="--port"):
            find_place("127.0.0.1", taken.port)


def test_mistakes_on_the_command_line_are_one_sentence(capsys, tmp_path):
    assert main(["studio", "--data", str(tmp_path / "none")]) == 2
    assert main(["studio", "--workers", "0"]) == 2
    told = capsys.readouterr().err
    assert told.count("Error:") == 2
    assert "Traceback" not in told


# ---------------------------------------------------------------------- uploads


def png(value=100, size=(10, 10)):
    file = io.BytesIO()
    Image.fromarray(np.full(size, value, np.uint8)).save(file, "PNG")
    return file.getvalue()


def packed(path, files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def test_a_zip_of_classes_becomes_an_archive_that_training_reads(tmp_path):
    files = {f"{kind}/{n}.png": png(level + n) for kind, level in (("a", 10), ("b", 200))
             for n in range(4)}  # fmt: skip
    kept = keep_zip(packed(tmp_path / "x.zip", files), tmp_path / "in", "../../My set.zip")
    assert kept.parent == tmp_path / "in"
    assert kept.name.startswith("My-set-")
    data = load_dataset(kept)
    assert data.class_names == ("a", "b")
    assert data.image_shape == (10, 10, 1)
    assert np.bincount(data.labels).tolist() == [4, 4]
    parts = {f"{part}/{kind}/{n}.png": png(level + n) for part in ("train", "test")
             for kind, level in (("a", 10), ("b", 200)) for n in range(3)}  # fmt: skip
    data = load_dataset(keep_zip(packed(tmp_path / "y.zip", parts), tmp_path / "in", "y"))
    assert data.is_test.sum() == 6


@pytest.mark.parametrize(
    ("files", "limits", "message"),
    [
        ({"a/1.png": b"none", "b/1.png": png()}, {}, "is no image"),
        ({"a/1.png": png()}, {}, "only one class"),
        ({"readme.txt": b"hello"}, {}, "no images"),
        ({"a/1.png": png(), "b/1.png": png()}, {"images": 1}, "at most 1"),
        ({"a/1.png": png(), "b/1.png": png()}, {"unpacked": 50}, "Unpacked"),
        ({"a/1.png": png(), "b/1.png": png()}, {"bytes": 100}, "larger than"),
        ({"a/1.png": png(), "b/1.png": png()}, {"pixels": 50}, "too large"),
    ],
)
def test_uploads_are_limited_and_the_message_says_so(tmp_path, files, limits, message):
    path = packed(tmp_path / "x.zip", files)
    with pytest.raises(DataError, match=message):
        keep_zip(path, tmp_path / "in", "x", Limits(**limits))
    assert not (tmp_path / "in").exists() or not list((tmp_path / "in").iterdir())


def test_one_image_takes_the_shape_of_the_training_images():
    assert one_image(png(), (28, 28, 1)).shape == (28, 28, 1)
    assert one_image(png(), (8, 8, 3)).shape == (8, 8, 3)
    with pytest.raises(DataError, match="no image"):
        one_image(b"GIF89a", (8, 8, 1))
    with pytest.raises(DataError, match="too large"):
        one_image(png(size=(100, 100)), (8, 8, 1), Limits(pixels=50))


def test_a_picture_says_what_is_judged_or_is_refused_in_one_sentence(tmp_path):
    white = np.zeros((600, 1500, 3), np.uint8)
    white[:, :500, 2] = 1  # of any value but 0
    Image.fromarray(white).save(tmp_path / "part.png")
    good = (tmp_path / "part.png").read_bytes()
    part = judged_part(good)
    assert part.shape == (300, 500)
    assert part.mean() == pytest.approx(1 / 3, abs=0.01)
    np.testing.assert_array_equal(part, read_region(tmp_path / "part.png"))
    Image.fromarray(part).save(tmp_path / "kept.png")  # as the studio keeps it
    np.testing.assert_array_equal(part, read_region(tmp_path / "kept.png"))
    for bad in (b"", b"no image", good[: len(good) // 2], good[:40]):
        with pytest.raises(DataError, match="no image, or a damaged one"):
            judged_part(bad)
    with pytest.raises(DataError, match="more than the 50 allowed"):
        judged_part(good, Limits(pixels=50))
    Image.new("L", (9, 9)).save(tmp_path / "black.png")
    with pytest.raises(SpecError, match="the region is black: make white"):
        judged_part((tmp_path / "black.png").read_bytes())


def test_the_limit_on_what_visitors_send_is_none_for_other_images(tmp_path):
    before = Image.MAX_IMAGE_PIXELS
    path = packed(tmp_path / "x.zip", {"a/1.png": png(), "b/1.png": png()})
    with pytest.raises(DataError, match="more than the 50 allowed"):
        keep_zip(path, tmp_path / "in", "x", Limits(pixels=50))
    with pytest.raises(DataError, match="more than the 50 allowed"):
        one_image(png(), (8, 8, 1), Limits(pixels=50))
    assert before == Image.MAX_IMAGE_PIXELS
    assert load_dataset(path, progress=False).images.shape[0] == 2


def test_a_drawing_is_centred():
    image = np.zeros((28, 28, 1), np.uint8)
    image[1:8, 2:5] = 255
    moved = drawn_digit(image, 4 / 28)
    rows = np.flatnonzero(moved.any(axis=(1, 2)))
    columns = np.flatnonzero(moved.any(axis=(0, 2)))
    assert (rows[0], rows[-1]) == (4, 23)
    assert abs((columns[0] + columns[-1]) / 2 - 13.5) <= 0.5
    with pytest.raises(DataError, match="drawing is empty"):
        drawn_digit(np.zeros((28, 28, 1), np.uint8), 0.1)


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "..\\..\\a.zip", "/x/y.zip", "", "...", "a\0b", "ü.zip"]
)
def test_names_of_uploads_are_only_names(name):
    cleaned = clean_title(name)
    assert cleaned
    assert not set(cleaned) & set("/\\.\0")


def test_only_what_is_offered_can_be_chosen(tmp_path, monkeypatch):
    monkeypatch.delenv("INSPHERE_DATA", raising=False)
    folder, outside = tmp_path / "data", tmp_path / "outside"
    for place in (folder / "good" / "a", outside / "a"):
        place.mkdir(parents=True)
        (place / "1.png").write_bytes(png())
    (folder / "leads-out").symlink_to(outside)
    (folder / "empty").mkdir()
    sources = Sources(folder, tmp_path / "uploads")
    titles = {source.title for source in sources.all() if source.kind == "folder"}
    assert titles == {"good"}
    key = next(source.key for source in sources.all() if source.title == "good")
    assert sources.get(key).dataset == str(folder / "good")
    for typed in (str(outside), "/etc/passwd", "../outside", str(folder / "leads-out"), ""):
        with pytest.raises(DataError, match="no images called"):
            sources.get(typed)


# ---------------------------------------------------------------------- what is given away


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A store with six finished runs and their models."""
    store = Store(tmp_path_factory.mktemp("store") / "runs.sqlite")
    specs = [
        RunSpec(dataset="digits-8x8", normal=(digit,), method=method, params=params)
        for digit in ("3", "4")
        for method, params in (("knn", {}), ("mahalanobis", {}),
                               ("deep-svdd", {"pretrain_epochs": 2, "epochs": 3}))
    ]  # fmt: skip
    Queue(store).ask(specs)
    with Worker(store, save_models=True, live=True) as worker:
        for spec in specs:
            worker.run(spec)
    yield store
    store.close()


def test_a_selection_makes_figures_groups_and_files(measured):
    runs = measured.runs()
    collection = selected_runs(runs, measured.files)
    drawn, refused = [], []
    for spec in figure_specs():
        try:
            found = figures_of(spec.key, collection)
        except DataError as error:
            refused.append(str(error))
            continue
        for planned in found:
            assert planned.draw().axes
            assert planned.screen is None or planned.screen().data
        drawn.append(spec.key)
    assert all(reason.endswith(".") for reason in refused)
    assert not any("do not say" in reason for reason in refused)
    assert {"bars", "change", "roc", "training", "heat", "boxes", "ranks", "latent"} <= set(drawn)
    (roc,) = figures_of("roc", collection)  # one figure of all that were selected, not one a method
    assert len(roc.draw().axes[0].get_lines()) >= len(runs)
    assert [one.name for one in figures_of("changes", collection)] == ["change-optical-digits-8-8"]
    with pytest.raises(SpecError, match=r"no figure boxen; did you mean boxes\?"):
        figures_of("boxen", collection)
    without_plain = selected_runs([run for run in runs if run.method != "deep-svdd"],
                                  measured.files)  # fmt: skip
    assert "change against 2-nearest-neighbour" in figures_of("change", without_plain)[0].title
    by_method = groups(runs, "method")
    assert [group["n"] for group in by_method] == [2, 2, 2]
    means = [group["mean"] for group in by_method]
    assert means == sorted(means, reverse=True)
    lines = as_csv(runs).splitlines()
    assert len(lines) == 7
    assert runs[0].identity in lines[1]
    page = as_page(runs, measured.files)
    assert page.count("<svg") >= 3
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_an_inspection_agrees_with_the_detector(measured):
    run = next(run for run in measured.runs() if run.method == "deep-svdd")
    folder = measured.files.model(run.identity)
    data = load_dataset("digits-8x8")
    image = data.images[np.flatnonzero(data.labels == 7)[0]]
    inspection = inspect_image(folder, run.spec, image)
    detector = load_detector(folder)
    assert inspection.score == detector.anomaly_score(image[None])[0]
    assert inspection.threshold == detector.threshold_
    assert inspection.z_score == pytest.approx(detector.z_score(image[None])[0])
    assert inspection.heat.shape == image.shape[:2]
    assert 0 < inspection.heat_scale.threshold < inspection.heat_scale.top
    assert len(inspection.nearest) == 6
    assert np.all(np.diff(inspection.distances) >= 0)
    z = detector.transform(inspection.nearest) - detector.transform(image[None])
    np.testing.assert_allclose(np.linalg.norm(z, axis=1), inspection.distances, rtol=1e-4)
    found = score_all(folder, "digits-8x8", True)
    assert len(found.scores) == len(found.names) == len(data)
    assert found.threshold == detector.threshold_


def test_a_model_travels_as_a_zip(measured, tmp_path):
    run = measured.runs()[0]
    content = packed_model(measured.files.model(run.identity), run.identity)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        archive.extractall(tmp_path)
    data = load_dataset("digits-8x8")
    travelled = load_detector(tmp_path / f"insphere-{run.identity}")
    there = load_detector(measured.files.model(run.identity))
    np.testing.assert_array_equal(
        travelled.anomaly_score(data.images[:50]), there.anomaly_score(data.images[:50])
    )


def test_a_zip_never_mixes_two_models(tmp_path):
    """A model is replaced again and again while it is packed."""
    images = load_dataset("digits-8x8").images
    models = [KNNDetector(n_neighbors=k, contamination=0.1).fit(images[:40]) for k in (1, 2)]
    models[0].save(tmp_path / "model")
    cards = {}
    for position, model in enumerate(models):
        saved = model.save(tmp_path / str(position))
        cards[model.n_neighbors] = (saved / "card.md").read_bytes()
    over = threading.Event()

    def replace():
        while not over.is_set():
            for model in models:
                model.save(tmp_path / "model", overwrite=True)

    writer = threading.Thread(target=replace)
    writer.start()
    seen = set()
    try:
        for turn in range(40):
            content = packed_model(tmp_path / "model", "x")
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                archive.extractall(tmp_path / f"copy{turn}")
            loaded = load_detector(tmp_path / f"copy{turn}" / "insphere-x")
            card = (tmp_path / f"copy{turn}" / "insphere-x" / "card.md").read_bytes()
            assert card == cards[loaded.n_neighbors]
            seen.add(loaded.n_neighbors)
    finally:
        over.set()
        writer.join()
    assert seen == {1, 2}


def test_every_method_is_offered_or_says_what_to_install(monkeypatch):
    comparable_methods.cache_clear()
    everything = set(comparable_methods())
    assert {card.key for cards in by_family().values() for card in cards} == everything
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    comparable_methods.cache_clear()
    try:
        assert "insphere[pretrained]" in comparable_methods()["fpsvdd"]
        assert "fpsvdd" not in installed_methods()
        assert "deep-svdd" in installed_methods()
    finally:
        comparable_methods.cache_clear()


def test_a_run_leads_back_to_the_choices_that_made_it():
    choice = RunChoice(
        dataset="mnist-5k", normal=("8",), options=("zca",), objective="soft-boundary",
        pretrain_epochs=0, false_alarm_rate=0.05, seed=2,
    )  # fmt: skip
    source = Source("mnist-5k", "mnist-5k", "MNIST", "named")
    assert parse_qs(urlsplit(address_of(source, choice.spec())).query) == {
        "dataset": ["mnist-5k"], "normal": ["8"], "options": ["zca"],
        "objective": ["soft-boundary"], "pretrain": ["0"], "seed": ["2"],
    }  # fmt: skip


def test_numbers_are_written_for_people():
    assert percent(0.98765) == "98.8"
    assert points(-0.0123) == "−1.2"
    assert about(0.2) == "about a second"
