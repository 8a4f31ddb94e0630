import io
import re
import sys
import xml.etree.ElementTree as ElementTree
from concurrent.futures import ThreadPoolExecutor

import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.patches import StepPatch
from PIL import Image
from sklearn import metrics

from insphere import figures
from insphere.errors import DataError, SpecError
from insphere.figures import style
from insphere.figures.bins import bin_edges

# By hand: the thresholds between the scores give the ROC points (0, 0), (0, 1/2), (1/2, 1/2),
# (1/2, 1), (1, 1) and the AUC 3/4; precision is 1, 1/2, 2/3 when 1, 2, 3 images are flagged.
SCORES = [0.1, 0.4, 0.35, 0.8]
TRUTH = [0, 0, 1, 1]
HISTORY = [
    {"phase": "pretrain", "epoch": 1, "loss": 0.5},
    {"phase": "pretrain", "epoch": 2, "loss": 0.25},
    {"epoch": 1, "loss": 2.0, "radius": None, "outside": 0.2, "spread": 1.0},
    {"epoch": 2, "loss": 1.0, "radius": 0.7, "outside": 0.1, "spread": 0.9},
    {"epoch": 3, "loss": float("nan"), "radius": 0.6, "outside": 0.1, "spread": 0.8},
]


def line(figure, label):
    (found,) = [each for each in figure.axes[0].lines if str(each.get_label()).startswith(label)]
    return np.asarray(found.get_xdata(), float), np.asarray(found.get_ydata(), float)


def heights(figure):
    outlines = [p for p in figure.axes[0].patches if isinstance(p, StepPatch) and p.get_label()]
    return {p.get_label(): p.get_data().values for p in outlines if p.get_label()[0] != "_"}


def assert_named(figure):
    for ax in figure.axes:
        assert ax.get_ylabel()
    assert figure.axes[-1].get_xlabel()


def test_roc_of_the_hand_example():
    figure = figures.roc_curve(SCORES, TRUTH, threshold=0.38)
    x, y = line(figure, "AUC 75.00")
    assert x.tolist() == [0, 0, 0.5, 0.5, 1]
    assert y.tolist() == [0, 0.5, 0.5, 1, 1]
    x, y = line(figure, "at the threshold")  # 0.4 and 0.8 lie above 0.38
    assert (x.tolist(), y.tolist()) == ([0.5], [0.5])
    assert_named(figure)


def test_precision_and_recall_of_the_hand_example():
    figure = figures.precision_recall_curve(SCORES, TRUTH, threshold=0.38)
    x, y = line(figure, f"AP {100 * (0.5 * 1 + 0.5 * 2 / 3):.2f}")
    points = list(zip(x.tolist(), y.tolist(), strict=True))
    assert points[:2] == [(0, 1), (0.5, 1)]
    assert (1.0, pytest.approx(2 / 3)) in points
    x, y = line(figure, "at the threshold")
    assert (x.tolist(), y.tolist()) == ([0.5], [0.5])
    assert_named(figure)


def test_long_curves_are_thinned_without_losing_their_area():
    rng = np.random.default_rng(0)
    truth = np.arange(6000) % 2
    scores = rng.normal(size=6000) + truth
    x, y = line(figures.roc_curve(scores, truth), "AUC")
    assert len(x) == 300
    assert (x[0], y[0], x[-1], y[-1]) == (0, 0, 1, 1)
    assert np.trapezoid(y, x) == pytest.approx(metrics.roc_auc_score(truth, scores), abs=1e-3)
    figure = figures.precision_recall_curve(scores, truth)
    assert len(figures.to_inline_svg(figure, prefix="p", alt="")) < 60_000


@pytest.mark.parametrize("draw", [figures.roc_curve, figures.precision_recall_curve])
@pytest.mark.parametrize("kind", [0, 1])
def test_one_kind_of_images_says_so(draw, kind):
    figure = draw(SCORES, [kind] * 4, threshold=0.3)
    assert "both" in figure.axes[0].texts[0].get_text()
    assert not figure.axes[0].lines
    assert figures.to_png(figure)


def test_no_working_point_of_precision_when_nothing_is_flagged():
    figure = figures.precision_recall_curve(SCORES, TRUTH, threshold=2.0)
    assert "at the threshold" not in [str(each.get_label()) for each in figure.axes[0].lines]


