"""Kinds of data: how they are recognised, and what a new one takes, shown on one of this file."""

import json
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import roc_auc_score

import insphere
from insphere.data import ImageSet
from insphere.detectors import ConvolutionalSVDD, DeepCAE, DeepSVDD, KNNDetector
from insphere.detectors.model_folder import describe_model
from insphere.detectors.persistence.model_format import digest
from insphere.errors import DataError, ModelError
from insphere.modalities.images import Images
from insphere.modalities.modality import Modality, forget_columns
from insphere.modalities.table import MODALITIES, kind_of, kind_of_input, restored
from insphere.modalities.tables import Tables
from insphere.preprocess.pipeline import to_batch
from insphere.training.start import sample_shape

PIXELS = np.random.default_rng(0).integers(0, 256, (30, 6, 5, 1), dtype=np.uint8)
ROWS = np.random.default_rng(0).normal(size=(30, 4))


@pytest.mark.parametrize(
    ("X", "kind"),
    [
        (PIXELS, Images),
        (PIXELS[..., 0], Images),
        (list(PIXELS), Images),
        (list(PIXELS[..., 0]), Images),
        (Image.fromarray(PIXELS[0, ..., 0]), Images),
        (torch.from_numpy(PIXELS).permute(0, 3, 1, 2), Images),
        (ImageSet(PIXELS, np.zeros(30, np.int64), ("normal",)), Images),
        ("some/folder", Images),
        (PIXELS[None], Images),  # of five dimensions: its reading says what is wrong
        (ROWS, Tables),
        (ROWS.tolist(), Tables),
        (torch.from_numpy(ROWS), Tables),
        (ROWS[:, 0], Tables),  # scikit-learn says what is wrong
    ],
)
def test_an_input_is_of_one_kind(X, kind):
    assert kind_of_input(X) is kind


def test_pandas_and_sparse_tables_are_tables():
    pandas = pytest.importorskip("pandas")
    from scipy.sparse import csr_matrix

    assert kind_of_input(pandas.DataFrame(ROWS)) is Tables
    assert kind_of_input(csr_matrix(ROWS)) is Tables


def test_what_is_read_is_recognised_again():
    assert kind_of(PIXELS) is Images
    assert kind_of(ROWS) is Tables
    assert (sample_shape(PIXELS), sample_shape(ROWS)) == ((1, 6, 5), (4,))
    with pytest.raises(TypeError, match="No kind of data"):
        kind_of(PIXELS[..., 0])


def test_batches_are_views_in_the_layout_of_networks():
    assert np.shares_memory(Images.batch(PIXELS), PIXELS)
    batch = to_batch(PIXELS, torch.device("cpu"))
    assert batch.shape == (30, 1, 6, 5)
    colour = to_batch(np.repeat(PIXELS, 3, axis=3), torch.device("cpu"))
    assert colour.is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_array_equal(Images.unbatch(Images.batch(PIXELS)), PIXELS)
    np.testing.assert_array_equal(to_batch(ROWS, torch.device("cpu")), ROWS)


@pytest.mark.parametrize("known", [Images((28, 28, 3), "uint8"), Tables(7)])
def test_what_is_known_survives_json(known):
    assert restored(json.loads(json.dumps(known.saved()))) == known


def test_a_detector_knows_what_it_was_fitted_to(tmp_path):
    images, table = (
        KNNDetector(contamination=0.05).fit(PIXELS),
        KNNDetector(contamination=0.05).fit(ROWS),
    )
    assert images.modality_ == Images((6, 5, 1), "uint8")
    assert (images.image_shape_, images.image_dtype_) == ((6, 5, 1), "uint8")
    assert table.modality_ == Tables(4)
    assert (table.image_shape_, table.image_dtype_) == (None, None)
    for detector, size in ((images, "6×5×1"), (table, "4 numbers")):
        folder = detector.save(tmp_path / size)
        assert insphere.load(folder).modality_ == detector.modality_
        assert restored(describe_model(folder)["modality"]).size == size
        assert f" of {size}" in (folder / "card.md").read_text()


@pytest.mark.parametrize("X", [PIXELS, ROWS], ids=["images", "table"])
@pytest.mark.parametrize("cls", [DeepSVDD, DeepCAE, KNNDetector])
def test_models_from_before_kinds_are_read(tmp_path, X, cls):
    """Format 2 had no kind; Deep SVDD's centre lay at the top."""
    params = {KNNDetector: {}, DeepCAE: {"epochs": 1}}.get(cls, {"epochs": 1, "pretrain_epochs": 1})
    detector = cls(contamination=0.05, **params).fit(X)
    folder = detector.save(tmp_path / "model")
    path = folder / "detector.json"
    description = json.loads(path.read_text())
    del description["fitted"]["modality_"]
    description["format_version"] = 2
    description["sha256"] = digest(description)
    path.write_text(json.dumps(description))
    loaded = insphere.load(folder)
    assert loaded.modality_ == detector.modality_
    np.testing.assert_array_equal(loaded.anomaly_score(X), detector.anomaly_score(X))


def test_a_failed_fit_leaves_an_unfitted_detector():
    from sklearn.exceptions import NotFittedError

    detector = KNNDetector(contamination=0.05)
    with pytest.raises(DataError, match="All values"):
        detector.fit(np.zeros((9, 4, 4, 1), np.uint8))
    with pytest.raises(NotFittedError):
        detector.predict(PIXELS)


