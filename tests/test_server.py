"""The server: every answer is the library's, and no request makes it fail."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from insphere.data.load import load_dataset
from insphere.detectors.model_folder import load_detector
from insphere.detectors.registry import build_detector
from insphere.errors import ModelError, SpecError
from insphere.scoring.drift import sequential_p_values, simple_jumper
from insphere.scoring.drift_stream import DriftStream
from insphere.scoring.pvalues import conformal_p_values

pytest.importorskip("fastapi")
pytest.importorskip("prometheus_client")
httpx = pytest.importorskip("httpx")
from fastapi.testclient import TestClient  # noqa: E402

from insphere.server.run import make_app, model_paths  # noqa: E402
from insphere.server.settings import ServerSettings  # noqa: E402

LOCAL = "http://localhost"
SCORE = "/v1/models/digits/score"
SETTINGS = ServerSettings(reload_seconds=0)


@pytest.fixture(scope="module")
def digits():
    data = load_dataset("digits-8x8", progress=False)
    return data.images, data.labels


@pytest.fixture(scope="module")
def paths(digits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    images, labels = digits
    params = {"false_alarm_rate": 0.2}
    build_detector("knn", params, seed=0).fit(images[labels == 3]).save(folder / "digits")
    rows = np.random.default_rng(0).normal(size=(100, 3)) * (1, 10, 100)
    build_detector("mahalanobis", params, seed=0).fit(rows).save(folder / "rows")
    return {"digits": folder / "digits", "rows": folder / "rows"}


@pytest.fixture(scope="module")
def detector(paths):
    return load_detector(paths["digits"])


@pytest.fixture(scope="module")
def client(paths):
    with TestClient(make_app(paths, SETTINGS), base_url=LOCAL, raise_server_exceptions=False) as c:
        yield c


def png(image):
    file = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[2] == 1 else image).save(file, "PNG")
    return file.getvalue()


def zipped(files):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


def check(results, images, detector):
    """Compare every number of an answer with the library."""
    scores = detector.anomaly_score(images)
    np.testing.assert_allclose([r["score"] for r in results], scores, rtol=1e-9)
    anomalous = scores > detector.threshold_
    assert [r["verdict"] for r in results] == ["anomalous" if a else "normal" for a in anomalous]
    p = conformal_p_values(detector.calibration_scores_, scores)
    np.testing.assert_allclose([r["p_value"] for r in results], p)
    np.testing.assert_allclose([r["severity"] for r in results], detector.severity_scale(scores))
    np.testing.assert_allclose([r["z_score"] for r in results], detector.z_score(images))


# ------------------------------------------------------------------ version 1


def test_an_image_several_and_a_zip_get_the_scores_of_the_library(client, digits, detector):
    images = digits[0][:7]
    answer = client.post(SCORE, content=png(images[0]), headers={"content-type": "image/png"})
    assert answer.status_code == 200, answer.text
    said = answer.json()
    assert (said["model"], said["threshold"]) == ("digits", detector.threshold_)
    check(said["results"], images[:1], detector)
    files = [("files", (f"{i}.png", png(image))) for i, image in enumerate(images)]
    said = client.post(SCORE, files=files).json()
    assert [r["name"] for r in said["results"]] == [f"{i}.png" for i in range(7)]
    check(said["results"], images, detector)
    archive = zipped({f"a/{i}.png": png(image) for i, image in enumerate(images)} | {"n.txt": "x"})
    said = client.post(SCORE, content=archive).json()
    check(said["results"], images, detector)
    encoded = {"images": [base64.b64encode(png(image)).decode() for image in images]}
    check(client.post(SCORE, json=encoded).json()["results"], images, detector)


def test_rows_of_a_table_get_the_scores_of_the_library(client, paths):
    rows = np.random.default_rng(1).normal(size=(9, 3)) * (1, 10, 200)
    said = client.post("/v1/models/rows/score", json={"rows": rows.tolist()}).json()
    check(said["results"], rows, load_detector(paths["rows"]))


def test_rows_with_texts_and_gaps_get_the_scores_of_the_library(tmp_path):
    pd = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"size": rng.normal(size=60), "kind": ["x", "y", "z"] * 20})
    frame.loc[3, "size"] = np.nan
    build_detector("mahalanobis", {"false_alarm_rate": 0.2}, seed=0).fit(frame).save(tmp_path / "m")
    loaded = load_detector(tmp_path / "m")
    new = frame.iloc[:8].assign(size=rng.normal(size=8) * 3)
    with TestClient(make_app({"m": tmp_path / "m"}, SETTINGS), base_url=LOCAL) as client:
        address = "/v1/models/m/score"
        rows = new.to_dict("records")
        said = client.post(address, json={"rows": rows}).json()
        check(said["results"], new, loaded)
        lists = [[row["size"], row["kind"]] for row in rows]
        again = client.post(address, json={"rows": lists}).json()
        assert again["results"] == said["results"]
        gap = client.post(address, json={"rows": [{"size": None, "kind": "x"}]}).json()
        wanted = loaded.anomaly_score(pd.DataFrame({"size": [np.nan], "kind": ["x"]}))
        assert gap["results"][0]["score"] == pytest.approx(wanted[0])
        for wrong in ([[1]], [{"other": 1}], [[[1], "x"]], ["x"], [[1e400, "x"]], [["x", 1, 2]]):
            content = json.dumps({"rows": wrong}).encode()
            kind = {"content-type": "application/json"}
            answer = client.post(address, content=content, headers=kind)
            assert answer.status_code == 422, answer.text
            assert answer.json()["error"].endswith(".")
        assert client.post("/v2/models/m/infer", json={"inputs": []}).status_code == 422


def test_the_threshold_can_be_another_and_heat_maps_are_pictures(client, digits, detector):
    images = digits[0][:3]
    files = [("files", (f"{i}.png", png(image))) for i, image in enumerate(images)]
    said = client.post(f"{SCORE}?threshold=0.01&heat_map=true", files=files).json()
    assert [r["verdict"] for r in said["results"]] == ["anomalous"] * 3
    maps = detector.anomaly_map(images)
    for row, heat in zip(said["results"], maps, strict=True):
        grey = np.asarray(Image.open(io.BytesIO(base64.b64decode(row["heat_map"]))))
        found = grey.astype(np.float64) / 65535 * row["heat_map_top"]
        np.testing.assert_allclose(found, heat, atol=row["heat_map_top"] / 60000)


def test_it_says_what_models_there_are(client):
    said = client.get("/v1/models").json()["models"]
    assert [one["name"] for one in said] == ["digits", "rows"]
    assert said[0]["shape"] == [8, 8, 1]
    assert client.get("/v1/models/digits").json() == said[0]
    pages = client.get("/openapi.json").json()["paths"]
    assert {"/v1/models/{name}/score", "/v2/models/{name}/infer"} <= set(pages)
    assert client.get("/docs").status_code == 200


@pytest.mark.slow
def test_an_exported_model_is_served_alike(digits, paths, detector, tmp_path):
    pytest.importorskip("onnxscript")
    from insphere.export.graph import export_onnx

    export_onnx(paths["digits"], tmp_path / "digits.onnx")
    app = make_app({"digits": tmp_path / "digits.onnx"}, SETTINGS)
    with TestClient(app, base_url=LOCAL) as client:
        files = [("files", (f"{i}.png", png(image))) for i, image in enumerate(digits[0][:20])]
        said = client.post(SCORE, files=files).json()["results"]
        wanted = detector.anomaly_score(digits[0][:20])
        np.testing.assert_allclose([r["score"] for r in said], wanted, rtol=1e-6)
        asked = {"name": "images", "datatype": "UINT8", "shape": [2, 8, 8, 1]}
        asked["data"] = digits[0][:2].reshape(-1).tolist()
        said = client.post("/v2/models/digits/infer", json={"inputs": [asked]}).json()
        np.testing.assert_allclose(said["outputs"][0]["data"], wanted[:2], rtol=1e-6)


# ------------------------------------------------------------------ the Open Inference Protocol


def test_the_protocol_describes_and_scores(client, digits, detector):
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").status_code == 200
    said = client.get("/v2/models/digits").json()
    (asked,) = said["inputs"]
    assert asked == {"name": "images", "datatype": "UINT8", "shape": [-1, 8, 8, 1]}
    assert {one["name"]: one["datatype"] for one in said["outputs"]} == {
        "score": "FP64", "verdict": "BOOL", "p_value": "FP64", "severity": "FP64",
        "z_score": "FP64", "heat_map": "FP32",
    }  # fmt: skip
    images = digits[0][:4]
    for data in (images.reshape(-1).tolist(), images.tolist()):
        given = {"name": "images", "datatype": "UINT8", "shape": [4, 8, 8, 1], "data": data}
        answer = client.post("/v2/models/digits/infer", json={"id": "one", "inputs": [given]})
        found = answer.json()
        assert found["id"] == "one"
        outputs = {one["name"]: one["data"] for one in found["outputs"]}
        np.testing.assert_allclose(outputs["score"], detector.anomaly_score(images), rtol=1e-9)
        assert outputs["verdict"] == (detector.predict(images) < 0).tolist()
    version = said["versions"][0]
    assert client.get(f"/v2/models/digits/versions/{version}/ready").json()["ready"]
    assert client.get("/v2/models/digits/versions/other").status_code == 404


class Running:
    """A server in a thread of its own, at a real address."""

    def __init__(self, app):
        import uvicorn

        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        config = uvicorn.Config(app, port=self.port, log_level="error", access_log=False)
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, daemon=True)

    def __enter__(self):
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)
        return self

    def __exit__(self, *_):
        self.server.should_exit = True
        self.thread.join(20)


def test_the_client_of_triton_works(paths, digits, detector):
    triton = pytest.importorskip("tritonclient.http")
    images = np.ascontiguousarray(digits[0][:5])
    with Running(make_app(paths, SETTINGS)) as running:
        client = triton.InferenceServerClient(f"127.0.0.1:{running.port}")
        assert client.is_server_live()
        assert client.is_model_ready("digits")
        assert client.get_model_metadata("digits")["platform"] == "insphere"
        for binary in (True, False):
            given = triton.InferInput("images", list(images.shape), "UINT8")
            given.set_data_from_numpy(images, binary_data=binary)
            names = ("score", "verdict", "heat_map")
            wanted = [triton.InferRequestedOutput(name, binary_data=binary) for name in names]
            found = client.infer("digits", [given], outputs=wanted)
            np.testing.assert_allclose(found.as_numpy("score"), detector.anomaly_score(images))
            np.testing.assert_array_equal(found.as_numpy("verdict"), detector.predict(images) < 0)
            np.testing.assert_allclose(found.as_numpy("heat_map"), detector.anomaly_map(images))
        client.close()


# ------------------------------------------------------------------ what is malformed


def malformed():
    """About two hundred requests that are wrong, each in another way: path and arguments."""
    good = np.zeros((8, 8, 1), np.uint8)
    image = png(good)
    rng = np.random.default_rng(0)
    yield SCORE, {"content": b""}
    for n in (1, 2, 4, 7, 8, 16, 33, 100, 1000):
        yield SCORE, {"content": rng.bytes(n)}
        yield SCORE, {"content": image[: min(n, len(image) // 2)]}
        yield SCORE, {"content": b"PK\3\4" + rng.bytes(n)}
    for shape in ((8, 8, 3), (7, 8, 1), (8, 9, 1), (1, 1, 1), (64, 64, 1), (8, 16, 3)):
        yield SCORE, {"content": png(np.zeros(shape, np.uint8))}
    wide = io.BytesIO()
    Image.fromarray(np.zeros((8, 8), np.uint16)).save(wide, "PNG")
    yield SCORE, {"content": wide.getvalue()}
    for start in (b"GIF89a", b"\xff\xd8\xff\xe0", b"II*\0", b"BM", b"RIFF....WEBP", b"%PDF-1.4"):
        yield SCORE, {"content": start + rng.bytes(64)}
    yield SCORE, {"content": zipped({})}
    yield SCORE, {"content": zipped({"a.txt": b"x"})}
    yield SCORE, {"content": zipped({"a.png": b"x"})}
    yield SCORE, {"content": zipped({"a.png": image, "b.png": image[:40]})}
    yield SCORE, {"content": zipped({"a.png": image, "b.png": png(np.zeros((9, 8, 1), np.uint8))})}
    yield SCORE, {"content": zipped({f"{i}.png": image for i in range(1100)})}
    yield SCORE, {"content": zipped({"a.png": bytes(300_000_000)})}
    for cut in (10, 30, 60, 100):
        yield SCORE, {"content": zipped({"a.png": image})[:-cut]}
    bomb = io.BytesIO()
    Image.new("1", (30_000, 30_000)).save(bomb, "PNG")
    yield SCORE, {"content": bomb.getvalue()}
    yield SCORE, {"content": zipped({"a.png": bomb.getvalue()})}
    kinds = (
        "multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=x",
        'multipart/form-data; boundary="' + "y" * 300 + '"', "multipart/form-data; boundary=é",
    )  # fmt: skip
    for kind in kinds:
        for body in (b"x", b"--x\r\n\r\n--x--", b"--x\r\nnonsense\r\n--x--", b"--x--\r\n", image):
            yield SCORE, {"content": body, "headers": {"content-type": kind.encode("latin-1")}}
    yield SCORE, {"files": [("files", ("a.png", b""))]}
    yield SCORE, {"files": [("files", ("a.png", b"x"))]}
    yield SCORE, {"files": [("files", ("../../a\n.png", image[:40])), ("b", ("b", image))]}
    yield SCORE, {"files": [("f", (f"{i}", image)) for i in range(1030)]}
    texts = (
        b"{", b"[]", b"1", b"null", b'"x"', b"{}", b'{"images": 1}', b'{"images": []}',
        b'{"images": [1]}', b'{"images": ["$$"]}', b'{"images": ["AAAA"]}', b'{"images": [null]}',
        b'{"rows": [[1]]}', b"\xff\xfe", b"[" * 100_000, b'{"images": NaN}', b'{"a": Infinity}',
        b'{"images": {"0": "x"}}', b'{"images": ["' + b"A" * 1000 + b'"]}',
    )  # fmt: skip
    as_json = {"content-type": "application/json"}
    for text in texts:
        yield SCORE, {"content": text, "headers": as_json}
    rows = (
        None, 1, "x", [], {}, [1, 2, 3], [[1, 2]], [[1, 2, 3, 4]], [[1, 2, "x"]], [[1, 2, None]],
        [[1, 2, [3]]], [[1, 2, True]], [{"a": 1}], [[1, 2, 1e400]], [[1, 2, 10**400]], [[]], [[[]]],
        [[1, 2, 3], [1, 2]], [[1e300, 1, 1]], [[0, 0, 0]] * 1100,
    )  # fmt: skip
    for value in rows:
        content = json.dumps({"rows": value}).encode()
        yield "/v1/models/rows/score", {"content": content, "headers": as_json}
    yield "/v1/models/rows/score", {"content": image}
    yield "/v1/models/rows/score", {"json": {"images": [base64.b64encode(image).decode()]}}
    for query in ("threshold=x", "threshold=nan", "threshold=inf", "threshold=", "heat_map=2",
                  "heat_map=", "other=1", "threshold=1e999", "%00=1"):  # fmt: skip
        yield f"{SCORE}?{query}", {"content": image}
    for name in ("none", "%2e%2e", "digits%00", "é", "a" * 5000, "<script>", "digits/x"):
        yield f"/v1/models/{name}/score", {"content": image}
        yield f"/v2/models/{name}/infer", {"json": {}}
    yield "/v1/models//score", {"content": image}
    yield "/", {"content": image}
    plain = {"name": "images", "datatype": "UINT8", "shape": [1, 8, 8, 1], "data": [0] * 64}
    changes = (
        {"name": "x"}, {"name": None}, {"datatype": "FP32"}, {"datatype": None}, {"datatype": []},
        {"shape": [2, 8, 8, 1]}, {"shape": [8, 8, 1]}, {"shape": [0, 8, 8, 1]}, {"shape": "x"},
        {"shape": [-1, 8, 8, 1]}, {"shape": [True, 8, 8, 1]}, {"shape": [1.0, 8, 8, 1]},
        {"shape": [10**9, 8, 8, 1]}, {"shape": None}, {"data": None}, {"data": "x"}, {"data": []},
        {"data": [0] * 63}, {"data": [256] * 64}, {"data": [-1] * 64}, {"data": [0.5] * 64},
        {"data": ["0"] * 64}, {"data": [None] * 64}, {"data": [[0] * 63, 0]},
        {"data": [10**30] * 64},
        {"data": {"a": 1}}, {"parameters": 1}, {"parameters": {"binary_data_size": 64}},
        {"parameters": {"binary_data_size": "x"}}, {"parameters": {"binary_data_size": -1}},
    )  # fmt: skip
    infer = "/v2/models/digits/infer"
    for change in changes:
        yield infer, {"json": {"inputs": [plain | change]}}
    for wrong in ({}, [], {"inputs": None}, {"inputs": []}, {"inputs": [1]}, {"inputs": {}},
                  {"inputs": [plain, plain]}, {"inputs": [plain], "outputs": 1},
                  {"inputs": [plain], "outputs": [1]}, {"inputs": [plain], "outputs": [{}]},
                  {"inputs": [plain], "outputs": [{"name": "x"}]}, {"inputs": [plain],
                  "parameters": []}, {"inputs": [plain], "parameters": 3}):  # fmt: skip
        yield infer, {"json": wrong}
    text = json.dumps({"inputs": [plain]}).encode()
    for length in ("x", "-1", "999999", "1", "", "9" * 50, str(len(text) - 1)):
        header = {"inference-header-content-length": length}
        yield infer, {"content": text, "headers": header}
    yield "/v2/models/digits/versions/none/infer", {"json": {"inputs": [plain]}}


def test_malformed_requests_get_one_sentence_and_never_a_fault(client):
    count, wrong = 0, []
    for path, arguments in malformed():
        count += 1
        answer = client.post(path, **arguments)
        error = answer.json().get("error", "")
        sentence = error.endswith(".") and "\n" not in error and "Traceback" not in error
        if not (400 <= answer.status_code < 500 and sentence):
            wrong.append((path[:80], str(arguments)[:200], answer.status_code, answer.text[:300]))
    assert not wrong
    assert count >= 200
    for method in ("GET", "PUT", "DELETE", "PATCH", "OPTIONS"):
        assert client.request(method, SCORE).status_code == 405
    assert client.get("/v1/models/none").status_code == 404
    assert client.get("/nothing").json()["error"] == "There is nothing at this address."


def test_a_request_that_is_too_large_is_refused_before_it_is_read(paths):
    settings = replace(SETTINGS, limits=replace(SETTINGS.limits, bytes=10_000))
    with TestClient(make_app(paths, settings), base_url=LOCAL) as client:
        assert client.post(SCORE, content=bytes(200_000)).status_code == 413

        def endless():
            for _ in range(30):
                yield bytes(1000)

        assert client.post(SCORE, content=endless()).status_code == 413


# ------------------------------------------------------------------ who may ask


def test_a_token_is_needed_where_there_is_one(paths, digits):
    app = make_app(paths, SETTINGS, token="secret")
    with TestClient(app, base_url="http://anywhere.example") as client:
        image = png(digits[0][0])
        answer = client.post(SCORE, content=image)
        assert answer.status_code == 401
        assert "Bearer" in answer.json()["error"]
        for wrong in ("Bearer other", "secret", "Basic secret", "Bearer "):
            found = client.post(SCORE, content=image, headers={"authorization": wrong})
            assert found.status_code == 401
        right = {"authorization": "Bearer secret"}
        assert client.post(SCORE, content=image, headers=right).status_code == 200
        assert client.get("/metrics").status_code == 401
        assert client.get("/v2/health/ready").status_code == 200  # for probes


def test_without_a_token_only_this_computer_may_ask(client, digits):
    image = png(digits[0][0])
    assert client.post(SCORE, content=image, headers={"host": "evil.example"}).status_code == 403
    foreign = {"origin": "http://evil.example"}
    assert client.post(SCORE, content=image, headers=foreign).status_code == 403


# ------------------------------------------------------------------ many at a time


def together(app, requests):
    """Send all requests at once to an application in this process."""

    async def send():
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url=LOCAL, timeout=60) as client,
        ):
            return await asyncio.gather(*(client.post(SCORE, content=one) for one in requests))

    # In a thread of its own: the browser of other tests leaves a loop running in this one.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, send()).result()


def test_requests_are_scored_in_shared_batches_and_each_gets_its_own(paths, digits, detector):
    images = digits[0][:60]
    app = make_app(paths, SETTINGS)
    answers = together(app, [png(image) for image in images])
    scores = detector.anomaly_score(images)
    found = [answer.json()["results"][0]["score"] for answer in answers]
    np.testing.assert_allclose(found, scores, rtol=1e-9)


def test_beyond_the_queue_requests_are_asked_to_come_back(paths, digits, monkeypatch):
    from insphere.server import models

    plain = models._in_parts

    def slow(*arguments):
        time.sleep(0.2)
        return plain(*arguments)

    monkeypatch.setattr(models, "_in_parts", slow)
    app = make_app(paths, replace(SETTINGS, queue=4, batch=2))
    answers = together(app, [png(image) for image in digits[0][:30]])
    statuses = [answer.status_code for answer in answers]
    assert set(statuses) == {200, 429}
    for answer in answers:
        if answer.status_code == 429:
            assert int(answer.headers["retry-after"]) >= 1
            assert "ask again later" in answer.json()["error"]
    few = make_app(paths, replace(SETTINGS, requests=3))
    statuses = {answer.status_code for answer in together(few, [png(digits[0][0])] * 20)}
    assert statuses == {200, 429}
    short = make_app(paths, replace(SETTINGS, timeout=0.05))
    (late,) = together(short, [png(digits[0][0])])
    assert late.status_code == 504


def test_new_versions_are_taken_up_without_losing_a_request(paths, digits, tmp_path):
    images, labels = digits
    folder = tmp_path / "digits"
    params = {"false_alarm_rate": 0.2}
    old = build_detector("knn", params, seed=0).fit(images[labels == 3])
    new = build_detector("knn", params, seed=0).fit(images[labels == 4])
    old.save(folder)
    app = make_app({"digits": folder}, replace(SETTINGS, reload_seconds=0.05))
    picture = png(images[0])
    wanted = {round(float(d.anomaly_score(images[:1])[0]), 9) for d in (old, new)}
    seen = []
    with TestClient(app, base_url=LOCAL) as client:
        before = client.get("/v1/models/digits").json()["version"]
        seen.append(client.post(SCORE, content=picture).json())
        new.save(folder, overwrite=True)
        end = time.monotonic() + 20
        while seen[-1]["version"] == before and time.monotonic() < end:
            answer = client.post(SCORE, content=picture)
            assert answer.status_code == 200
            seen.append(answer.json())
        assert {round(one["results"][0]["score"], 9) for one in seen} == wanted
        (folder / "detector.json").write_text("{}")  # a version that cannot be read
        time.sleep(0.3)
        answer = client.post(SCORE, content=picture).json()
        assert answer["version"] == seen[-1]["version"]
        text = client.get("/metrics").text
        assert 'insphere_model_loads_total{model="digits",result="refused"} 1.0' in text


# ------------------------------------------------------------------ what is measured


def test_measurements_and_drift(paths, digits):
    images, labels = digits
    with TestClient(make_app(paths, SETTINGS), base_url=LOCAL) as client:
        strange = images[labels == 7][:100]
        archive = zipped({f"{i}.png": png(image) for i, image in enumerate(strange)})
        assert client.post(SCORE, content=archive).status_code == 200
        client.post(SCORE, content=b"x")
        text = client.get("/metrics").text
    lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert float(lines['insphere_drift_log10_capital{model="digits"}']) > 2
    route = 'route="/v1/models/{name}/score"'
    assert float(lines[f'insphere_requests_total{{{route},status="200"}}']) == 1
    assert float(lines[f'insphere_requests_total{{{route},status="422"}}']) == 1
    scored = [float(v) for k, v in lines.items() if k.startswith("insphere_samples_total")]
    assert sum(scored) == 100
    assert float(lines['insphere_waiting_samples{model="digits"}']) == 0


def test_the_stream_of_drift_is_the_martingale():
    rng = np.random.default_rng(0)
    reference, scores = rng.normal(size=50), rng.normal(0.5, size=200)
    scores[10] = reference[3]
    wanted = simple_jumper(sequential_p_values(reference, scores))
    stream = DriftStream(reference, window=150)
    first = [stream.add([score]) for score in scores[:150]]
    np.testing.assert_allclose(first, wanted[:150], rtol=1e-12)
    assert stream.highest == pytest.approx(max(0, *wanted[:150]))
    stream.add(scores[150:])  # a new window
    again = simple_jumper(sequential_p_values(reference, scores[150:]))
    assert stream.log10_capital == pytest.approx(again[-1])
    assert stream.count == 50
    before = stream.log10_capital
    assert stream.add([float("nan"), float("inf")]) == before


# ------------------------------------------------------------------ the command


def test_names_of_models(tmp_path):
    found = model_paths(["a=x/y", "x/z.onnx", str(tmp_path)])
    assert list(found) == ["a", "z", tmp_path.name]
    for wrong in (["a b"], ["=x"], ["../x=y"], ["a=x", "a=y"], []):
        with pytest.raises(SpecError):
            model_paths(wrong)
    with pytest.raises(ModelError, match="There is no model"):
        make_app({"a": tmp_path / "none"}, SETTINGS)


@pytest.mark.slow
def test_it_stops_after_what_is_in_progress(paths, digits):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "insphere", "serve", str(paths["digits"]), "--port", str(port)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ)
    )
    try:
        address = f"http://127.0.0.1:{port}"
        for _ in range(600):
            try:
                urllib.request.urlopen(f"{address}/v2/health/ready")
                break
            except OSError:
                time.sleep(0.1)
        request = urllib.request.Request(f"{address}{SCORE}", data=png(digits[0][0]))
        with urllib.request.urlopen(request) as answer:
            assert answer.status == 200
        archive = zipped({f"{i}.png": png(digits[0][i]) for i in range(1000)})
        answers = []

        def ask():
            again = urllib.request.Request(f"{address}{SCORE}", data=archive)
            with urllib.request.urlopen(again) as found:
                answers.append(len(json.loads(found.read())["results"]))

        thread = threading.Thread(target=ask)
        thread.start()
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        thread.join(30)
        assert answers == [1000]
        assert process.wait(30) in (0, -signal.SIGTERM)
    finally:
        process.kill()
    out, err = process.communicate()
    assert "Serving digits" in out
    lines = [json.loads(line) for line in err.splitlines() if line.startswith("{")]
    assert [one["status"] for one in lines if one["event"] == "request"] == [200, 200]
