"""Large training sets: a stated sample, Nyström features or FAISS, and nothing changes below."""

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from insphere.detectors import KDEDetector, KNNDetector, OCSVMDetector
from insphere.detectors.base.many_rows import sampled_rows
from insphere.detectors.base.neighbors import Cells, cell_centers, mean_distance
from insphere.detectors.model_folder import load_detector
from insphere.errors import SpecError

N = 3000


@pytest.fixture(scope="module")
def rows():
    chance = np.random.default_rng(0)
    centers = chance.normal(size=(5, 6)) * 4
    draw = lambda n: centers[chance.integers(5, size=n)] + chance.normal(size=(n, 6))  # noqa: E731
    new = np.concatenate([draw(200), chance.normal(size=(200, 6)) * 6])
    return draw(N), new, np.repeat([0, 1], 200)


def test_a_sample_is_uniform_repeatable_and_stated():
    F = np.arange(100.0)[:, None]
    same, kept, said = sampled_rows(F, 100, None)
    assert same is F
    assert kept is None
    assert said is None
    few, kept, said = sampled_rows(F, 30, None)
    assert len(np.unique(kept)) == 30
    np.testing.assert_array_equal(few, F[kept])
    assert "30 of the 100" in said
    np.testing.assert_array_equal(few, sampled_rows(F, 30, None)[0])
    assert (few != sampled_rows(F, 30, 1)[0]).any()
    with pytest.raises(SpecError):
        sampled_rows(F, 0, None)


@pytest.mark.parametrize("cls", [KNNDetector, KDEDetector, OCSVMDetector])
def test_the_border_changes_nothing_below_and_little_beyond(cls, rows, tmp_path):
    train, new, truth = rows
    plain = cls().fit(train)
    assert plain.approximation_ is None
    at_border = cls(exact_rows=N).fit(train)
    np.testing.assert_array_equal(plain.anomaly_score(new), at_border.anomaly_score(new))
    many = cls(exact_rows=N // 3).fit(train)
    assert many.approximation_
    scores = many.anomaly_score(new)
    assert spearmanr(plain.anomaly_score(new), scores)[0] > 0.97
    assert roc_auc_score(truth, scores) > roc_auc_score(truth, plain.anomaly_score(new)) - 0.01
    many.save(tmp_path / "model")
    assert many.approximation_ in (tmp_path / "model" / "card.md").read_text("utf-8")
    again = load_detector(tmp_path / "model")
    np.testing.assert_array_equal(again.anomaly_score(new), scores)
    assert again.approximation_ == many.approximation_
    outside = (many.predict(train) == -1).mean()
    assert abs(outside - (plain.predict(train) == -1).mean()) < 0.05


@pytest.mark.parametrize("cls", [KNNDetector, KDEDetector])
def test_training_scores_of_a_sample_are_those_of_new_rows_and_leave_one_out(cls, rows):
    train = rows[0]
    many = cls(exact_rows=500, contamination=0.1, false_alarm_rate=None).fit(train)
    found = many._training_scores(many._on_scale(train))
    others = np.ones(N, dtype=bool)
    others[many._kept] = False
    np.testing.assert_allclose(found[others], many.anomaly_score(train[others]))
    if cls is KNNDetector:
        np.testing.assert_allclose(found[~others], mean_distance(many.training_, None, 2))
    itself = many._score(many._features(many._on_scale(train[many._kept])))
    assert (found[~others] > itself + 1e-3).all()


def test_the_linear_machine_bounds_the_share_outside(rows):
    train = rows[0]
    machine = OCSVMDetector(exact_rows=100, nu=0.1).fit(train)
    assert len(machine.support_vectors_) == 1000
    outside = (machine.anomaly_score(train) > 0).mean()
    assert outside == pytest.approx(0.1, abs=0.03)


def test_faiss_finds_neighbours_with_exact_distances(rows, tmp_path):
    pytest.importorskip("faiss", reason="FAISS is not installed: insphere[faiss]")
    train, new, _ = rows
    exact = KNNDetector().fit(train)
    quick = KNNDetector(search="faiss").fit(train)
    assert "FAISS" in quick.approximation_
    wanted, found = exact.anomaly_score(new), quick.anomaly_score(new)
    same = np.isclose(wanted, found, rtol=1e-9)
    assert same.mean() > 0.97
    assert (found >= wanted - 1e-9).all()
    own = exact._training_scores(train)
    assert np.isclose(own, quick._training_scores(train), rtol=1e-9).mean() > 0.97
    quick.save(tmp_path / "model")
    np.testing.assert_array_equal(load_detector(tmp_path / "model").anomaly_score(new), found)
    with pytest.raises(SpecError, match="cannot be exported"):
        quick._head()


def test_few_vectors_in_the_cells_are_completed_from_all():
    pytest.importorskip("faiss", reason="FAISS is not installed: insphere[faiss]")
    chance = np.random.default_rng(1)
    train = np.concatenate([chance.normal(size=(50, 3)), chance.normal(size=(3, 3)) + 1e3])
    centers = np.repeat(train[50:51], 1, axis=0).astype(np.float32)
    far = np.concatenate([centers, np.zeros((20, 3), np.float32) + chance.normal(size=(20, 3))])
    cells = Cells(train, far.astype(np.float32))
    cells._index.nprobe = 1
    new = train[50:51] + 0.1
    np.testing.assert_allclose(cells.mean_distance(new, 5), mean_distance(train, new, 5))
    assert len(cell_centers(np.repeat(train, 10, axis=0), 0)) == 13


def test_a_missing_package_is_named(rows, monkeypatch):
    import sys

    from insphere.errors import MissingExtraError

    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(MissingExtraError, match=r"insphere\[faiss\]"):
        KNNDetector(search="faiss").fit(rows[0])