# ---------------------------------------------------------------- a third kind

LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class Words(Modality):
    """Words; a network sees how often each letter is in them."""

    longest: int

    key: ClassVar[str] = "words"
    noun: ClassVar[str] = "words"
    plural: ClassVar[str] = "words"

    @classmethod
    def reads(cls, X):
        return isinstance(X, list) and bool(X) and all(isinstance(word, str) for word in X)

    @classmethod
    def owns(cls, data):
        return data.dtype.kind == "U"

    @classmethod
    def read(cls, X, *, fitting, estimator):
        if not all(X):
            raise DataError("A word is empty; leave it out.")
        if fitting:
            forget_columns(estimator)
        return np.array(X)

    @classmethod
    def of(cls, data):
        return cls(max(map(len, data.tolist())))

    @classmethod
    def batch(cls, data):
        counts = [[word.count(letter) / len(word) for letter in LETTERS] for word in data.tolist()]
        return np.array(counts, dtype=np.float32)

    @classmethod
    def check_varied(cls, data):
        if len(set(data.tolist())) < 2:
            raise DataError("All words are the same.")

    @property
    def sample_shape(self):
        return (len(LETTERS),)

    def check(self, data):
        if max(map(len, data.tolist())) > 3 * self.longest:
            raise DataError("A word is far longer than those trained on.")

    def describe(self):
        return f"words of up to {self.longest} letters"

    @property
    def size(self):
        return f"up to {self.longest} letters"

    @property
    def default_encoder(self):
        return {"kind": "mlp", "widths": (32,), "rep_dim": 8, "norm": "none"}

    @property
    def default_preprocess(self):
        return [{"step": "standardize", "scope": "all"}]


def words(letters, n, seed):
    """Words of five to eight of these letters."""
    rng = np.random.default_rng(seed)
    return ["".join(rng.choice(list(letters), rng.integers(5, 9))) for _ in range(n)]


@pytest.fixture
def with_words(monkeypatch):
    monkeypatch.setitem(MODALITIES, "texts", f"{__name__}.Words")  # else these take the strings
    monkeypatch.setitem(MODALITIES, "words", f"{__name__}.Words")


@pytest.mark.usefixtures("with_words")
@pytest.mark.parametrize("cls", [DeepSVDD, DeepCAE])
def test_a_new_kind_needs_its_file_and_a_line_in_the_table(tmp_path, cls):
    normal, other = words("aeioust", 200, 0), words("bcdfghkxqz", 50, 1)
    detector = cls(false_alarm_rate=0.1, random_state=0, checkpoint_dir=tmp_path / "c").fit(normal)
    assert detector.modality_ == Words(8)
    assert detector.spec_.encoder.widths == (32,)
    assert detector.spec_.preprocess[0].scope == "all"
    new = words("aeioust", 50, 2)
    scores = detector.anomaly_score(new + other)
    assert roc_auc_score([0] * 50 + [1] * 50, scores) > 0.95
    assert (detector.predict(other) == -1).mean() > 0.9
    folder = detector.save(tmp_path / "model")
    loaded = insphere.load(folder)
    assert loaded.modality_ == Words(8)
    np.testing.assert_array_equal(loaded.anomaly_score(new + other), scores)
    assert " words of up to 8 letters" in (folder / "card.md").read_text()
    groups = [word[0] for word in normal]
    grouped = cls(false_alarm_rate=0.1, random_state=0, epochs=1).fit(normal, groups=groups)
    assert 0 < grouped.n_calibration_groups_ < 7


@pytest.mark.usefixtures("with_words")
def test_a_new_kind_is_told_from_the_others_in_one_sentence(tmp_path):
    detector = DeepSVDD(epochs=1, pretrain_epochs=0, random_state=0, contamination=0.05).fit(
        words("abc", 20, 0)
    )
    with pytest.raises(DataError, match="trained on words of up to 8 letters, but got a table"):
        detector.predict(ROWS)
    with pytest.raises(DataError, match="trained on words of up to 8 letters, but got images"):
        detector.predict(PIXELS)
    with pytest.raises(DataError, match="far longer"):
        detector.predict(["a" * 99])
    with pytest.raises(DataError, match="A word is empty"):
        detector.predict(["a", ""])
    with pytest.raises(DataError, match="All words are the same"):
        DeepSVDD(contamination=0.05).fit(["abc", "abc"])
    with pytest.raises(DataError, match="trained on a table, but got words"):
        KNNDetector(contamination=0.05).fit(ROWS).predict(["abc"])
    with pytest.raises(DataError, match="ConvolutionalSVDD takes images, but got words"):
        ConvolutionalSVDD(contamination=0.05).fit(words("abc", 20, 0))
    with pytest.raises(DataError, match="fitted on words"):
        detector._read_images(words("abc", 3, 0))


def test_a_model_of_an_unknown_kind_is_refused(tmp_path, monkeypatch):
    monkeypatch.setitem(MODALITIES, "texts", f"{__name__}.Words")  # else these take the strings
    monkeypatch.setitem(MODALITIES, "words", f"{__name__}.Words")
    detector = DeepSVDD(epochs=1, pretrain_epochs=0, contamination=0.05).fit(words("abc", 20, 0))
    folder = detector.save(tmp_path / "model")
    monkeypatch.delitem(MODALITIES, "words")
    with pytest.raises(ModelError):
        insphere.load(folder)
