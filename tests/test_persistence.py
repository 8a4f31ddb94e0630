"""Model folders: the same scores bit for bit, and a clear refusal of everything else."""

import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save as dump_arrays
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError

from insphere.detectors import (
    DeepSVDD,
    IsolationForestDetector,
    KDEDetector,
    KNNDetector,
    MahalanobisDetector,
    OCSVMDetector,
    OneClassDetector,
    describe_model,
    load_detector,
    save_detector,
)
from insphere.detectors.method_table import class_names
from insphere.detectors.persistence.model_format import DESCRIPTION, WEIGHTS, digest
from insphere.errors import ModelError, SpecError
from insphere.nets import EncoderSpec

ALL = [OCSVMDetector, IsolationForestDetector, KNNDetector, KDEDetector, MahalanobisDetector]


@pytest.fixture(scope="module")
def digits() -> np.ndarray:
    return (load_digits().images * 15.9375).astype(np.uint8)[..., None]


@pytest.fixture(scope="module")
def fitted(digits: np.ndarray) -> OneClassDetector:
    return MahalanobisDetector(false_alarm_rate=0.05, random_state=0).fit(digits[:200])


@pytest.fixture
def model(fitted: OneClassDetector, tmp_path: Path) -> Path:
    return save_detector(fitted, tmp_path / "model")


