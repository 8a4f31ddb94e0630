"""What a hostile neighbour, file name, cookie or zip can do to the studio: nothing."""

import contextlib
import io
import os
import subprocess
import sys
import zipfile
import zlib
from urllib.parse import urlencode

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from insphere.errors import DataError, InsphereError
from insphere.experiments.execution.queue import Queue
from insphere.experiments.execution.worker import Worker
from insphere.experiments.runs.spec import RunSpec
from insphere.experiments.store.run_store import Store
from insphere.studio.image_sources import Sources
from insphere.studio.uploads import keep_zip
from insphere.web.uploads import Limits

pytest.importorskip("nicegui", reason='The studio needs pip install "insphere[studio]".')

from insphere.studio.app_state import _called, _Refused
from insphere.web.access import COOKIE, Guard
from insphere.web.place import find_place
from test_studio_server import TOKEN, ask, inner

HOSTILE = (
    'evil" onmouseover="window.pwned=1',
    "evil' onfocus='window.pwned=1' autofocus='",
    "<img src=x onerror=window.pwned=1>",
    "{{constructor.constructor('window.pwned=1')()}}",
    "');window.pwned=1;('",
    "$(window.pwned=1) \\'+(window.pwned=1)+\\'",
)


def picture(shade):
    file = io.BytesIO()
    pixels = np.full((8, 8), shade, np.uint8)
    pixels[2:5, 1 + shade % 5] = 255 - shade
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def hostile(studio):
    """A data folder, runs and a sweep whose names try to become scripts."""
    for name in HOSTILE:
        for kind in HOSTILE[:2]:
            folder = studio.data / name / kind
            folder.mkdir(parents=True)
            for shade in range(12):
                (folder / f"{HOSTILE[2]}{shade}.png").write_bytes(picture(shade * 9))
    datasets = [s.dataset for s in Sources(studio.data, studio.data / "none").all() if
                s.kind == "folder"]  # fmt: skip
    assert len(datasets) == len(HOSTILE)
    store = Store(studio.store_path)
    specs = [RunSpec(dataset=one, normal=(HOSTILE[0],), method="knn") for one in datasets]
    store.add(specs)
    with Worker(store, save_models=True) as worker:
        for spec in specs:
            worker.run(spec)
    assert {run.state for run in store.runs()} == {"finished"}
    failed = RunSpec(dataset=HOSTILE[2], normal=(HOSTILE[3],), method="knn", seed=3)
    store.add([failed])
    store.claim(failed.identity, "nobody")
    store.fail(failed.identity, "nobody", HOSTILE[2])
    queue = Queue(store)
    queue.start({"name": HOSTILE[2], "datasets": [datasets[0]], "normal": [[HOSTILE[1]]],
                 "methods": [{"method": "knn", "name": HOSTILE[0]}]})  # fmt: skip
    runs = [run.identity for run in store.runs()]
    store.close()
    return runs


def assert_untouched(page):
    page.wait_for_timeout(150)
    assert page.evaluate("window.pwned === undefined")
    ours = "document.querySelectorAll('[onmouseover],[onfocus],[onerror],[autofocus]').length"
    assert page.evaluate(ours) == 0
    sources = page.evaluate("[...document.querySelectorAll('img')].map(i => i.getAttribute('src'))")
    assert "x" not in sources


def walk(visit, studio, paths):
    """Open addresses one after the other in one tab."""
    page = visit("/models")
    for path in paths:
        page.goto(studio.address + path)
        page.wait_for_selector("h1")
        assert_untouched(page)


def test_hostile_names_are_only_names_on_every_page(visit, studio, hostile):
    runs = ",".join(hostile)
    pages = [
        "/",
        "/photos",
        "/compare",
        "/look",
        "/experiments?group=class",
        f"/experiments?compare={runs}",
    ]
    pages += [f"/runs/{one}" for one in (hostile[0], hostile[-1])]
    pages += [f"/runs/{hostile[0]}?image=0", f"/models?model={hostile[0]}"]
    walk(visit, studio, pages)


def test_hostile_sources_can_be_chosen_and_swept(visit, hostile):
    page = visit("/compare")
    sources = page.locator("[role=radiogroup][aria-label=Images] [role=radio]")
    own = sources.filter(has_text="your own")
    assert own.count() == len(HOSTILE)
    for place in range(len(HOSTILE)):
        own.nth(place).click()
        page.wait_for_timeout(200)
        assert_untouched(page)
    page = visit("/experiments")
    options = page.locator("#sweep select[name=images]")
    values = options.locator("option").evaluate_all("all => all.map(one => one.value)")
    for value in values[-len(HOSTILE) :]:
        options.select_option(value)
        page.wait_for_timeout(200)
        assert_untouched(page)


