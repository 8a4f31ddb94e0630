"""Models on the hub and in MLflow: the files of the hub's layout, and the same scores back."""

import io
import os

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from insphere.cli.app import app
from insphere.data.load import load_dataset
from insphere.detectors.model_folder import load_detector
from insphere.detectors.registry import build_detector
from insphere.errors import ModelError
from insphere.workflows.hub import is_repository, pull_model, push_model


@pytest.fixture(scope="module")
def digits():
    return load_dataset("digits-8x8", progress=False)


@pytest.fixture(scope="module")
def model(digits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub") / "threes"
    normal = digits.images[digits.labels == 3]
    build_detector("mahalanobis", {"false_alarm_rate": 0.2}, seed=0).fit(normal).save(folder)
    return folder


MEASURED = {
    "auc": 0.9123, "average_precision": 0.8, "fpr_at_95_tpr": 0.4, "balanced_accuracy": None,
    "n_normal": 10, "n_anomalous": 20,
}  # fmt: skip


def in_cache(folder, cache, name="me--threes"):
    """Lay a repository's files out as the cache of the hub does: blobs, and links to them."""
    commit = "0" * 40
    place = cache / f"models--{name}"
    snapshot = place / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (place / "refs").mkdir()
    (place / "blobs").mkdir()
    (place / "refs" / "main").write_text(commit)
    for number, file in enumerate(sorted(folder.iterdir())):
        blob = place / "blobs" / f"{number:040x}"
        blob.write_bytes(file.read_bytes())
        (snapshot / file.name).symlink_to(os.path.relpath(blob, snapshot))


def test_a_model_goes_to_a_repository_and_comes_back(model, digits, tmp_path):
    hub = pytest.importorskip("huggingface_hub")
    pushed = push_model(model, str(tmp_path / "repo"), measured=MEASURED, measured_on="digits")
    names = {file.name for file in (tmp_path / "repo").iterdir()}
    assert names == {"README.md", "card.md", "detector.json", "weights.safetensors"}
    card = hub.ModelCard.load(f"{pushed}/README.md")
    assert card.data.library_name == "insphere"
    values = {one.metric_type: one.metric_value for one in card.data.eval_results}
    assert values == {"roc_auc": 0.9123, "average_precision": 0.8, "fpr_at_95_tpr": 0.4}
    assert "| AUC | 91.23 % |" in card.text
    assert "10 normal, 20 anomalous" in card.text
    in_cache(tmp_path / "repo", tmp_path / "cache")
    found = pull_model("me/threes", tmp_path / "back", cache=tmp_path / "cache", offline=True)
    wanted = load_detector(model).anomaly_score(digits.images[:50])
    np.testing.assert_array_equal(found.anomaly_score(digits.images[:50]), wanted)
    assert not any(file.is_symlink() for file in (tmp_path / "back").iterdir())
    with pytest.raises(ModelError, match="holds something"):
        pull_model("me/threes", tmp_path / "back", cache=tmp_path / "cache", offline=True)
    with pytest.raises(ModelError, match="cannot be pulled"):
        pull_model("me/others", tmp_path / "no", cache=tmp_path / "cache", offline=True)


def test_a_damaged_repository_is_refused(model, tmp_path):
    push_model(model, str(tmp_path / "repo"))
    assert "Nothing was measured" in (tmp_path / "repo" / "README.md").read_text("utf-8")
    weights = tmp_path / "repo" / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(ModelError):
        pull_model(str(tmp_path / "repo"), tmp_path / "back")
    assert not (tmp_path / "back").exists()
    with pytest.raises(ModelError, match="holds something"):
        push_model(model, str(tmp_path / "repo"))


def test_names_of_repositories(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert is_repository("me/threes")
    (tmp_path / "me" / "threes").mkdir(parents=True)
    assert not is_repository("me/threes")
    assert not is_repository("./me/threes")
    assert not is_repository("threes")


def test_the_commands_measure_and_load(model, digits, tmp_path):
    for label, name in ((3, "three"), (5, "five")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for row in np.flatnonzero(digits.labels == label)[:10]:
            Image.fromarray(digits.images[row, ..., 0]).save(
                tmp_path / "photos" / name / f"{row}.png"
            )
    runner = CliRunner()
    photos, repo, back = (str(tmp_path / name) for name in ("photos", "repo", "back"))
    done = runner.invoke(
        app, ["push", str(model), repo, "--images", photos, "--normal", "three", "--grey"]
    )
    assert done.exit_code == 0, done.output
    assert "10 normal, 10 anomalous" in (tmp_path / "repo" / "README.md").read_text("utf-8")
    done = runner.invoke(app, ["pull", repo, "--out", back])
    assert done.exit_code == 0, done.output
    assert "Mahalanobis" in done.output


def test_mlflow_keeps_the_exported_file_and_scores_alike(model, digits, tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow", reason="MLflow is not installed: insphere[mlflow]")
    pytest.importorskip("onnxscript")
    pandas = pytest.importorskip("pandas")
    from insphere.export.graph import export_onnx, load_for_export
    from insphere.runtime.pyfunc import log_mlflow, save_mlflow

    export_onnx(model, tmp_path / "m.onnx", maps=False)
    save_mlflow(tmp_path / "m.onnx", tmp_path / "kept")
    names = [file.name for file in (tmp_path / "kept").rglob("*") if file.is_file()]
    assert not any(name.endswith((".pkl", ".pickle")) for name in names)
    loaded = mlflow.pyfunc.load_model(str(tmp_path / "kept"))
    wanted = load_for_export(model).anomaly_score(digits.images[:20])
    found = loaded.predict(digits.images[:20])
    np.testing.assert_allclose(found["score"], wanted, rtol=1e-9)
    contents = []
    for image in digits.images[:20]:
        file = io.BytesIO()
        Image.fromarray(image[..., 0]).save(file, "PNG")
        contents.append(file.getvalue())
    again = loaded.predict(pandas.DataFrame({"image": contents}))
    np.testing.assert_allclose(again["score"], wanted, rtol=1e-9)
    with pytest.raises(ModelError, match="exists already"):
        save_mlflow(tmp_path / "m.onnx", tmp_path / "kept")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri((tmp_path / "store").as_uri())
    with mlflow.start_run():
        said = log_mlflow(tmp_path / "m.onnx")
    logged = mlflow.pyfunc.load_model(said.model_uri)
    np.testing.assert_allclose(logged.predict(digits.images[:20])["score"], wanted, rtol=1e-9)
