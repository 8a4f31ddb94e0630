"""Names from elsewhere are shown, not obeyed."""

import csv
import io
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from rich.table import Table
from rich.text import Text

from insphere.cli import main
from insphere.cli.console import SafeConsole
from insphere.data import load_dataset
from insphere.errors import DataError
from insphere.safe_text import csv_cell, csv_row, visible, visible_lines

ANYTHING = st.text(max_size=40).filter(lambda text: "[" not in text)  # no colours of their own


@given(ANYTHING)
def test_nothing_that_a_terminal_obeys_is_left(text):
    shown = visible(text)
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in shown)
    assert visible(shown) == shown
    assert visible_lines(text).count("\n") == text.count("\n")
    if text.isprintable():
        assert shown == text


@given(ANYTHING)
def test_consoles_show_control_characters(text):
    file = io.StringIO()
    console = SafeConsole(file=file, force_terminal=True, width=200)
    table = Table("name")
    table.add_row(Text(text, style="red"))
    console.print(text, markup=False, soft_wrap=True)
    console.print(table)
    out = re.sub(r"\x1b\[[0-9;]*m", "", file.getvalue())  # Rich's own styles
    assert not any(ord(c) < 32 and c != "\n" for c in out)


@given(st.one_of(ANYTHING, st.sampled_from(["=cmd()", "+1", "-x", "@a", " =1", "\t=1", "＝1"])))
def test_no_cell_starts_like_a_formula(text):
    file = io.StringIO()
    csv.writer(file).writerow(csv_row([text, -1.5, None]))
    [row] = csv.reader(io.StringIO(file.getvalue(), newline=""))
    assert not row[0].lstrip().startswith(("=", "+", "-", "@"))
    assert row[0].removeprefix("'") == text.removeprefix("'")
    assert row[1] == "-1.5"


def test_numbers_are_numbers():
    assert csv_cell(-3) == -3
    assert csv_row({"path": "=1", "score": -2.0}) == {"path": "'=1", "score": -2.0}


def test_scored_files_with_hostile_names(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    good, new = Path("good"), Path("=new")
    names = ["=cmd()'!A0.png", "\x1b[2J\x1b[31mall normal.png", "a\nError: b.png", "plain.png"]
    rng = np.random.default_rng(0)
    for folder, some in ((good, [f"{n}.png" for n in range(8)]), (new, names)):
        folder.mkdir()
        for name in some:
            Image.fromarray(rng.integers(0, 255, (8, 8), np.uint8)).save(folder / name)
    model, table = str(tmp_path / "m"), tmp_path / "scores.csv"
    assert main(["fit", str(good), "--method", "knn", "--out", model]) == 0
    assert main(["score", model, str(new), "--out", str(table)]) == 0
    said = "".join(capsys.readouterr())
    assert "\x1b[2J" not in said
    assert "\\x1b[2J" in said
    assert not any(line.startswith("Error: b") for line in said.splitlines())
    with table.open(newline="") as file:
        paths = [row["path"] for row in csv.DictReader(file)]
    assert len(paths) == len(names)
    assert not any(path.startswith("=") for path in paths)


def test_a_library_that_quotes_a_whole_file_does_not_fill_the_message(tmp_path):
    path = tmp_path / "set.npz"
    np.savez(path, x_train=np.zeros((50, 8, 8), np.uint8), y_train=np.zeros(50, np.uint8))
    content = bytearray(path.read_bytes())
    content[26:28] = (3000).to_bytes(2, "little")  # how long the first name is said to be
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"is not a readable \.npz archive: File name") as caught:
        load_dataset(path)
    assert len(str(caught.value)) < 200 + len(str(path)) + 60
