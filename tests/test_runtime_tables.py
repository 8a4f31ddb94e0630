"""Tables in, tables out: the same scores in pandas and in Dask."""

from __future__ import annotations

import numpy as np
import pytest

from digit_files import model_of_threes, png
from insphere.detectors.registry import build_detector
from insphere.errors import DataError
from insphere.export.graph import export_onnx, load_for_export
from insphere.runtime.tables import COLUMNS, score_batch

pd = pytest.importorskip("pandas")
pytest.importorskip("onnxscript")

pytestmark = pytest.mark.usefixtures("operators_once")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """An exported model of digits, and a table of digits as PNG."""
    folder = tmp_path_factory.mktemp("tables")
    data = model_of_threes(folder / "m")
    export_onnx(folder / "m", folder / "m.onnx", maps=False)
    contents = [png(image) for image in data.images[:50]]
    table = pd.DataFrame({"id": np.arange(50), "image": contents}, index=np.arange(50) + 7)
    scores = load_for_export(folder / "m").anomaly_score(data.images[:50])
    return folder / "m.onnx", table, scores


def test_a_table_of_images_gets_its_scores(model):
    path, table, scores = model
    found = score_batch(table, path)
    assert list(found.columns) == ["id", *COLUMNS]
    np.testing.assert_array_equal(found.index, table.index)
    np.testing.assert_allclose(found["score"], scores, rtol=1e-9)
    assert set(found["verdict"]) == {"normal", "anomalous"}
    assert list(score_batch(table.iloc[:0], path).columns) == list(found.columns)
    with pytest.raises(DataError, match="no column 'photo'"):
        score_batch(table, path, column="photo")
    with pytest.raises(DataError, match="Row 0 of the column 'id'"):
        score_batch(table, path, column="id")


def test_dask_scores_partitions_alike(model):
    dask = pytest.importorskip("dask.dataframe")
    from functools import partial

    from dask import config

    path, table, scores = model
    with config.set({"dataframe.convert-string": False}):  # bytes are no text
        parts = dask.from_pandas(table, npartitions=4)
        meta = score_batch(table.iloc[:0], path)
        lazy = parts.map_partitions(partial(score_batch, model=path), meta=meta)
        found = lazy.compute(scheduler="threads")
    np.testing.assert_allclose(found["score"], scores, rtol=1e-9)
    np.testing.assert_array_equal(found["id"], table["id"])


def test_rows_are_taken_by_the_names_of_their_columns(tmp_path):
    rng = np.random.default_rng(0)
    rows = pd.DataFrame(rng.normal(size=(60, 3)), columns=["a", "b", "c"])
    build_detector("mahalanobis", {}, seed=0).fit(rows).save(tmp_path / "m")
    export_onnx(tmp_path / "m", tmp_path / "m.onnx")
    other = rows[["c", "a", "b"]].assign(note="x")
    found = score_batch(other, tmp_path / "m.onnx")
    wanted = load_for_export(tmp_path / "m").anomaly_score(rows)
    np.testing.assert_allclose(found["score"], wanted, rtol=1e-9)
    with pytest.raises(DataError, match="no column 'b'"):
        score_batch(rows[["a", "c"]], tmp_path / "m.onnx")
