"""Figures for the screen hold the same numbers as the printed ones, and open without a network."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from insphere import figures
from insphere.errors import DataError
from insphere.figures import interactive, style
from insphere.figures.auc_heatmap import heat_table
from insphere.figures.bars import Pair
from insphere.figures.bins import histogram
from insphere.figures.gains import mean_gains
from insphere.figures.interactive.export import SCRIPT, script
from insphere.figures.interactive.style import plain
from insphere.figures.measured import Measured, Spread
from insphere.figures.plane import flatten
from insphere.figures.points import precision_recall, roc
from insphere.figures.ranks import Ranking
from insphere.figures.relations import columns

CLASSES = ("3", "8", "ship")
RUNS = [
    Measured(
        data, name, option, seed,
        {"auc": 0.6 + 0.02 * (3 * i + j) + 0.01 * seed, "recall": 0.1 + 0.05 * j * (i + 1)},
        f"run{i}{j}{seed}",
    )
    for data in ("D", "E")
    for i, option in enumerate(("plain", "better", "third"))
    for j, name in enumerate(CLASSES)
    for seed in (0, 1)
]  # fmt: skip
ON_D = [run for run in RUNS if run.dataset == "D"]
SCORES, TRUTH = [0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]
HISTORY = [{"epoch": e, "loss": 1 / e, "auc": 0.5 + e / 100} for e in range(1, 31)]
PLANE = flatten(np.eye(3) * [3, 2, 1], [1, 1, 0], np.zeros(3), radius=0.9)
RANKING = Ranking(("a", "b", "c"), (1.0, 2.0, 3.0), 10, 9.0, 0.01, 1.0, 0.05)
PUBLISHED = [Pair("m", {"3": Spread(91.9, 1.5, 10)}, {"3": Spread(93.0, None, 1)})]


def traces(figure, kind):
    return [trace for trace in figure.data if trace.type == kind]


def bar_ends(figure):
    return {
        bar.name: dict(zip(bar.x, np.round(np.asarray(bar.y) + (bar.base or 0), 6), strict=True))
        for bar in traces(figure, "bar")
    }


def test_bars_end_where_the_printed_ones_do():
    ends = bar_ends(interactive.option_bars(ON_D, "plain"))
    assert ends["plain"] == pytest.approx({"3": 60.5, "8": 62.5, "ship": 64.5})
    printed = figures.option_bars(ON_D, "plain").axes[0].patches
    tops = sorted(round(bar.get_y() + bar.get_height(), 6) for bar in printed)
    assert tops == pytest.approx(sorted([*ends["plain"].values(), *ends["better"].values()]))
    ends = bar_ends(interactive.published_bars(PUBLISHED))
    assert ends == {"m, published": {"3": 91.9}, "m, measured": {"3": 93.0}}


def test_changes_and_gains():
    figure = interactive.change_bars(ON_D, "plain")
    better, third = traces(figure, "bar")
    assert list(better.y) == pytest.approx([6] * 3)
    assert list(third.y) == pytest.approx([12] * 3)
    assert better.name == "better: mean +6.00"
    figure = interactive.gain_bars(mean_gains(ON_D, "plain", {"better": 0.5}))
    assert list(traces(figure, "bar")[0].x) == pytest.approx([12, 6])
    assert list(traces(figure, "scatter")[0].x) == [0.5]


def test_heat_map_histogram_violins_and_boxes():
    table = heat_table(RUNS)
    heat = traces(interactive.heat_map(table), "heatmap")[0]
    np.testing.assert_allclose(heat.z, table.values)
    bars = traces(interactive.auc_histogram(RUNS), "bar")
    printed = figures.auc_histogram(RUNS).axes
    for bar, ax in zip(bars, printed, strict=True):
        assert list(bar.y) == [patch.get_height() for patch in ax.patches]
    for draw, kind in ((interactive.violins, "violin"), (interactive.boxes, "box")):
        shown = {t.name: sorted(np.round(t.x, 6)) for t in traces(draw(ON_D), kind)}
        assert shown["plain"] == pytest.approx([60, 61, 62, 63, 64, 65])
        assert list(shown) == ["third", "better", "plain"]
    assert traces(interactive.boxes(ON_D), "box")[0].customdata[0].startswith("run2")


def test_lines_scatter_and_radar():
    figure = interactive.training_lines({"3": HISTORY, "8": HISTORY[:1]})
    loss = traces(figure, "scatter")[0]
    assert (loss.x[-1], loss.y[-1]) == (30, pytest.approx(1 / 30))
    assert [round(t.y[-1]) for t in traces(figure, "scatter")[2:]] == [80, 51]
    space = traces(interactive.auc_space(RUNS), "scatter3d")
    assert [len(trace.z) for trace in space] == [18, 18]
    radar = traces(interactive.radar(ON_D, "plain"), "scatterpolar")
    assert {trace.name for trace in radar} == {"plain", "better", "third"}
    assert list(radar[0].r) == pytest.approx([72.5, 74.5, 76.5, 72.5])
    assert list(radar[0].theta) == ["3", "8", "ship", "3"]


def test_pairs_and_density():
    data = columns(RUNS, ("auc", "recall"))
    splom = traces(interactive.pair_plot(data), "splom")
    assert [len(trace.dimensions[0]["values"]) for trace in splom] == [18, 18]
    joint = interactive.joint_density(data)
    points = [trace for trace in traces(joint, "scatter") if trace.mode == "markers"]
    np.testing.assert_allclose(points[0].x, data.table[:18, 0])
    with pytest.raises(DataError, match="2 columns"):
        interactive.joint_density(columns(RUNS, ("auc",)))


def test_scores_and_curves():
    figure = interactive.score_histogram(SCORES, 0.38, TRUTH, bins=4)
    printed = histogram(SCORES, 0.38, TRUTH, bins=4)
    for bar, group in zip(traces(figure, "bar"), printed.groups, strict=True):
        np.testing.assert_allclose(bar.y, group.heights)
    assert figure.layout.shapes[0].x0 == 0.38
    named = {t.name: t for t in interactive.roc_curve(SCORES, TRUTH, 0.38).data}
    assert list(named["AUC 75.00 %"].x) == [0, 0, 0.5, 0.5, 1]
    assert (named["at the threshold"].x[0], named["at the threshold"].y[0]) == (0.5, 0.5)
    named = {t.name: t for t in interactive.precision_recall_curve(SCORES, TRUTH).data}
    assert named["AP 83.33 %"].line.shape == "vh"
    assert not interactive.roc_curve(SCORES, [1] * 4).data
    several = interactive.roc_curves({"3": roc(SCORES, TRUTH)})
    assert [t.name for t in several.data] == ["chance", "3: 75.0"]
    several = interactive.precision_recall_curves({"3": precision_recall(SCORES, TRUTH)})
    assert several.data[0].y[0] == 0.5
    panels = interactive.score_distributions({"a": printed, "b": printed, "c": printed})
    assert len(traces(panels, "bar")) == 6


def test_latent_plane_and_ranks():
    figure = interactive.latent_plane(PLANE)
    anomalous = [t for t in figure.data if str(t.name).startswith("anomalous")]
    np.testing.assert_allclose(
        np.column_stack([anomalous[0].x, anomalous[0].y]), PLANE.projected[:2]
    )
    np.testing.assert_allclose(
        np.column_stack([anomalous[1].x, anomalous[1].y]), PLANE.spread_out[:2]
    )
    assert [shape.x1 for shape in figure.layout.shapes] == [0.9, 0.9]
    assert list(traces(interactive.critical_difference(RANKING), "scatter")[0].x) == [1, 2, 3]


def test_both_kinds_share_colours_and_every_name():
    printed = figures.option_bars(ON_D, "plain").axes[0].patches[0].get_facecolor()
    shown = interactive.option_bars(ON_D, "plain").data[0].marker.color
    assert shown == style.FIRST.colour
    assert tuple(round(255 * part) for part in printed[:3]) == tuple(
        int(shown[i : i + 2], 16) for i in (1, 3, 5)
    )
    only_printed = {"collapse_curves", "dataset_preview", "drift_chart", "guard_curves",
                    "has_guard_curves", "heat_key", "heat_overlay", "image_grid",
                    "images_by_score", "stretches", "to_inline_svg", "to_png", "to_svg",
                    "training_curves"}  # fmt: skip
    assert set(figures.__all__) - only_printed == set(interactive.__all__) - {"to_html"}


def test_pages_need_one_script_and_no_network():
    page = interactive.to_html(
        interactive.heat_map(heat_table(RUNS), "a <b>title</b>"), "heat"
    ).decode()
    assert page.startswith("<!doctype html>")
    assert re.findall(r'(?:src|href)="([^"]*)"', page) == [SCRIPT]
    assert (
        page
        == interactive.to_html(
            interactive.heat_map(heat_table(RUNS), "a <b>title</b>"), "heat"
        ).decode()
    )
    assert script()[:200].lstrip().startswith(b"/**")


def test_names_are_shown_letter_by_letter():
    assert plain("<b>&") == "&lt;b>&amp;"
    runs = [Measured("D", "<b>", o, 0, {"auc": 0.7}) for o in ("<i>", "plain")]
    shown = json.loads(interactive.option_bars(runs, "plain", "<u>").to_json())
    assert shown["data"][0]["x"] == ["&lt;b>"]
    assert shown["data"][1]["name"] == "&lt;i>"
    assert shown["layout"]["title"]["text"] == "&lt;u>"
