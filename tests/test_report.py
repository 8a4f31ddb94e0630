import os
import re
import threading
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import yaml
from sklearn.datasets import load_digits
from sklearn.neighbors import NearestNeighbors

from insphere.errors import DataError, InsphereError
from insphere.report import ReportData, render_report, write_report
from insphere.report.numbers import comparison, confusion, quality
from insphere.report.words import percent, score, to_yaml, z_score

VOID = {"meta", "img", "br", "wbr", "hr", "link", "input"}
HOSTILE = "<script>alert('$x_1$ & \"y\"')</script>"


class Page(HTMLParser):
    """Reads a page and insists that each element is closed where it should be."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.attributes, self.words = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"style", "script"} & set(self.open):
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def values(self, name):
        return [value for _, key, value in self.attributes if key == name]


@pytest.fixture(scope="module")
def digits():
    """Real digits with real scores: 2-nearest-neighbour distances to half of the threes."""
    table, labels = load_digits(return_X_y=True)
    images = (table * 15.9).astype(np.uint8).reshape(-1, 8, 8, 1)
    train = np.flatnonzero(labels == 3)[:90]
    test = np.setdiff1d(np.arange(len(labels)), train)
    near = NearestNeighbors(n_neighbors=3).fit(table[train])
    normal = near.kneighbors(table[train])[0][:, 1:].mean(axis=1)
    scores = near.kneighbors(table[test])[0][:, :2].mean(axis=1)
    return ReportData(
        title="Threes",
        dataset="digits",
        normal_classes=["3"],
        counts={"training normals": 90},
        images=images[test],
        scores=scores,
        threshold=float(np.quantile(normal, 0.95)),
        threshold_rule="lets 5 % of the training images through",
        truth=(labels[test] != 3).astype(int),
        z_scores=(scores - normal.mean()) / normal.std(),
        history=[
            {"phase": "pretrain", "epoch": 1, "loss": 0.5, "images_per_second": 1000},
            {"phase": "train", "epoch": 1, "loss": 2.0, "radius": 0.5, "outside": 0.1, "spread": 1},
            {"phase": "train", "epoch": 2, "loss": 1.0, "radius": 0.4, "outside": 0.1, "spread": 1},
        ],
        findings=["The spread is 98 % of its start."],
        comparison=[
            {"name": "2-NN", "auc": 0.99, "seconds": 0.004},
            {"name": "OC-SVM", "auc": 0.7, "fpr_at_95_tpr": float("nan"), "seconds": 300},
        ],
        spec={"method": "2-NN", "widths": (8, 4), "lr": np.float64(0.5), "path": Path("a/b")},
        versions={"insphere": "0.1.0"},
        method="2-NN",
        created="2025-01-01 00:00 UTC",
    )


def small(scores, truth=None, channels=1, **more):
    n = len(scores)
    images = np.arange(n * 16 * channels, dtype=np.uint8).reshape(n, 4, 4, channels)
    return ReportData("T", "d", [], {}, images, np.array(scores), 0.5, "is given", truth, **more)


def test_the_page_stands_alone(digits):
    text = render_report(digits)
    page = Page(text)
    assert not re.search(r"https?:|//", re.sub(r"base64,[^\"]+|/\*.*?\*/", "", text))
    for name in ("src", "href", "xlink:href"):
        assert all(value.startswith(("data:image/", "#")) for value in page.values(name))
    assert not {"script", "link", "iframe", "object", "embed"} & set(page.tags)
    assert not re.search(r"@import|url\((?!#)", text)
    assert "default-src 'none'" in text
    assert len(text.encode()) < 600_000


def test_the_page_is_accessible(digits):
    page = Page(render_report(digits))
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    assert set(page.values("aria-labelledby")) <= set(ids)
    assert {value[1:] for value in page.values("href")} <= set(ids)
    pictures = [key for tag, key, _ in page.attributes if tag == "img"]
    assert pictures.count("alt") == page.tags.count("img")
    assert all(page.values("alt"))
    assert ("html", "lang", "en") in page.attributes
    assert page.tags.count("h1") == 1
    assert page.values("role").count("img") == len(page.values("aria-label"))


def test_all_sections_hold_their_numbers(digits):
    page = Page(render_report(digits))
    for words in (
        "Beside its rivals",
        "Scores and threshold",
        "It lets 5 % of the training images through.",
        "The ranking at every threshold",
        "False alarms",
        "1 epoch of pretraining at 1,000 images a second, then 2 epochs of training.",
        "The spread is 98 % of its start.",
        "widths: [8, 4]",
        "Training normals 90",
        "insphere 0.1.0",
    ):
        assert words in page.text
    found = confusion(digits.truth, digits.flagged)
    expected = 24 + 24 + min(24, found.false_alarms) + min(24, found.missed)
    assert page.tags.count("img") == expected
    assert "That is 29.0 points ahead of its only rival, OC-SVM." in page.text


def test_confusion_agrees_with_counting_by_hand():
    # threshold 0.5; an image on the threshold passes
    scores = [0.1, 0.5, 0.6, 0.9, 0.2, 0.7, 0.8, 0.95]
    truth = [0, 0, 0, 0, 1, 1, 1, 1]
    data = small(scores, truth)
    table = confusion(data.truth, data.flagged)
    assert (table.passed, table.false_alarms, table.missed, table.caught) == (2, 2, 1, 3)
    text = Page(render_report(data)).text.replace("\N{NO-BREAK SPACE}", " ")
    assert "Of 4 normal images, 2 (50.0 %) are false alarms; 2 pass." in text
    assert "Of 4 anomalous images, 3 (75.0 %) are caught; 1 slips through." in text
    assert "flagged here is anomalous in 60.0 % of cases" in text
    # of 16 pairs the anomalous image wins 1 + 3 + 3 + 4 = 11
    assert "in 68.8 % of all pairs" in text
    rows = re.findall(r"<tr>(.*?)</tr>", render_report(data))
    counts = [re.findall(r"<b>([\d,]+)</b>", row) for row in rows if "<b>" in row]
    assert counts == [["2", "2", "4"], ["1", "3", "4"]]


def test_quality_of_a_hand_example():
    found = quality(np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True]))
    assert found.auc == 0.75
    assert found.average_precision == pytest.approx(0.5 + 0.5 * 2 / 3)
    assert found.fpr_at_95_tpr == 0.5
    assert quality(np.array([1.0]), np.array([True])).auc is None


def test_comparison_adds_the_own_row_and_marks_the_best():
    rows = [{"name": "A", "auc": 0.9, "fpr_at_95_tpr": 0.3}, {"name": "B", "auc": None}]
    data = small([0.1, 0.9], [0, 1], comparison=rows)
    methods = comparison(data, quality(data.scores, data.truth))
    assert [method.name for method in methods] == ["Deep SVDD", "A", "B"]
    assert methods[0].ours
    assert methods[0].best == {"auc", "fpr_at_95_tpr"}
    assert methods[1].best == methods[2].best == frozenset()
    text = render_report(data)
    assert text.count("★") == 3  # two values and the key


def test_a_model_that_loses_says_so():
    rows = [{"name": "Deep SVDD", "auc": 0.8}, {"name": "2-NN", "auc": 0.95}, {"name": "X"}]
    text = Page(render_report(small([0.9, 0.1, 1.0], [0, 1, 1], comparison=rows))).text
    assert "That is 15.0 points behind its only rival, 2-NN." in text


def test_hostile_names_are_harmless(digits):
    n = len(digits.scores)
    hostile = replace(
        digits,
        title=HOSTILE,
        dataset=HOSTILE,
        normal_classes=[HOSTILE],
        counts={HOSTILE: 1},
        threshold_rule=HOSTILE,
        findings=[HOSTILE],
        comparison=[{"name": HOSTILE, "auc": 0.5}, {"name": "</style>", "auc": 0.4}],
        spec={HOSTILE: HOSTILE},
        versions={HOSTILE: HOSTILE},
        paths=[f'{HOSTILE}"><img src=x onerror=y>/{i}' for i in range(n)],
        method=HOSTILE,
        created=HOSTILE,
    )
    for data in (hostile, replace(hostile, truth=None)):
        text = render_report(data)
        page = Page(text)
        assert "<script" not in text
        assert "script" not in page.tags
        assert not [key for _, key, _ in page.attributes if key.startswith("on")]
        assert all(value.startswith("data:image/") for value in page.values("src"))
        assert HOSTILE in page.text


def test_without_truth_only_what_can_be_known(digits):
    n = len(digits.scores)
    paths = [f"folder/sub/{i}.png" for i in range(n)]
    data = replace(digits, truth=None, comparison=(), paths=paths)
    text = render_report(data)
    page = Page(text)
    for absent in ("AUC 9", "Precision–recall", "Misses", "Images by truth", "truly normal"):
        assert absent not in page.text
    assert "Nobody has said which of these images are truly anomalous" in page.text
    assert f"The first 100 of {n:,} images" in page.text
    assert page.tags.count("img") == 100
    shown = [float(v) for v in re.findall(r'<span class="value">([\d.]+)</span>', text)]
    assert shown == sorted(shown, reverse=True)
    assert shown[0] == pytest.approx(data.scores.max(), rel=1e-3)
    top = paths[int(data.scores.argmax())]
    assert page.values("title")[0] == top
    assert page.text.count("▲ flagged") == min(100, int(data.flagged.sum()))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("truth", [None, [0], [1]])
def test_one_image(channels, truth):
    page = Page(render_report(small([0.7], truth, channels)))
    assert "1 image scored by Deep SVDD" in page.text
    assert "Training" not in page.text
    if truth is None:
        assert "1 of 1 image lies beyond the threshold" in page.text
    else:
        assert "no ranking to judge" in page.text


@pytest.mark.parametrize("truth", [None, [0, 0, 1, 1], [0, 0, 0, 0], [1, 1, 1, 1]])
@pytest.mark.parametrize("value", [0.0, 0.5, 7.0])
def test_constant_scores(truth, value):
    text = Page(render_report(small([value] * 4, truth))).text.replace("\N{NO-BREAK SPACE}", " ")
    if truth is not None and len(set(truth)) == 2:
        assert "in 50.0 % of all pairs" in text


def test_nothing_flagged_and_nothing_missed():
    text = Page(render_report(small([0.1, 0.2], [0, 0]))).text
    assert "No normal image lies beyond the threshold." in text
    text = Page(render_report(small([0.1, 0.2]))).text
    assert "None of 2 images lies beyond the threshold." in text


def test_large_colour_images_are_scaled_down():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (3, 300, 500, 3), dtype=np.uint8)
    data = ReportData("T", "d", ["a"], {}, images, np.array([0.1, 0.6, 0.9]), 0.5, "is given")
    text = render_report(data)
    assert text.count("data:image/jpeg;base64,") == 3
    assert 'class="tiles queue card large"' in text
    assert len(text) < 400_000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scores": np.array([0.1, np.nan])}, "1 of 2 scores are NaN"),
        ({"scores": np.array([0.1])}, "2 images but 1 scores"),
        ({"z_scores": np.array([0.1])}, "2 images but 1 z_scores"),
        ({"z_scores": np.array([0.1, np.inf])}, "z-scores are NaN or infinite"),
        ({"paths": ["a"]}, "2 images but 1 paths"),
        ({"truth": [0, 3]}, "0 for normal"),
        ({"threshold": float("nan")}, "threshold must be a finite"),
        ({"images": np.zeros((2, 4, 4), np.uint8)}, "N×H×W×C"),
        ({"images": np.zeros((0, 4, 4, 1), np.uint8)}, "at least one scored image"),
        ({"comparison": [{"auc": 0.5}]}, "name of its method"),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    with pytest.raises(DataError, match=message):
        replace(small([0.1, 0.9], [0, 1]), **change)


def test_written_whole_and_replaced(tmp_path):
    path = tmp_path / "new" / "report.html"
    assert write_report(small([0.1]), path) == path
    assert write_report(small([0.1, 0.9]), str(path)) == path
    assert "2 images scored" in Page(path.read_text(encoding="utf-8")).text
    assert [each.name for each in path.parent.iterdir()] == ["report.html"]
    assert path.read_text(encoding="utf-8") == render_report(
        replace(small([0.1, 0.9]), created=re.search("<time>(.*)</time>", path.read_text())[1])
    )


def test_a_full_disk_leaves_the_old_report(tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    path.write_text("old")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InsphereError, match=r"cannot be written to .*No space left"):
        write_report(small([0.1]), path)
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["report.html"]


def test_a_folder_in_the_way(tmp_path):
    with pytest.raises(InsphereError, match="cannot be written"):
        write_report(small([0.1]), tmp_path)
    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(InsphereError, match="cannot be written"):
        write_report(small([0.1]), file / "report.html")


def test_written_from_threads(tmp_path):
    path = tmp_path / "report.html"
    threads = [
        threading.Thread(target=write_report, args=(small([0.1, 0.9]), path)) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    Page(path.read_text(encoding="utf-8"))
    assert len(list(tmp_path.iterdir())) == 1


def test_numbers_in_words():
    space = "\N{NO-BREAK SPACE}"
    assert percent(0.99999) == f"99.9{space}%"
    assert percent(1.0) == f"100.0{space}%"
    assert percent(0.00001) == f"<0.1{space}%"
    assert percent(0.0) == f"0.0{space}%"
    assert percent(None) == "–"
    assert [score(value) for value in (1.1, -0.5, 12345.6, 0.0)] == [
        "1.100",
        "−0.5000",
        "12,346",
        "0.000",
    ]
    assert [z_score(value) for value in (-0.01, 2.55, -3.0)] == ["+0.0", "+2.5", "−3.0"]


def test_yaml_reads_back():
    spec = {"a": np.arange(3), "b": {"c": (1.5, None), "d": [{"e": "ü: #"}]}, "f": np.bool_(True)}
    assert yaml.safe_load(to_yaml(spec)) == {
        "a": [0, 1, 2],
        "b": {"c": [1.5, None], "d": [{"e": "ü: #"}]},
        "f": True,
    }
