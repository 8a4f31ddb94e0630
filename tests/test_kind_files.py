"""Files of tables, series and graphs as users have them: many ways of writing, one reading."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insphere.data.read_options import ReadOptions
from insphere.errors import DataError, InsphereError
from insphere.modalities.graphs.files import read_graph
from insphere.modalities.graphs.kind import Graphs
from insphere.modalities.load import kind_of_source, load_source
from insphere.modalities.series import Series, TimeSeries
from insphere.modalities.series.stamps import moments
from insphere.modalities.tables import Tables
from insphere.modalities.tables.files import read_frame
from insphere.modalities.tables.numbers import as_columns
from insphere.modalities.tables.table_set import TableSet

NUMBERS = st.lists(
    st.integers(-(10**9), 10**9).map(lambda n: n / 100), min_size=2, max_size=12
)  # fmt: skip


def written(value: float, decimal: str, group: str, unit: str = "") -> str:
    """Write a number with two decimals, groups of three digits and a unit."""
    text = f"{value:,.2f}".replace(",", "\0").replace(".", decimal).replace("\0", group)
    return text + unit


# ----------------------------------------------------------------- numbers in text


@given(NUMBERS, st.sampled_from([(".", ","), (",", "."), (",", " "), (".", "'"), (".", "")]),
       st.sampled_from(["", " €", "%", "$"]))  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_numbers_survive_every_way_of_writing(values, marks, unit):
    decimal, group = marks
    cells = [written(value, decimal, group, unit) for value in values]
    (column,) = as_columns([cells], decimal)
    assert column.dtype == np.float64
    np.testing.assert_allclose(column, values)


@given(st.lists(st.text(st.characters(categories=("L",)), min_size=1), min_size=1, max_size=5))
@settings(max_examples=40, deadline=None)
def test_a_column_with_one_word_is_one_of_texts(words):
    (column,) = as_columns([["1.5", "2,000", *[f"word {w}" for w in words]]], ".")
    assert column.dtype == object


def test_the_file_decides_what_a_comma_and_a_dot_mean():
    thousands, ambiguous = as_columns([["1,234", "2,345,678"], ["1.234", "5"]], ".")
    assert thousands.tolist() == [1234, 2345678]
    assert ambiguous.tolist() == [1.234, 5]
    decimals, grouped = as_columns([["0,5", "1,25"], ["1.234", "5"]], ",")
    assert decimals.tolist() == [0.5, 1.25]
    assert grouped.tolist() == [1234, 5]  # the dots of a file with decimal commas group thousands
    mixed, missing = as_columns([["5 %", "5"], ["1,5", ""]], ",")
    assert mixed.dtype == object
    assert missing[0] == 1.5
    assert np.isnan(missing[1])


# ----------------------------------------------------------------- tables in text files


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_a_table_is_the_same_in_every_encoding_and_with_every_separator(tmp_path, separator, codec):
    path = tmp_path / "x.csv"
    text = "größe,b,kind\n1.5,2,für\n2.5,,x\n".replace(",", separator)
    path.write_bytes(text.encode(codec))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        frame = read_frame(path)
    assert frame.names == ("größe", "b", "kind")
    assert frame.columns[0].tolist() == [1.5, 2.5]
    assert np.isnan(frame.columns[1][1])
    assert frame.columns[2].tolist() == ["für", "x"]
    assert [str(w.message).count("Windows-1252") for w in said] == (
        [1] if codec == "cp1252" else []
    )


def test_comments_row_numbers_and_empty_last_columns_are_left_out(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("# written by a tool\n,a,b,\n0,1,2,\n1,3,4,\n")
    with pytest.warns(UserWarning, match="numbers the rows"):
        frame = read_frame(path)
    assert frame.names == ("a", "b")
    path.write_text("#id,a\n1,2\n3,4\n")
    assert read_frame(path).names == ("#id", "a")
    path.write_text("# a comment\na,b\n1,2\n3\n")
    with pytest.raises(DataError, match="Line 4 of"):
        read_frame(path)


def test_a_column_that_says_what_rows_are_is_not_trained_on(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("a,Class\n" + "".join(f"{i}.5,{int(i > 8)}\n" for i in range(12)))
    with pytest.warns(UserWarning, match="Column Class is taken for what each row is"):
        data = load_source(path, ReadOptions())
    assert isinstance(data, TableSet)
    assert (data.frame.names, data.class_names) == (("a",), ("0", "1"))
    assert data.normal_classes == ("0",)
    path.write_text("a,class\n1,2\n3,4\n5,6\n")  # no two classes: a measurement
    assert load_source(path, ReadOptions()).frame.names == ("a", "class")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\x89PNG\0\0\0\0", "is no text file"),
        (b"a,b\n" + b"".join(b"%d.5,%d\n" % (i, i) for i in range(60)) + b"error,1\n",
         "Column a holds numbers, but also texts such as 'error'"),
        (b"a,b\n1,\n2,\n3,\n", "--column drop=b"),
        (b"day,b\n3/14/2024,1\n3/13/2024,2\n3/15/2024,3\n", "--column drop=day"),
    ],
)  # fmt: skip
def test_bad_tables_say_what_to_type(tmp_path, content, said):
    path = tmp_path / "x.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=said) as found:
        Tables.learned(load_source(path, ReadOptions(kind="table")), object.__new__(_Estimator))
    assert "\n" not in str(found.value)


class _Estimator:
    """What `learned` sets attributes on."""


# ----------------------------------------------------------------- arrays


def test_arrays_in_the_layout_of_adbench_are_tables(tmp_path):
    X, y = np.arange(40.0).reshape(20, 2), np.repeat([0, 1], [15, 5])
    np.savez(tmp_path / "a.npz", X=X, y=y)
    assert kind_of_source(tmp_path / "a.npz") is Tables
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = load_source(tmp_path / "a.npz", ReadOptions())
    assert data.frame.names == ("feature 0", "feature 1")
    assert (data.normal_classes, np.bincount(data.labels).tolist()) == (("0",), [15, 5])
    np.savez(tmp_path / "b.npz", X_train=X[:9], X_test=X[9:], y_train=y[:9], y_test=y[9:])
    parts = load_source(tmp_path / "b.npz", ReadOptions())
    assert parts.is_test.tolist() == [False] * 9 + [True] * 11
    np.save(tmp_path / "c.npy", X)
    assert kind_of_source(tmp_path / "c.npy") is Tables
    assert len(load_source(tmp_path / "c.npy", ReadOptions())) == 20
    np.savez(tmp_path / "i.npz", X=np.zeros((3, 4, 4), np.uint8), y=np.zeros(3))
    assert kind_of_source(tmp_path / "i.npz").key == "images"


def test_arrays_of_values_are_series(tmp_path):
    values, labels = np.sin(np.arange(600) / 5), np.zeros(600, int)
    labels[500:510] = 1
    np.savez(tmp_path / "a.npz", values=values.astype(np.float32), labels=labels)
    assert kind_of_source(tmp_path / "a.npz") is Series
    series = load_source(tmp_path / "a.npz", ReadOptions())
    assert isinstance(series, TimeSeries)
    assert (series.class_names, series.normal_classes) == (("0", "1"), ("0",))
    assert int(series.is_test.sum()) == 300
    np.savez(tmp_path / "b.npz", values=np.c_[values, values], times=10 * np.arange(600))
    assert load_source(tmp_path / "b.npz", ReadOptions()).times[1] == 10
    np.save(tmp_path / "c.npy", values)
    assert kind_of_source(tmp_path / "c.npy") is Series
    X = np.arange(40.0).reshape(20, 2)
    np.savez(tmp_path / "d.npz", X=X)
    assert load_source(tmp_path / "d.npz", ReadOptions(kind="series")).channels == (
        "channel 0", "channel 1",
    )  # fmt: skip


@given(st.binary(max_size=200), st.sampled_from(["x.npz", "x.npy", "x.csv", "x.json"]),
       st.sampled_from(["table", "series", "graph", "text"]))  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_damaged_files_of_every_kind_get_one_sentence(tmp_path_factory, content, name, kind):
    path = tmp_path_factory.mktemp("f") / name
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for reading in (ReadOptions(kind=kind), ReadOptions()):
            said = ""
            try:
                load_source(path, reading, progress=False)
            except InsphereError as error:
                said = str(error)
            assert "\n" not in said


# ----------------------------------------------------------------- series


@pytest.mark.parametrize(
    "form",
    [
        "%Y-%m-%d %H:%M",
        "%d.%m.%Y %H:%M",
        "%m/%d/%Y %H:%M",
        "%d/%m/%Y %H:%M",
        "%Y/%m/%d %H:%M",
        "%m/%d/%Y %I:%M %p",
    ],
)
def test_dates_are_read_in_the_order_in_which_they_ascend(form):
    from datetime import UTC, datetime, timedelta

    first = datetime(2024, 1, 30, 9, tzinfo=UTC)
    days = [first + timedelta(hours=5 * i) for i in range(60)]
    found = moments([day.strftime(form) for day in days])
    assert found.tolist() == [day.timestamp() for day in days]


def test_times_are_found_by_name_and_may_be_left_out(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("time,value\n" + "".join(f"{1700000000 + 60 * i},{i % 7}\n" for i in range(90)))
    series = load_source(path, ReadOptions(kind="series"))
    assert (series.channels, series.times[1] - series.times[0]) == (("value",), 60)
    path.write_text("when,value\n2024-01-02,1\n2024-01-01,2\n2024-01-03,3\n")
    with pytest.raises(DataError, match=r"number 2 \(2024-01-01\).*--column drop=when"):
        load_source(path, ReadOptions(kind="series"))
    dropped = load_source(path, ReadOptions(kind="series", columns={"drop": "when"}))
    assert dropped.times.tolist() == [0, 1, 2]
    path.write_text("when;Wert\n" + "".join(f"{i + 1:02d}.05.2024;{i},5\n" for i in range(28)))
    assert kind_of_source(path) is Series
    assert load_source(path, ReadOptions()).values[3, 0] == 3.5


# ----------------------------------------------------------------- graphs


def test_graphs_by_the_names_of_pyg_and_as_lists_of_edges(tmp_path):
    x, index = np.eye(4), np.array([[0, 1, 2], [1, 2, 3]])
    np.savez(tmp_path / "a.npz", x=x, edge_index=index, y=np.array([0, 0, 1, -1]))
    assert kind_of_source(tmp_path / "a.npz") is Graphs
    data = read_graph(str(tmp_path / "a.npz"))
    assert (data.graph.edges.tolist(), len(data)) == ([[0, 1], [1, 2], [2, 3]], 3)
    (tmp_path / "e.csv").write_text("from,to\na,b\nb,c\n")
    edges = load_source(tmp_path / "e.csv", ReadOptions(kind="graph"))
    assert (len(edges), edges.graph.names) == (3, ("a", "b", "c"))
    (tmp_path / "g.gml").write_text("graph []")
    with pytest.raises(DataError, match="open others with NetworkX"):
        load_source(tmp_path / "g.gml", ReadOptions(kind="graph"))
    with pytest.raises(DataError, match=r"file of a graph.*NetworkX"):
        load_source(tmp_path / "g.gml", ReadOptions())


def test_few_nodes_are_enough_for_nearest_nodes(tmp_path):
    from insphere.detectors import GraphKNN

    nodes = [{"id": i, "a": i % 3} for i in range(8)]
    (tmp_path / "g.json").write_text(json.dumps({"nodes": nodes, "edges": [[0, 1], [2, 3]]}))
    data = read_graph(str(tmp_path / "g.json"))
    scores = GraphKNN(contamination=0.1).fit(data).anomaly_score(data)
    assert np.isfinite(scores).all()


def test_files_with_json_say_how_to_name_the_texts(tmp_path):
    path = Path(tmp_path / "a.jsonl")
    path.write_text('{"title": "Hello"}\n')
    with pytest.raises(DataError, match="--kind text --column text=NAME"):
        load_source(path, ReadOptions())