def test_histogram_gives_each_group_its_own_share_and_marks_the_threshold():
    figure = figures.score_histogram([0, 0, 1, 2, 3, 3], 1.5, [0, 0, 0, 1, 1, 1], bins=3)
    groups = heights(figure)
    assert set(groups) == {"normal (3)", "anomalous (3)"}
    edges = bin_edges(np.array([0.0, 0, 1, 2, 3, 3]), 1.5, 3)
    assert edges.tolist() == [-0.5, 0.5, 1.5, 2.5, 3.5]
    assert groups["normal (3)"] == pytest.approx([2 / 3, 1 / 3, 0, 0])
    assert groups["anomalous (3)"] == pytest.approx([0, 0, 1 / 3, 2 / 3])
    assert line(figure, "threshold 1.5")[0].tolist() == [1.5, 1.5]
    assert_named(figure)


def test_histogram_without_truth_counts_both_sides():
    figure = figures.score_histogram([0.0, 1.0, 1.5, 2.0, 3.0], 1.5, bins=4)
    groups = heights(figure)
    assert groups["within (3)"].sum() == 3  # a score on the threshold is within
    assert groups["beyond (2)"].sum() == 2


def test_histogram_gathers_a_long_tail_and_says_so():
    scores = np.r_[np.linspace(0, 1, 500), 1e6]
    figure = figures.score_histogram(scores)
    assert figure.axes[0].get_xlim()[1] < 2
    assert heights(figure)["images (501)"].sum() == 501
    assert "gather 1 beyond" in figure.axes[0].get_xlabel()


@pytest.mark.parametrize("value", [0.0, 1.0, -3.5, 1e-12, 1e12])
@pytest.mark.parametrize("threshold", [None, "same", "next"])
def test_constant_scores_are_drawn(value, threshold):
    place = {"same": value, "next": float(np.nextafter(value, np.inf))}.get(threshold)
    figure = figures.score_histogram([value] * 5, place, [0, 0, 1, 1, 1])
    assert all(each.sum() == pytest.approx(1) for each in heights(figure).values())
    assert figures.to_png(figure)
    x, y = line(figures.roc_curve([value] * 5, [0, 0, 1, 1, 1]), "AUC 50.00")
    assert (x.tolist(), y.tolist()) == ([0, 1], [0, 1])


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.floats(-1e12, 1e12), min_size=1, max_size=30),
    st.none() | st.floats(-1e12, 1e12),
    st.integers(1, 60),
)
def test_bins_rise_hold_the_threshold_and_stay_few(scores, threshold, bins):
    edges = bin_edges(np.array(scores), threshold, bins)
    assert (np.diff(edges) > 0).all()
    assert 2 <= len(edges) <= bins + 3
    if threshold is not None:
        assert np.isclose(edges, threshold).any()
        assert edges[0] <= threshold <= edges[-1]


@pytest.mark.parametrize("bad", [[0.1, float("nan")], [0.1, float("inf")]])
def test_unusable_scores_are_refused(bad):
    for draw in (figures.roc_curve, figures.precision_recall_curve):
        with pytest.raises(DataError, match="1 of 2 scores are NaN or infinite"):
            draw(bad, [0, 1])
    with pytest.raises(DataError, match="1 of 2 scores are NaN or infinite"):
        figures.score_histogram(bad)


def test_other_unusable_input_is_refused():
    with pytest.raises(DataError, match="at least one score"):
        figures.score_histogram([])
    with pytest.raises(DataError, match="threshold must be a finite"):
        figures.score_histogram([1.0], float("nan"))
    with pytest.raises(SpecError, match="bins"):
        figures.score_histogram([1.0], bins=0)


def test_training_curves_have_a_panel_for_each_quantity():
    figure = figures.training_curves(HISTORY)
    names = [ax.get_ylabel().replace("\n", " ") for ax in figure.axes]
    assert names == ["pretraining loss", "loss", "radius", "outside the sphere"]
    pretraining, loss, radius, outside = (ax.lines[0] for ax in figure.axes)
    assert pretraining.get_ydata().tolist() == [0.5, 0.25]
    np.testing.assert_array_equal(loss.get_ydata(), [2.0, 1.0, np.nan])
    np.testing.assert_array_equal(radius.get_ydata(), [np.nan, 0.7, 0.6])
    assert outside.get_xdata().tolist() == [1, 2, 3]
    assert_named(figure)
    assert figure.axes[0].get_xlabel() == "epoch of pretraining"


