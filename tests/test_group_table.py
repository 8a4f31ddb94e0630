"""Tables that say the group of each file: which rows belong to which, and what is left open."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from insphere.cli import main
from insphere.detectors.model_folder import load_detector
from insphere.errors import DataError
from insphere.workflows.group_table import (
    GroupTable,
    offered_groups,
    one_group,
    write_groups,
)


def table(folder, *lines):
    path = folder / "shifts.csv"
    path.write_text("\n".join(lines))
    return GroupTable.read(path, "shifts.csv")


def test_rows_belong_to_files_whose_path_ends_like_theirs(tmp_path):
    known = table(
        tmp_path, "shift,file", "day,a.png", "night,left/a.png", "day,D:\\cam\\2\\b.png",
        "night,./c.png",
    )  # fmt: skip
    found = known.match(["x/left/a.png", "x/right/a.png", "b.png", "x/c.png", "d.png"])
    assert found.named_by == "file"
    assert found.columns == ["shift"]
    # The longer end counts; a path in the table may be longer than that of the file.
    assert found.groups("shift").tolist() == ["night", "day", "day", "night", "unknown"]
    assert found.sentences("photos") == [
        "1 of the 5 photos has no row in shifts.csv and counts as the group unknown: d.png."
    ]


def test_what_does_not_fit_is_said_in_a_sentence(tmp_path):
    known = table(
        tmp_path, "file,shift,day", "a.png,1,x", "a.png,1,y", "b.png,2,", "z1.png,2,x", "z2.png,2,x"
    )  # fmt: skip
    found = known.match(["l/a.png", "b.png", "r/b.png"])
    assert found.groups("shift").tolist() == ["1", "2", "2"]
    with pytest.raises(DataError, match=r"2 rows for l/a.png, which say different groups \(x, y\)"):
        found.groups("day")
    assert found.sentences("photos") == [
        "2 names belong to none of the 3 photos: z1.png, z2.png.",
        "1 name stands for several photos in different folders: b.png. Write the folders into "
        "shifts.csv too, if their groups differ.",
        "1 of the 3 photos has several rows in shifts.csv, which say the same: l/a.png.",
    ]
    # If each file has a row, it does not matter whether a table names more of them.
    assert len(found.sentences(every=False)) == 2
    with pytest.raises(DataError, match=r"column file of shifts.csv names the files"):
        found.groups("file")
    with pytest.raises(DataError, match=r"names none of the 1 files: one of its columns"):
        known.match(["c.png"])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\x00\x01\x02", "shifts.csv is no text file"),
        (b"file,shift\na.png\n", "Line 2 of shifts.csv has 1 values"),
        (b"", "shifts.csv is empty"),
        (b"file\na.png\nb.png\n", "no column but file: add one"),
        (b"file,shift\nx.png,day\n", "names none of the 2 files"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_name_of_the_file(tmp_path, content, said):
    path = tmp_path / "kept-elsewhere.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=said) as raised:
        offered_groups(str(path), "shifts.csv", ["a.png", "b.png"], "photos")
    assert str(tmp_path) not in str(raised.value)


def test_each_column_is_offered_or_says_why_not(tmp_path):
    names = [f"{i}.png" for i in range(60)]
    rows = [f"line 1,{name},{i},{'day' if i % 2 else 'night'}" for i, name in enumerate(names)]
    path = tmp_path / "t.csv"
    path.write_text("\n".join(["line,photo,number,shift", *rows]))
    found = offered_groups(str(path), "t.csv", names, "photos")
    assert found.usual == "shift"
    assert found.columns["shift"][:2] == ("night", "day")
    assert found.columns["line"].startswith("The photos are of one group only, line 1, so")
    assert "has 60 groups, and at most 50" in found.columns["number"]
    assert found.sentences == ()
    assert one_group(["a", "b"], "photos") is None


def test_a_written_table_names_files_where_they_lie_and_as_they_were_called(tmp_path):
    rows = [
        ("x-a.png", "top/x/a.png", "day"),
        ("b.png", "top/b.png", "n:1"),
        ("c.png", "c", "unknown"),
    ]
    column = write_groups(tmp_path / "groups.csv", "my:shift", rows)
    assert column == "my-shift"
    assert (tmp_path / "groups.csv").read_text().splitlines() == [
        "file,name,my-shift", "x-a.png,x/a.png,day", "b.png,b.png,n:1",
    ]  # fmt: skip
    again = GroupTable.read(tmp_path / "groups.csv")
    for paths in (["x-a.png", "b.png"], ["photos/x/a.png", "photos/b.png"]):
        assert again.match(paths).groups(column).tolist() == ["day", "n:1"]
    assert write_groups(tmp_path / "groups.csv", "Name", rows) == "group"


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for i in range(120):
        Image.fromarray(rng.integers(0, 255, (6, 6), dtype=np.uint8)).save(folder / f"{i:03}.png")
    return folder


def fitted(capsys, photos, lines, out):
    (out / "t.csv").write_text("\n".join(lines))
    code = main(
        ["fit", str(photos), "--method", "knn", "--json", "--out", str(out / "model"), "--group-by",
         f"{out / 't.csv'}:camera"]
    )  # fmt: skip
    said = capsys.readouterr()
    return code, said.out, said.err


def test_the_command_line_says_what_a_table_leaves_open(photos, tmp_path, capsys):
    rows = [f"{'left' if i % 2 else 'right'},{i:03}.png" for i in range(20, 120)]
    code, out, err = fitted(capsys, photos, ["camera,file", *rows, "left,200.png"], tmp_path)
    assert code == 0, err
    assert "20 of the 120 files have no row" in err.replace("\n", " ")
    assert "1 name belongs to none" in err.replace("\n", " ")
    assert load_detector(tmp_path / "model").by_group_.names == ("left", "right", "unknown")
    assert "left" in " ".join(json.loads(out)["by_group"])


def test_one_group_alone_and_contradictions_are_said(photos, tmp_path, capsys):
    rows = [f"{i:03}.png,left" for i in range(120)]
    code, _, err = fitted(capsys, photos, ["file,camera", *rows], tmp_path)
    assert code == 0
    assert "of one group only, left, so there is nothing to compare" in err.replace("\n", " ")
    (tmp_path / "two").mkdir()
    code, _, err = fitted(capsys, photos, ["file,camera", *rows, "007.png,right"], tmp_path / "two")
    assert code == 2
    assert "2 rows for" in err
    assert not (tmp_path / "two" / "model").exists()