def rewrite(model: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change detector.json and put a fitting digest under it, as a forger would."""
    description = json.loads((model / DESCRIPTION).read_text())
    change(description)
    description["sha256"] = digest(description)
    (model / DESCRIPTION).write_text(json.dumps(description))


def replace_weights(model: Path, content: bytes) -> None:
    (model / WEIGHTS).write_bytes(content)

    def change(description: dict[str, Any]) -> None:
        description["weights"]["bytes"] = len(content)
        description["weights"]["sha256"] = hashlib.sha256(content).hexdigest()

    rewrite(model, change)


def names_in(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def refused(model: Path, match: str) -> None:
    for read in (load_detector, describe_model):
        with pytest.raises(ModelError, match=match) as caught:
            read(model)
        message = str(caught.value)
        assert message.endswith(".")
        assert "\n" not in message


# ------------------------------------------------------------------ there and back


@pytest.mark.parametrize("kind", ["images", "table"])
@pytest.mark.parametrize("cls", ALL)
def test_scores_are_the_same_bit_for_bit(
    cls: type[OneClassDetector], kind: str, digits: np.ndarray, tmp_path: Path
) -> None:
    data = digits if kind == "images" else digits.reshape(len(digits), -1) / 16.0
    detector = cls(false_alarm_rate=0.1, random_state=3).fit(data[:300])
    loaded = load_detector(detector.save(tmp_path / "model"))
    assert type(loaded) is cls
    assert loaded.get_params() == detector.get_params()
    for method in (
        "anomaly_score",
        "decision_function",
        "predict",
        "z_score",
        "p_value",
        "severity",
    ):
        ours, theirs = getattr(loaded, method)(data), getattr(detector, method)(data)
        assert ours.tobytes() == theirs.tobytes()
    names = {name for name in vars(detector) if name.endswith("_")}
    for name in names:
        np.testing.assert_array_equal(getattr(loaded, name), getattr(detector, name))
    assert loaded.image_shape_ == detector.image_shape_
    assert type(loaded.image_shape_) is type(detector.image_shape_)
    # A loaded detector is a whole one: it saves the same bytes, and can be fitted again.
    again = loaded.save(tmp_path / "again")
    for name in (WEIGHTS, DESCRIPTION, "card.md"):
        assert (again / name).read_bytes() == (tmp_path / "model" / name).read_bytes()
    np.testing.assert_array_equal(
        loaded.fit(data[:300]).anomaly_score(data), detector.anomaly_score(data)
    )


def test_another_process_gets_the_same_scores_without_torch(
    digits: np.ndarray, tmp_path: Path
) -> None:
    detector = IsolationForestDetector(random_state=0, contamination=0.05).fit(digits[:200])
    detector.save(tmp_path / "model")
    np.save(tmp_path / "digits.npy", digits)
    code = (
        "import sys, numpy, insphere.detectors\n"
        "loaded = insphere.detectors.load_detector(sys.argv[1] + '/model')\n"
        "scores = loaded.anomaly_score(numpy.load(sys.argv[1] + '/digits.npy'))\n"
        "assert 'torch' not in sys.modules\n"
        "print(scores.tobytes().hex())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == detector.anomaly_score(digits).tobytes().hex()


def test_feature_names_survive(tmp_path: Path) -> None:
    table = pandas.DataFrame(np.random.default_rng(0).normal(size=(30, 2)), columns=["a", "b"])
    detector = KNNDetector(normalize=None, contamination=0.05).fit(table)
    loaded = load_detector(detector.save(tmp_path / "model"))
    assert list(loaded.feature_names_in_) == ["a", "b"]
    with pytest.raises(ValueError, match="feature names"):
        loaded.predict(table[["b", "a"]])


def test_the_folder_explains_itself(model: Path, fitted: OneClassDetector) -> None:
    assert sorted(file.name for file in model.iterdir()) == ["card.md", DESCRIPTION, WEIGHTS]
    card = (model / "card.md").read_text()
    for word in (
        "MahalanobisDetector",
        "8×8×1",
        "160 images",
        fitted.threshold_rule_,
        repr(fitted.threshold_),
        fitted.data_fingerprint_,
    ):
        assert word in card
    about = describe_model(model)
    assert json.loads(json.dumps(about)) == about
    assert about["detector"] == "MahalanobisDetector"
    assert about["threshold"] == fitted.threshold_
    assert about["image_shape"] == [8, 8, 1]
    assert about["n_train"] == 160
    assert about["params"]["false_alarm_rate"] == 0.05
    assert about["arrays"]["calibration_scores_"] == [40]
    assert {"python", "insphere", "numpy", "scikit-learn", "torch"} <= set(about["versions"])


def test_a_generator_as_random_state_is_not_written_down(
    digits: np.ndarray, tmp_path: Path
) -> None:
    detector = KNNDetector(random_state=np.random.RandomState(0), contamination=0.05).fit(
        digits[:50]
    )
    assert load_detector(detector.save(tmp_path / "model")).random_state is None


def test_a_network_survives_and_leaves_its_machine_behind(
    digits: np.ndarray, tmp_path: Path
) -> None:
    detector = DeepSVDD(
        encoder=EncoderSpec(kind="mlp", widths=(16,), rep_dim=4),
        epochs=1,
        pretrain_epochs=0,
        device="cpu",
        checkpoint_dir=tmp_path / "checkpoints",
        random_state=0,
        contamination=0.05,
    )
    detector.fit(digits[:100].reshape(100, 64) / 16.0)
    loaded = load_detector(detector.save(tmp_path / "model"))
    rows = digits.reshape(-1, 64) / 16.0
    assert loaded.anomaly_score(rows).tobytes() == detector.anomaly_score(rows).tobytes()
    assert loaded.get_params()["device"] == "auto"
    assert loaded.get_params()["checkpoint_dir"] is None
    assert str(tmp_path) not in (tmp_path / "model" / DESCRIPTION).read_text()


# ------------------------------------------------------------------ writing


def test_an_existing_model_is_replaced_only_when_asked(
    model: Path, digits: np.ndarray, tmp_path: Path
) -> None:
    before = (model / DESCRIPTION).read_bytes()
    other = KNNDetector(contamination=0.05).fit(digits[:50])
    with pytest.raises(ModelError, match="exists already"):
        other.save(model)
    assert (model / DESCRIPTION).read_bytes() == before
    other.save(model, overwrite=True)
    assert isinstance(load_detector(model), KNNDetector)
    assert names_in(tmp_path) == ["model"]


def test_other_peoples_files_in_the_folder_stay(model: Path, digits: np.ndarray) -> None:
    mine = {"notes.txt": b"precious", "weights-mine.safetensors": b"precious", ".hidden": b""}
    for name, content in mine.items():
        (model / name).write_bytes(content)
    (model / "photos").mkdir()
    (model / "photos" / "1.png").write_bytes(b"precious")
    KNNDetector(contamination=0.05).fit(digits[:50]).save(model, overwrite=True)
    assert isinstance(load_detector(model), KNNDetector)
    assert {name: (model / name).read_bytes() for name in mine} == mine
    assert (model / "photos" / "1.png").read_bytes() == b"precious"
    assert len(names_in(model)) == len(mine) + 4
    assert "KNNDetector" in (model / "card.md").read_text()


@pytest.mark.parametrize("content", ["{}", "[1]", '{"detector": "fire alarm"}', "no JSON"])
def test_a_detector_json_of_something_else_is_no_model(
    fitted: OneClassDetector, tmp_path: Path, content: str
) -> None:
    (tmp_path / DESCRIPTION).write_text(content)
    with pytest.raises(ModelError, match="holds something else"):
        fitted.save(tmp_path, overwrite=True)
    assert (tmp_path / DESCRIPTION).read_text() == content


def save_and_die(detector: OneClassDetector, folder: Path, steps: int) -> int:
    """Overwrite a model in a process that dies, as if killed, after so many changes of names."""
    child = os.fork()
    if not child:
        left = [steps]

        def dying(change: Callable[..., Any]) -> Callable[..., Any]:
            def call(*arguments: Any, **options: Any) -> Any:
                left[0] -= 1
                if left[0] < 0:
                    os._exit(9)
                return change(*arguments, **options)

            return call

        for name in ("replace", "unlink", "rename", "mkdir"):
            setattr(Path, name, dying(getattr(Path, name)))
        try:
            detector.save(folder, overwrite=True)
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a process that can die")
@pytest.mark.parametrize("there", [True, False])
def test_a_writer_killed_at_any_step_leaves_a_model_and_no_rubbish(
    fitted: OneClassDetector, digits: np.ndarray, tmp_path: Path, there: bool
) -> None:
    other = KNNDetector(contamination=0.05).fit(digits[:50])
    folder = tmp_path / "models" / "model"
    for steps in range(60):
        if there:
            fitted.save(folder, overwrite=True)
        code = save_and_die(other, folder, steps)
        assert code in (0, 9)
        if there or folder.exists():
            assert type(load_detector(folder)) in (KNNDetector, type(fitted))
        if code == 0:
            break
        fitted.save(folder, overwrite=True)
        assert len(names_in(folder)) == 3
        assert names_in(folder.parent) == ["model"]
        assert type(load_detector(folder)) is type(fitted)
        if not there:
            shutil.rmtree(folder)
    assert steps > 4
    assert isinstance(load_detector(folder), KNNDetector)
    assert names_in(folder.parent) == ["model"]


def test_readers_get_a_whole_model_while_it_is_replaced(
    model: Path, fitted: OneClassDetector, digits: np.ndarray
) -> None:
    others = [KNNDetector(n_neighbors=k, contamination=0.05).fit(digits[:50]) for k in (1, 2)]
    over = threading.Event()

    def replace() -> None:
        while not over.is_set():
            for other in others:
                other.save(model, overwrite=True)

    writers = [threading.Thread(target=replace) for _ in range(2)]
    for writer in writers:
        writer.start()
    try:
        seen = [load_detector(model) for _ in range(100)]
    finally:
        over.set()
        for writer in writers:
            writer.join()
    assert {type(each) for each in seen} <= {KNNDetector, type(fitted)}
    assert len(names_in(model)) == 3


def test_nothing_but_a_model_is_ever_replaced(fitted: OneClassDetector, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "mine.txt").write_text("precious")
    file = tmp_path / "file"
    file.write_text("precious")
    for target in (photos, file):
        with pytest.raises(ModelError, match="holds something else"):
            fitted.save(target, overwrite=True)
    assert (photos / "mine.txt").read_text() == file.read_text() == "precious"
    (tmp_path / "empty").mkdir()
    fitted.save(tmp_path / "empty")
    fitted.save(tmp_path / "new" / "parents" / "model")
    load_detector(tmp_path / "new" / "parents" / "model")


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_disk_that_refuses_leaves_everything_as_it_was(
    model: Path, digits: np.ndarray, tmp_path: Path, overwrite: bool
) -> None:
    target = model if overwrite else tmp_path / "other"
    before = {file.name: file.read_bytes() for file in model.iterdir()}
    large = KNNDetector(contamination=0.05).fit(digits)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
        with pytest.raises(ModelError, match=r"could not be written.*free some space"):
            large.save(target, overwrite=overwrite)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert names_in(tmp_path) == ["model"]
    assert {file.name: file.read_bytes() for file in model.iterdir()} == before


def test_a_parent_that_is_a_file(fitted: OneClassDetector, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match="could not be written"):
        fitted.save(tmp_path / "file" / "model")


def test_what_cannot_be_saved(digits: np.ndarray, tmp_path: Path) -> None:
    class Mine(KNNDetector):
        pass

    with pytest.raises(NotFittedError):
        KNNDetector(contamination=0.05).save(tmp_path / "model")
    with pytest.raises(ModelError, match="Mine is not one of the detectors"):
        Mine().fit(digits[:50]).save(tmp_path / "model")
    broken = KNNDetector(contamination=0.05).fit(digits[:50])
    broken.training_[0, 0] = np.nan
    with pytest.raises(ModelError, match="training_ holds NaN"):
        broken.save(tmp_path / "model")
    odd = KNNDetector(contamination=0.05).fit(digits[:50]).set_params(calibration=object())
    with pytest.raises(ModelError, match=r"params\.calibration = .* cannot be saved"):
        odd.save(tmp_path / "model")
    assert names_in(tmp_path) == []


# ------------------------------------------------------------------ reading


def test_not_a_model(tmp_path: Path) -> None:
    refused(tmp_path / "nowhere", "does not exist")
    refused(tmp_path, "detector.json is missing")
    (tmp_path / "file").write_text("x")
    refused(tmp_path / "file", "is not a folder")


@pytest.mark.parametrize("name", [DESCRIPTION, WEIGHTS])
def test_missing_file(model: Path, name: str) -> None:
    (model / name).unlink()
    refused(model, f"{name} is missing")
    (model / name).mkdir()
    refused(model, "is not a file")


@pytest.mark.parametrize("keep", [0, 1, 100, -1])
@pytest.mark.parametrize("name", [DESCRIPTION, WEIGHTS])
def test_truncated_file(model: Path, name: str, keep: int) -> None:
    (model / name).write_bytes((model / name).read_bytes()[:keep])
    refused(model, f"{name} is damaged")


def test_newer_format(model: Path) -> None:
    rewrite(model, lambda d: d.update(format_version=5, something="new"))
    refused(model, "saved in format 5, but this insphere reads up to 4; upgrade")


def test_a_folder_of_format_1_is_read_and_its_tail_fitted(
    fitted: OneClassDetector, model: Path, digits: np.ndarray
) -> None:
    def older(description: dict[str, Any]) -> None:
        description["format_version"] = 1
        del description["fitted"]["tail_"]

    rewrite(model, older)
    loaded = load_detector(model)
    assert loaded.tail_ == fitted.tail_
    assert loaded.severity(digits).tobytes() == fitted.severity(digits).tobytes()


def test_a_detector_without_calibration_has_no_tail(digits: np.ndarray, tmp_path: Path) -> None:
    detector = MahalanobisDetector(contamination=0.05).fit(digits[:100])
    loaded = load_detector(detector.save(tmp_path / "model"))
    assert loaded.tail_ is None
    with pytest.raises(SpecError, match=r"no p-values, because .*; fit it again"):
        loaded.p_value(digits)


@pytest.mark.parametrize("version", [0, -1, "1", None, 1.0])
def test_format_version_that_never_was(model: Path, version: object) -> None:
    rewrite(model, lambda d: d.update(format_version=version))
    refused(model, "damaged")


@pytest.mark.parametrize("name", ["os.system", "KNN", "OneClassDetector", "save_detector", "", "."])
def test_unknown_class(model: Path, name: str) -> None:
    rewrite(model, lambda d: d.update(detector=name))
    refused(model, "can load only ")


@pytest.mark.parametrize(
    "file", ["../weights.safetensors", "/etc/passwd", "..", "", "sub/weights.safetensors", "C:\\x"]
)
def test_weights_named_elsewhere(model: Path, file: str) -> None:
    (model.parent / WEIGHTS).write_bytes((model / WEIGHTS).read_bytes())
    rewrite(model, lambda d: d["weights"].update(file=file))
    refused(model, "only weights.safetensors inside the model folder")


@pytest.mark.parametrize("name", [DESCRIPTION, WEIGHTS])
def test_links_that_lead_outside(model: Path, name: str) -> None:
    outside = model.parent / "outside"
    (model / name).rename(outside)
    (model / name).symlink_to(outside)
    refused(model, "leads outside of the model folder")
    (model / name).unlink()
    (model / name).symlink_to(name)
    refused(model, name)


def test_a_link_to_the_whole_folder_is_fine(model: Path, tmp_path: Path) -> None:
    (tmp_path / "latest").symlink_to(model)
    load_detector(tmp_path / "latest")
    with pytest.raises(ModelError, match="holds something else"):
        load_detector(model).save(tmp_path / "latest", overwrite=True)


def test_edited_description(model: Path) -> None:
    text = (model / DESCRIPTION).read_text()
    (model / DESCRIPTION).write_text(text.replace('"n_train_": 160', '"n_train_": 161'))
    refused(model, "its SHA-256 does not fit")


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ('"calibration": "auto"', '"calibration": NaN', "NaN is not a finite number"),
        ('"calibration": "auto"', '"calibration": -Infinity', "not a finite number"),
        ('"calibration": "auto"', '"calibration": 1e999', "1e999 is not a finite number"),
        ('"calibration": "auto"', '"calibration": 0.2, "calibration": 0.3', "appears twice"),
        ('"n_train_": 160', '"n_train_": "160"', "fitted.n_train_"),
        ('"n_train_": 160', '"n_train_": 160, "more": 1', "fitted.more"),
    ],
)
def test_json_that_is_not_strict(model: Path, old: str, new: str, match: str) -> None:
    text = (model / DESCRIPTION).read_text()
    assert old in text
    (model / DESCRIPTION).write_text(text.replace(old, new))
    refused(model, match)


@pytest.mark.parametrize("content", [b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b"1" * 10_000])
def test_json_of_something_else(model: Path, content: bytes) -> None:
    (model / DESCRIPTION).write_bytes(content)
    refused(model, "damaged")


def test_tampered_weights(model: Path) -> None:
    content = bytearray((model / WEIGHTS).read_bytes())
    content[-5] ^= 1
    (model / WEIGHTS).write_bytes(content)
    refused(model, "its SHA-256 does not fit")


def test_weights_that_are_no_safetensors_or_not_finite(model: Path) -> None:
    replace_weights(model, b"\x80\x04K\x01.")
    refused(model, "not safetensors")
    replace_weights(model, dump_arrays({"mean_": np.array([1.0, np.nan])}))
    refused(model, "mean_ holds NaN or infinite numbers")


def test_contents_that_do_not_make_the_detector(model: Path) -> None:
    replace_weights(model, dump_arrays({"calibration_scores_": np.zeros(1)}))
    with pytest.raises(ModelError, match="do not make a MahalanobisDetector"):
        load_detector(model)


@pytest.mark.parametrize("params", [{"surprise": 1}, {"__class__": "x"}])
def test_parameters_that_do_not_exist(model: Path, params: dict[str, Any]) -> None:
    rewrite(model, lambda d: d["params"].update(params))
    with pytest.raises(ModelError, match="do not make a MahalanobisDetector"):
        load_detector(model)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_changed_byte_is_noticed(
    data: st.DataObject, fitted: OneClassDetector, tmp_path_factory: pytest.TempPathFactory
) -> None:
    model = save_detector(fitted, tmp_path_factory.mktemp("fuzz") / "model")
    file = model / data.draw(st.sampled_from([DESCRIPTION, WEIGHTS]))
    content = bytearray(file.read_bytes())
    position = data.draw(st.integers(0, len(content) - 1))
    flip = data.draw(st.integers(1, 255))
    content[position] ^= flip
    file.write_bytes(content)
    try:
        loaded = load_detector(model)
    except ModelError:
        return
    # Only white space between the JSON tokens may change without a trace.
    assert json.loads(file.read_text())["sha256"] == digest(json.loads(file.read_text()))
    assert loaded.threshold_ == fitted.threshold_


def test_every_loadable_class_is_public() -> None:
    import insphere.detectors

    assert set(class_names()) <= set(insphere.detectors.__all__)
