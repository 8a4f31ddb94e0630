"""A data set is a file and a line in the table; names and titles come from its card alone."""

from __future__ import annotations

import ast
import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest

import insphere
import insphere.data.datasets
from insphere.cli import main
from insphere.data import available_datasets, load_dataset
from insphere.data.datasets.table import DATASETS, named_dataset
from insphere.errors import DataError, SpecError
from insphere.experiments.analysis.published_results import (
    PUBLISHED,
    REPORTED_FPSVDD,
    REPORTED_Z_SCORE,
)
from insphere.experiments.runs.display_names import dataset_title
from insphere.experiments.runs.sweep_file import make_sweep

SOURCE = Path(insphere.__file__).parent


@pytest.mark.parametrize("name", DATASETS)
def test_a_card_says_what_is_true(name):
    known = named_dataset(name)
    assert known.card.name == name
    assert known.card.title
    assert type(known).__doc__
    assert len(known.class_names) in (0, known.card.n_classes)
    assert len(set(known.class_names)) == len(known.class_names)


@pytest.mark.parametrize("name", ["digits-8x8", "mnist-5k"])
def test_names_known_before_loading_are_those_of_the_images(name):
    known, data = named_dataset(name), load_dataset(name)
    assert known.class_names == data.class_names
    assert known.card.image_shape == data.image_shape
    assert known.card.n_train == len(data)


def test_published_results_name_classes_that_exist():
    for tables in (PUBLISHED, {"mnist": REPORTED_Z_SCORE}, {"cifar10": REPORTED_FPSVDD}):
        for name, columns in tables.items():
            for classes in columns.values():
                assert set(classes) <= set(named_dataset(name).class_names)


def test_no_other_list_of_data_sets():
    """Titles stand on cards only, and class names too, but in published tables."""
    titles = {named_dataset(name).card.title for name in DATASETS}
    titles -= {"Stop signs", "MNIST"}  # a word, and the name of a network
    names = {n for k in ("fashion-mnist", "cifar10") for n in named_dataset(k).class_names}
    for path in SOURCE.rglob("*.py"):
        place = path.relative_to(SOURCE).as_posix()
        if place.startswith("data/datasets/") or place.endswith("published_results.py"):
            continue
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.List | ast.Tuple | ast.Set | ast.Dict):
                items = [*node.keys, *node.values] if isinstance(node, ast.Dict) else node.elts
                words = {i.value for i in items if isinstance(i, ast.Constant)}
                assert not titles & words, place
                assert len(names & words) < 2, place


# ---------------------------------------------------------------- a new one

TOY = '''
"""Bars, upright or level, in a format of their own."""

from pathlib import Path

import numpy as np

from insphere.data.datasets.dataset import LocalDataset, Reader
from insphere.data.datasets.dataset_card import DatasetCard
from insphere.data.image_set import ImageSet


class Bars(LocalDataset):
    """One bar in each image."""

    card = DatasetCard(
        name="bars", title="Bars of light", image_shape=(8, 8, 1), n_classes=2, n_train=80,
        n_test=40, origin="a test", local_forms=("bars.raw",),
    )
    class_names = ("upright", "level")

    def read(self, path: Path, reader: Reader) -> ImageSet:
        values = np.frombuffer(path.read_bytes(), np.uint8).reshape(-1, 65)
        return ImageSet(
            values[:, 1:].reshape(-1, 8, 8, 1), values[:, 0].astype(np.int64), self.class_names,
            name=self.card.name, is_test=np.arange(len(values)) >= 80,
        )
'''


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """Add a data set: one file in its room, one line in the table."""
    folder = tmp_path / "room"
    folder.mkdir()
    (folder / "bars.py").write_text(TOY)
    room = insphere.data.datasets
    monkeypatch.setattr(room, "__path__", [*room.__path__, str(folder)])
    monkeypatch.setitem(DATASETS, "bars", "bars.Bars")
    monkeypatch.setenv("INSPHERE_DATA", str(tmp_path / "own"))
    monkeypatch.setenv("INSPHERE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    importlib.invalidate_caches()
    yield "bars"
    sys.modules.pop("insphere.data.datasets.bars", None)


def write_bars(folder):
    rng = np.random.default_rng(0)
    rows = []
    for number in range(120):
        image = rng.integers(0, 60, (8, 8), dtype=np.uint8)
        image[:, rng.integers(2, 6)] = 250
        rows.append(np.concatenate([[number % 2], (image.T if number % 2 else image).ravel()]))
    folder.mkdir()
    (folder / "bars.raw").write_bytes(np.array(rows, np.uint8).tobytes())


def printed(capsys, *arguments):
    assert main(list(arguments)) == 0
    return capsys.readouterr().out


def test_a_new_data_set_is_one_file_and_one_line(toy, tmp_path, capsys):
    with pytest.raises(DataError, match=r"^bars is not on this machine: .*INSPHERE_DATA "
                       r"\(bars\.raw\)\.$"):  # fmt: skip
        load_dataset(toy, download=True)
    assert not {card.name: card for card in available_datasets()}[toy].available
    write_bars(tmp_path / "own")
    data = load_dataset(toy)
    assert data.images.shape == (120, 8, 8, 1)
    assert (data.name, data.class_names) == (toy, ("upright", "level"))
    assert load_dataset(toy, size=4).image_shape == (4, 4, 1)
    assert load_dataset(toy, root=tmp_path / "own" / "bars.raw").fingerprint == data.fingerprint
    with pytest.raises(DataError, match=r"did you mean bars\?"):
        load_dataset("bras")

    listed = json.loads(printed(capsys, "datasets", "--json"))["datasets"][-1]
    assert (listed["name"], listed["title"], listed["available"]) == (toy, "Bars of light", True)
    assert "Bars of light" in printed(capsys, "datasets")

    told = json.loads(printed(capsys, "fit", toy, "--normal", "upright", "--method", "knn",
                              "--out", "m", "--json"))  # fmt: skip
    assert told["n_train"] == 40
    assert insphere.load("m").anomaly_score(data.images).shape == (120,)
    assert json.loads(printed(capsys, "evaluate", "m", toy, "--json"))["evaluation"]["auc"] > 0.9

    sweep = {"name": "toy", "datasets": toy, "normal": "all", "methods": ["knn"]}
    made = make_sweep(sweep)
    made.check()
    assert [run.spec.normal for run in made.runs()] == [("upright",), ("level",)]
    with pytest.raises(SpecError, match="normal class oblique, but the classes of bars are"):
        make_sweep(sweep | {"normal": ["oblique"]}).check()
    assert dataset_title(toy) == "Bars of light"

    pytest.importorskip("nicegui")
    from insphere.studio.image_sources import Sources

    offered = {one.key: one for one in Sources(None, tmp_path / "brought").all()}
    assert (offered[toy].title, offered[toy].kind) == ("Bars of light", "named")