def test_hostile_addresses_are_only_addresses(visit, studio, hostile):
    names = (
        *("dataset", "normal", "method", "options", "epochs", "pretrain", "seed", "threshold"),
        *("image", "scores", "model", "compare", "figure", "group", "search", "state"),
        *("also", "models", "known", "others", "share"),
    )
    run = f"/runs/{hostile[0]}"
    values = (HOSTILE[0], HOSTILE[2], HOSTILE[4], "7" * 3000, "1e999", "nan")
    queries = [urlencode(dict.fromkeys(names, value)) for value in values]
    pages = [
        f"{path}?{query}" for query in queries for path in ("/", "/compare", run, "/experiments")
    ]
    walk(visit, studio, [*pages, *(f"{p}?{queries[0]}" for p in ("/runs/x", "/models", "/look"))])


# ---------------------------------------------------------------------- requests


@given(st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=60))
def test_cookies_of_others_neither_lock_out_nor_let_in(foreign):
    guard = Guard(inner, TOKEN, 1000)
    host = ("host", "studio.example")
    own = f"{COOKIE}={TOKEN}"
    for header in (f"{foreign}; {own}", f"{own}; {foreign}"):
        raw = [("host", "studio.example"), ("cookie", header)]
        assert ask(guard, headers=raw)[0] == 200
    assert ask(guard, headers=[host, ("cookie", foreign)])[0] == 401


@pytest.mark.parametrize("cookie", ["a@b=1", '{"a": 1}', 'x="', "=", ";;", "a=b=c", "é=ü"])
def test_odd_cookies(cookie):
    guard = Guard(inner, TOKEN, 1000)
    given_ = [("host", "studio.example"), ("cookie", f"{cookie}; {COOKIE}={TOKEN}")]
    assert ask(guard, headers=given_)[0] == 200


@pytest.mark.parametrize(
    "path", ["//evil.example/", "///evil.example", "/\\evil.example", "//", "/\ud800"]
)
def test_the_token_leads_to_no_other_host(path):
    status, headers = ask(
        Guard(inner, TOKEN, 1000),
        headers=[("host", "studio.example")],
        path=path,
        query=f"token={TOKEN}",
    )
    assert status == 303
    target = headers[b"location"].decode()
    assert target.startswith("/")
    assert not target.startswith(("//", "/\\"))


@given(st.text(st.characters(max_codepoint=255), max_size=40))
def test_no_origin_but_our_own_is_answered(origin):
    guard = Guard(inner, None, 1000)
    for kind, method in (("http", "GET"), ("http", "POST"), ("websocket", "GET")):
        found = ask(guard, kind=kind, method=method,
                    headers=[("host", "localhost:1"), ("origin", origin)])[0]  # fmt: skip
        expected = 200 if not origin else "close" if kind == "websocket" else 403
        assert found == expected


@pytest.mark.parametrize("origin", ["http://[evil", "null", "http://evil", "http://localhost:2"])
def test_odd_origins(origin):
    found = ask(Guard(inner, None, 9), headers=[("host", "localhost:1"), ("origin", origin)])
    assert found[0] == 403


@pytest.mark.parametrize("length", ["9" * 5000, "-1", "1.5", "", "²"])
def test_odd_lengths(length):
    found = ask(Guard(inner, None, 9), headers=[("host", "localhost"), ("content-length", length)])
    assert found[0] == 413


def test_every_answer_keeps_other_sites_out(studio):
    import urllib.error
    import urllib.request

    port = studio.address.rpartition(":")[2]
    socket = "/_nicegui_ws/socket.io/?EIO=4&transport=polling"
    for path in ("/", "/models", socket, "/download/runs.csv", "/nothing-here"):
        for origin in (None, f"http://127.0.0.1:{port}", "http://evil.example"):
            request = urllib.request.Request(studio.address + path)
            if origin:
                request.add_header("Origin", origin)
            try:
                answer = urllib.request.urlopen(request, timeout=60)
            except urllib.error.HTTPError as error:
                answer = error
            assert (answer.status == 403) == (origin == "http://evil.example")
            headers = {key.lower(): value for key, value in answer.headers.items()}
            assert not [key for key in headers if key.startswith("access-control")]
            assert headers["x-frame-options"] == "DENY"
            assert headers["x-content-type-options"] == "nosniff"
            assert "frame-ancestors 'none'" in headers["content-security-policy"]
            assert headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("port", [99_999, -1, 65_536])
def test_ports_that_are_none(port):
    with pytest.raises(InsphereError, match="from 0 to 65535"):
        find_place("127.0.0.1", port)


