"""Many images: every score is the library's, nothing is scored twice, nothing is lost."""

import numpy as np
import pytest

from digit_files import model_of_threes, png
from insphere.errors import DataError, SpecError
from insphere.export.graph import export_onnx, load_for_export

pd = pytest.importorskip("pandas")
pytest.importorskip("pyarrow")
pytest.importorskip("fsspec")
pytest.importorskip("onnxscript")

pytestmark = pytest.mark.usefixtures("operators_once")

from insphere.runtime.scorer import Scorer  # noqa: E402
from insphere.runtime.shards import Shard, list_shards, score_shard  # noqa: E402
from insphere.workflows.bulk_scoring import score_many  # noqa: E402

N = 60


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """A model, exported; digits in a folder and in two Parquet files; their scores."""
    folder = tmp_path_factory.mktemp("bulk")
    data = model_of_threes(folder / "m")
    export_onnx(folder / "m", folder / "m.onnx", maps=False)
    contents = [png(image) for image in data.images[:N]]
    (folder / "photos" / "b").mkdir(parents=True)
    for number, content in enumerate(contents):
        place = folder / "photos" / ("b" if number % 2 else ".") / f"{number:03d}.png"
        place.write_bytes(content)
    (folder / "photos" / ".hidden.png").write_bytes(contents[0])
    (folder / "tables").mkdir()
    for part in range(2):
        rows = range(part * N // 2, (part + 1) * N // 2)
        table = pd.DataFrame({"id": list(rows), "image": [contents[row] for row in rows]})
        table.to_parquet(folder / "tables" / f"{part}.parquet", row_group_size=20)
    scores = load_for_export(folder / "m").anomaly_score(data.images[:N])
    return folder, scores


def check(found, scores):
    np.testing.assert_allclose(found["score"], scores, rtol=1e-9)
    assert set(found["verdict"]) == {"normal", "anomalous"}
    assert (found["error"] == "").all()
    assert found["p_value"].between(0, 1).all()


def test_parquet_is_divided_by_row_groups_and_goes_on_where_it_stopped(given, tmp_path):
    folder, scores = given
    shards = list_shards(str(folder / "tables"))
    assert [one.rows for one in shards] == [20, 10, 20, 10]
    assert Shard.of(shards[1].text()) == shards[1]
    out = tmp_path / "out"
    first = score_many(folder / "m.onnx", str(folder / "tables"), str(out), backend="processes",
                       workers=1)  # fmt: skip
    assert (first.rows, first.errors, first.done_before) == (N, 0, 0)
    found = pd.read_parquet(out).sort_values("id")
    check(found, scores)
    assert first.anomalous == (found["verdict"] == "anomalous").sum()
    parts = sorted(out.glob("part-*.parquet"))
    assert len(parts) == 4
    kept = [part.stat().st_mtime_ns for part in parts[1:]]
    parts[0].unlink()
    again = score_many(folder / "m.onnx", str(folder / "tables"), str(out), backend="processes",
                       workers=1)  # fmt: skip
    assert again.rows + again.done_before == N
    assert again.rows in (10, 20)
    assert [part.stat().st_mtime_ns for part in parts[1:]] == kept
    check(pd.read_parquet(out).sort_values("id"), scores)
    with pytest.raises(SpecError, match="another source or model"):
        score_many(folder / "m.onnx", str(folder / "photos"), str(out), backend="processes")


def test_a_folder_of_files_and_what_cannot_be_read(given, tmp_path):
    import shutil

    folder, scores = given
    photos = tmp_path / "photos"
    shutil.copytree(folder / "photos", photos)
    (photos / "zz.png").write_bytes(b"no image")
    big = np.zeros((9, 9, 1), np.uint8)
    (photos / "zzz.png").write_bytes(png(big))
    shards = list_shards(str(photos), images_each=25)
    assert [one.rows for one in shards] == [25, 25, 12]
    scorer = Scorer(folder / "m.onnx", threads=1)
    (tmp_path / "out").mkdir()
    for number, one in enumerate(shards):
        score_shard(one, scorer, str(tmp_path / "out"), str(number))
    found = pd.read_parquet(tmp_path / "out")
    assert len(found) == N + 2
    good = found[found["error"] == ""]
    order = good["name"].str.extract(r"(\d+)\.png")[0].astype(int).to_numpy()
    np.testing.assert_allclose(good["score"], scores[order], rtol=1e-9)
    bad = found[found["error"] != ""].set_index("name")
    assert sorted(bad.index) == ["zz.png", "zzz.png"]
    assert bad["score"].isna().all()
    assert "no image" in bad.loc["zz.png", "error"]
    assert "9×9" in bad.loc["zzz.png", "error"]


def test_stores_of_fsspec_are_read_and_written(given):
    import fsspec

    folder, scores = given
    memory = fsspec.filesystem("memory")
    memory.put(str(folder / "tables" / "0.parquet"), "/in/0.parquet")
    scorer = Scorer(folder / "m.onnx", threads=1)
    for one in list_shards("memory://in"):
        said = score_shard(one, scorer, "memory://out", one.key("x"))
        assert said["errors"] == 0
    parts = [pd.read_parquet(memory.open(name)) for name in memory.find("/out")]
    assert all("unfinished" not in name for name in memory.find("/out"))
    check(pd.concat(parts).sort_values("id"), scores[: N // 2])


def test_mistakes_are_sentences(given, tmp_path):
    folder, _ = given
    with pytest.raises(DataError, match="no images and no Parquet"):
        list_shards(str(tmp_path))
    with pytest.raises(DataError, match="cannot be opened"):
        list_shards("nonsense://x")
    with pytest.raises(SpecError, match="--backend"):
        score_many(folder / "m.onnx", str(folder), str(tmp_path), backend="spark")
    with pytest.raises(DataError, match="holds images and Parquet"):
        list_shards(str(folder))
    scorer = Scorer(folder / "m.onnx", threads=1)
    with pytest.raises(DataError, match="--image-column"):
        score_shard(list_shards(str(folder / "tables"))[0], scorer, str(tmp_path), "k", column="x")


@pytest.mark.slow
def test_ray_scores_alike_and_goes_on(given, tmp_path):
    pytest.importorskip("ray", reason="Ray is not installed: insphere[ray]")
    folder, scores = given
    out = tmp_path / "out"
    found = score_many(folder / "m", str(folder / "tables"), str(out), workers=1)
    assert (found.rows, found.errors) == (N, 0)
    check(pd.read_parquet(out).sort_values("id"), scores)
    again = score_many(folder / "m.onnx", str(folder / "tables"), str(out), workers=1)
    assert (again.rows, again.done_before) == (0, N)