def test_guard_curves_show_the_start_and_begin_at_zero():
    figure = figures.guard_curves(HISTORY)
    (ax,) = figure.axes
    start, curve = ax.lines
    assert set(start.get_ydata()) == {1.0}
    assert curve.get_ydata().tolist() == [1.0, 0.9, 0.8]
    assert ax.get_ylim()[0] == 0
    assert figures.has_guard_curves(HISTORY)
    assert not figures.has_guard_curves(HISTORY[:2])


@pytest.mark.parametrize("draw", [figures.training_curves, figures.guard_curves])
@pytest.mark.parametrize("history", [[], [{"loss": None, "epoch": 1}]])
def test_an_empty_history_says_so(draw, history):
    figure = draw(history)
    assert figure.axes[0].texts
    assert figures.to_png(figure)


def test_one_epoch_is_drawn():
    assert figures.to_png(figures.training_curves([{"epoch": 1, "loss": 1.0}]))


@pytest.mark.parametrize("channels", [1, 3])
def test_grid_shows_pixels_unstretched_with_captions(channels):
    images = np.full((5, 6, 4, channels), 100, np.uint8)
    figure = figures.image_grid(images, [f"$caption_{i}" for i in range(5)], columns=3)
    assert len(figure.axes) == 5
    shown = figure.axes[0].images[0]
    np.testing.assert_array_equal(np.asarray(shown.get_array()).reshape(6, 4, -1), images[0])
    assert shown.get_clim() == (0, 255)
    assert figure.axes[4].get_xlabel() == "$caption_4"
    assert figures.to_png(figure)


def test_grid_refuses_what_it_cannot_show():
    images = np.zeros((2, 4, 4, 1), np.uint8)
    for bad in (images.astype(float), images[..., 0], np.zeros((2, 4, 4, 2), np.uint8)):
        with pytest.raises(DataError, match="N×H×W×C"):
            figures.image_grid(bad)
    with pytest.raises(DataError, match="at least one image"):
        figures.image_grid(images[:0])
    with pytest.raises(DataError, match="2 images but 1 captions"):
        figures.image_grid(images, ["one"])
    with pytest.raises(SpecError, match="columns"):
        figures.image_grid(images, columns=0)


def test_exports_are_valid_and_the_same_each_time():
    png = figures.to_png(figures.roc_curve(SCORES, TRUTH), dpi=100)
    assert Image.open(io.BytesIO(png)).size == (500, 340)
    first, second = (figures.to_svg(figures.roc_curve(SCORES, TRUTH, 0.38)) for _ in range(2))
    assert first == second
    assert ElementTree.fromstring(first).tag.endswith("svg")


def test_inline_svg_fits_into_a_page():
    settings_before = dict(matplotlib.rcParams)
    figure = figures.score_histogram(SCORES, 0.38, TRUTH)
    parts = [figures.to_inline_svg(figure, prefix=name, alt='a "b" <c>') for name in ("one", "two")]
    assert dict(matplotlib.rcParams) == settings_before
    ids = [set(re.findall(r'\bid="([^"]+)"', part)) for part in parts]
    assert ids[0]
    assert ids[0].isdisjoint(ids[1])
    for part, known in zip(parts, ids, strict=True):
        assert set(re.findall(r'(?:href="|url\()#([^")]+)', part)) <= known
        assert "http" not in part
        assert "<style>.plot *{" in part
        assert 'aria-label="a &quot;b&quot; &lt;c&gt;"' in part
        assert ">anomaly score</text>" in part
        assert f"var(--fig-normal, {style.NORMAL})" in part
        assert not re.search(r"(?:fill|stroke): #(?!0{6}|f{6})", part)
        ElementTree.fromstring(part.replace("xlink:href", "href"))


def test_nothing_is_told_by_colour_alone():
    assert style.HATCH[style.NORMAL] != style.HATCH[style.ANOMALOUS]
    figure = figures.score_histogram(SCORES, 0.38, TRUTH)
    hatches = {p.get_label(): p.get_hatch() for p in figure.axes[0].patches if p.get_hatch()}
    assert list(hatches) == ["anomalous (2)"]


def test_figures_are_drawn_in_threads_without_pyplot():
    def draw(_):
        figure = figures.roc_curve(SCORES, TRUTH, 0.38)
        return figures.to_inline_svg(figure, prefix="x", alt="roc")

    had_pyplot = "matplotlib.pyplot" in sys.modules
    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(draw, range(8)))) == 1
    assert ("matplotlib.pyplot" in sys.modules) == had_pyplot