@pytest.mark.parametrize("host", ["not a host", "a" * 400, "\udcff", "256.1.1.1", "x\0y"])
def test_hosts_that_are_none(host):
    with pytest.raises(InsphereError, match="choose another address"):
        find_place(host, 0)


# ---------------------------------------------------------------------- uploaded files


def packed(members, **kwargs):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, **kwargs) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def blank_png(side):
    """A PNG of many pixels in few bytes."""
    head = b"\x89PNG\r\n\x1a\n"

    def chunk(kind, data):
        body = kind + data
        return len(data).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")

    size = side.to_bytes(4, "big") * 2
    rows = zlib.compress(bytes((side + 7) // 8 + 1) * side)
    return head + chunk(b"IHDR", size + bytes([1, 0, 0, 0, 0])) + chunk(b"IDAT", rows) + (
        chunk(b"IEND", b"")
    )  # fmt: skip


def test_few_bytes_with_many_pixels_are_refused_before_decoding(tmp_path):
    page = blank_png(6300)
    content = packed({f"{kind}/{n}.png": page for kind in "ab" for n in range(40)})
    assert len(content) < 1_000_000
    file = tmp_path / "bomb.zip"
    file.write_bytes(content)
    with pytest.raises(DataError, match="million pixels together"):
        keep_zip(file, tmp_path / "kept", "bomb")
    assert not (tmp_path / "kept").exists()


@given(st.data())
def test_damaged_zips_end_in_a_sentence(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("zips")
    content = bytearray(packed({f"{kind}/{n}.png": picture(n) for kind in "ab" for n in range(3)}))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    file = folder / "x.zip"
    file.write_bytes(bytes(content[: data.draw(st.integers(1, len(content)))]))
    with contextlib.suppress(DataError):
        keep_zip(file, folder / "kept", "x", Limits(images=50))


def test_encrypted_zips_are_called_what_they_are(tmp_path):
    content = bytearray(packed({"a/1.png": picture(1), "b/1.png": picture(2)}))
    start = 0
    while (start := content.find(b"PK\x01\x02", start)) >= 0:  # the flags in the directory
        content[start + 8] |= 1
        start += 4
    file = tmp_path / "secret.zip"
    file.write_bytes(bytes(content))
    with pytest.raises(DataError, match="encrypted"):
        keep_zip(file, tmp_path, "secret")


def test_a_fault_of_the_program_ends_the_waiting(caplog):
    def fault():
        raise ZeroDivisionError("a bug")

    outcome = _called(fault, ())
    assert isinstance(outcome, _Refused)
    assert "ZeroDivisionError: a bug" in outcome.reason
    assert "Traceback" in caplog.text


def test_a_damaged_zip_is_answered_on_the_page(visit, tmp_path):
    page = visit("/compare")
    page.click("summary:has-text('Upload your own')")
    content = bytearray(packed({f"{k}/{n}.png": picture(n) for k in "ab" for n in range(3)}))
    content[60:90] = bytes(30)
    file = tmp_path / "damaged.zip"
    file.write_bytes(bytes(content))
    page.set_input_files("input[type=file]", str(file))
    page.wait_for_selector("[role=alert]")


# ---------------------------------------------------------------------- processes


def test_workers_take_no_module_from_the_current_folder(tmp_path):
    """A folder with a ``uuid.py`` is a folder like any other."""
    here = tmp_path / "here"
    here.mkdir()
    for name in ("uuid", "filelock", "sqlalchemy", "yaml"):
        (here / f"{name}.py").write_text(
            f"import pathlib; pathlib.Path({str(tmp_path / 'ran')!r}).touch()\n"
        )
    code = """
import sys
sys.path[:] = [path for path in sys.path if path]
from pathlib import Path
from insphere.experiments.execution.queue import Queue
from insphere.experiments.runs.spec import RunSpec
from insphere.experiments.store.run_store import Store
import time
if __name__ == "__main__":
    store = Store(Path("runs.sqlite"))
    queue = Queue(store)
    spec = RunSpec(dataset="digits-8x8", normal=("3",), method="mahalanobis")
    queue.ask([spec])
    queue.keep_working()
    deadline = time.monotonic() + 120
    while store.get(spec.identity).state != "finished" and time.monotonic() < deadline:
        time.sleep(0.1)
    queue.dismiss()
    print(store.get(spec.identity).state, store.get(spec.identity).reason)
"""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONSAFEPATH"}
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=here, env=environment,
        capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert done.stdout.startswith("finished"), done.stdout + done.stderr
    assert not (tmp_path / "ran").exists()
