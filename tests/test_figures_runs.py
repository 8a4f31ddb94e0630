"""Figures of runs: what is drawn is what was measured, and nothing runs into anything else."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.path import Path as Outline
from scipy import stats

from insphere import figures
from insphere.errors import DataError, SpecError
from insphere.experiments.analysis.run_collection import read_collection
from insphere.experiments.plots.catalogue import plan
from insphere.figures import layout, style
from insphere.figures.auc_heatmap import heat_table
from insphere.figures.bars import CHANCE, Pair
from insphere.figures.bins import histogram
from insphere.figures.density import density_2d
from insphere.figures.distributions import auc_edges
from insphere.figures.epochs import epoch_lines, log_ticks
from insphere.figures.gains import mean_gains
from insphere.figures.measured import (
    Measured,
    Spread,
    by_class,
    changes,
    classes,
    complete_table,
    over_classes,
)
from insphere.figures.plane import flatten
from insphere.figures.points import precision_recall, roc
from insphere.figures.previews import evenly, score_ladder
from insphere.figures.ranks import Ranking, nemenyi, rank_methods
from insphere.figures.relations import columns, spearman
from insphere.figures.space import best_options, radar_floor, radar_rings

RESULTS = [
    path
    for path in sorted((Path(__file__).parents[1] / "benchmarks" / "results").glob("*.jsonl"))
    if path.read_text(encoding="utf-8").startswith('{"run": ')
]


def measured(option: str, aucs: dict[str, list[float]], data: str = "D") -> list[Measured]:
    return [
        Measured(data, name, option, seed, {"auc": auc}, f"{data}{option}{name}{seed}")
        for name, by_seed in aucs.items()
        for seed, auc in enumerate(by_seed)
    ]


PLAIN = measured("plain", {"3": [0.9, 0.8], "10": [0.7, 0.6]})
BETTER = measured("better", {"3": [0.95, 0.9], "10": [0.65, 0.6]})
HALF = measured("half", {"3": [0.45]})
RUNS = PLAIN + BETTER + HALF


# ---------------------------------------------------------------------- numbers


def test_means_and_deviations_of_the_hand_example():
    assert by_class(PLAIN)["3"] == Spread(85.0, pytest.approx(math.sqrt(50)), 2)
    # Over classes: seed 0 has (90 + 70) / 2, seed 1 (80 + 60) / 2.
    assert over_classes(PLAIN) == Spread(75.0, pytest.approx(math.sqrt(50)), 2)
    assert over_classes(HALF) == Spread(45.0, None, 1)
    assert classes(PLAIN) == ["3", "10"]  # by number, not by letter


def test_changes_are_paired_by_class_and_seed():
    found = changes(RUNS, "plain", "better")
    assert {k: v.round(9).tolist() for k, v in found.items()} == {"3": [5, 10], "10": [-5, 0]}
    assert changes(RUNS, "plain", "half")["3"] == pytest.approx([-45])
    assert changes(RUNS, "plain", "nothing") == {}


def test_gains_and_their_interval_of_the_hand_example():
    gains = {gain.option: gain for gain in mean_gains(RUNS, "plain", {"better": 0.8})}
    # Means of the classes are 7.5 and -2.5: mean 2.5, standard error 5, t with one degree 12.706.
    assert gains["better"].mean == pytest.approx(2.5)
    assert gains["better"].high == pytest.approx(2.5 + 12.7062 * 5, abs=1e-3)
    assert gains["better"].assumed == 0.8
    assert math.isnan(gains["half"].low)  # one class has no interval


def test_the_table_of_ranks_leaves_out_what_is_incomplete():
    names, blocks, table = complete_table(RUNS)
    assert names == ["plain", "better"]
    assert blocks == ["D 3", "D 10"]
    np.testing.assert_allclose(table, [[85, 92.5], [65, 62.5]])


def test_ranks_and_friedman_of_the_hand_example():
    ranking = rank_methods(["c", "a", "b"], [[70, 90, 80], [60, 70, 60], [97, 99, 98]])
    assert ranking.names == ("a", "b", "c")
    assert ranking.ranks == pytest.approx((1, 13 / 6, 17 / 6))  # the tie gives both 2.5
    # 12 n / (k (k + 1)) Σ (R - 2)² = 31/6; the tie divides it by 1 - 6 / (n k (k² - 1)) = 11/12.
    assert ranking.statistic == pytest.approx(31 / 6 * 12 / 11)
    assert ranking.p_value == pytest.approx(math.exp(-ranking.statistic / 2))  # χ², two degrees


def test_nemenyi_is_the_normal_quantile_for_two_methods_and_that_of_the_tables_for_more():
    for n in (1, 10):
        assert nemenyi(2, n) == pytest.approx(stats.norm.ppf(0.975) / math.sqrt(n))
    for k, q in ((3, 2.343), (4, 2.569), (10, 3.164)):  # quantiles printed in tables for 5 %
        assert nemenyi(k, 6) / math.sqrt(k * (k + 1) / 36) == pytest.approx(q, abs=1e-3)


def test_groups_join_what_does_not_differ_and_are_as_long_as_can_be():
    def groups(*ranks):
        names = tuple("abcdefg"[: len(ranks)])
        return Ranking(names, ranks, 10, 0.0, 1.0, 1.1, 0.05).groups

    assert groups(1, 2, 3, 4.5) == [(0, 1), (1, 2)]
    assert groups(1, 1.5, 2) == [(0, 2)]
    assert groups(1, 3, 5) == []


def test_ranks_refuse_too_little_and_know_ties():
    with pytest.raises(DataError, match="at least 3 methods and 2 classes"):
        rank_methods(["a", "b"], [[1, 2], [1, 2]])
    with pytest.raises(DataError, match="value of every method"):
        rank_methods(["a", "b", "c"], [[1, 2, np.nan], [1, 2, 3]])
    assert rank_methods(["a", "b", "c"], [[1, 1, 1], [2, 2, 2]]).p_value == 1.0


def test_latent_space_of_the_hand_example():
    plane = flatten([[3, 0, 0], [0, 2, 0], [0, 0, 1]], [1, 1, 0], [0, 0, 0], radius=0.9)
    assert plane.distances.tolist() == [3, 2, 1]
    np.testing.assert_allclose(plane.projected, [[3, 0], [0, 2], [0, 0]], atol=1e-12)
    assert plane.kept == pytest.approx(13 / 14)
    assert plane.hidden == 1  # the third lies outside the sphere, and is drawn on the centre
    assert "Of 3 points outside the sphere, 1 are drawn within" in plane.honesty


@given(
    hnp.arrays(np.float64, (7, 4), elements=st.floats(-100, 100)),
    st.floats(0, 100),
)
def test_projection_never_moves_outwards_and_the_other_picture_keeps_distances(points, radius):
    plane = flatten(points, [0] * 7, np.ones(4), radius)
    drawn = np.linalg.norm(plane.projected, axis=1)
    assert (drawn <= plane.distances * (1 + 1e-9) + 1e-9).all()
    np.testing.assert_allclose(np.linalg.norm(plane.spread_out, axis=1), plane.distances, atol=1e-9)
    assert 0 <= plane.kept <= 1 + 1e-9
    assert 0 <= plane.hidden <= plane.outside.sum()


def test_contours_hold_their_share():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(2, 400))
    found = density_2d(*points)
    inside = sorted(Outline(line).contains_points(points.T).mean() for line in found.contours)
    assert inside[-1] > 0.9
    assert any(abs(share - 0.5) < 0.1 for share in inside)
    assert density_2d([1, 2, 3, 4, 5], [2, 4, 6, 8, 10]) is None  # a line has no area


def test_bins_are_round_and_hold_everything():
    values = np.array([50.0, 61.3, 99.99, 100.0])
    edges = auc_edges(values)
    assert np.histogram(values, edges)[0].sum() == 4
    assert set(np.diff(edges)) == {2.5}


def test_ladder_is_sorted_and_takes_both_ends():
    parts = list(score_ladder(np.arange(100.0)[::-1], 5).values())
    assert parts[0].tolist() == [99, 98, 97, 96, 95]
    assert parts[2].tolist() == [4, 3, 2, 1, 0]
    assert parts[1][0] == 94
    assert parts[1][-1] == 5
    assert evenly(3, 10).tolist() == [0, 1, 2]
    assert sum(map(len, score_ladder(np.arange(7.0), 5).values())) == 7


# ---------------------------------------------------------------------- what is drawn


def heights(ax):
    bars = [bar for bar in ax.patches if bar.get_height()]
    return sorted(
        (round(bar.get_x() + bar.get_width() / 2, 6), round(bar.get_y() + bar.get_height(), 6))
        for bar in bars
    )


def test_bars_end_where_the_auc_is_and_start_at_chance():
    figure = figures.option_bars(RUNS, "plain")
    better, half = figure.axes
    assert heights(better) == [(-0.2, 85), (0.2, 92.5), (0.8, 65), (1.2, 62.5)]
    assert heights(half) == [(-0.2, 85), (0.2, 45), (0.8, 65)]  # nothing was measured for 10
    assert {bar.get_y() for bar in better.patches} == {CHANCE}
    errors = [line for line in better.collections if hasattr(line, "get_segments")]
    lengths = sorted(abs(s[1][1] - s[0][1]) for one in errors for s in one.get_segments())
    assert lengths == pytest.approx(sorted([2 * math.sqrt(50)] * 2 + [2 * math.sqrt(12.5)] * 2))


def test_bars_of_the_change_are_the_mean_over_seeds_and_dots_are_seeds():
    ax = figures.change_bars(RUNS, "plain").axes[0]
    drawn = [(bar.get_x() + bar.get_width() / 2, bar.get_height()) for bar in ax.patches]
    assert sorted(drawn) == [(0, pytest.approx(7.5)), (1, pytest.approx(-2.5))]
    dots = [line.get_ydata() for line in ax.lines if line.get_marker() == "o"]
    np.testing.assert_allclose(dots, [[5, 10], [-5, 0]], atol=1e-9)
    assert [text.get_text() for text in ax.texts] == ["mean +2.50"]


def test_gains_are_drawn_with_interval_and_assumption():
    gains = mean_gains(RUNS, "plain", {"better": 0.8})
    ax = figures.gain_bars(gains).axes[0]
    assert sorted(bar.get_width() for bar in ax.patches) == pytest.approx([-45, 2.5])
    (diamond,) = [line for line in ax.lines if line.get_marker() == "D"]
    assert (diamond.get_xdata()[0], diamond.get_ydata()[0]) == (0.8, 0)


def test_published_bars_show_both():
    pair = Pair("method", {"3": Spread(91.9, 1.5, 10)}, {"3": Spread(93.0, None, 1)})
    assert heights(figures.published_bars([pair]).axes[0]) == [(-0.2, 91.9), (0.2, 93.0)]
    with pytest.raises(DataError, match="Nothing was published"):
        figures.published_bars([])


def test_heat_map_says_the_numbers_and_what_is_missing():
    table = heat_table(RUNS)
    assert table.texts == (("75.0",), ("77.5",), ("45.0 (1/2)",))
    by_name = heat_table(RUNS, "class")
    assert by_name.columns == ("3", "10")
    assert by_name.texts[2] == ("45.0", "–")
    figure = figures.heat_map(by_name)
    cells = figure.axes[0].collections[0].get_array()
    assert cells[0].tolist() == pytest.approx([85, 65])
    assert cells.mask[2].tolist() == [False, True]
    assert {"85.0", "–"} <= {text.get_text() for text in figure.axes[0].texts}


def test_distributions_show_every_run():
    for draw in (figures.violins, figures.boxes):
        (ax,) = draw(RUNS).axes
        names = [text.get_text() for text in ax.get_yticklabels()]
        assert names == ["better", "plain", "half"]  # by median
        drawn = {
            names[round(place)]: sorted(points[:, 0].round(6).tolist())
            for points in (c.get_offsets() for c in ax.collections)
            if len(points)
            and not math.isnan(place := float(np.median(np.asarray(points)[:, 1])))
            and len(points) in (1, 4)
        }
        assert drawn == {"plain": [60, 70, 80, 90], "better": [60, 65, 90, 95], "half": [45]}


def test_histogram_counts_runs_of_each_dataset():
    other = measured("plain", {"3": [0.5]}, data="E")
    figure = figures.auc_histogram(PLAIN + other)
    counts = [sum(bar.get_height() for bar in ax.patches) for ax in figure.axes]
    assert counts == [4, 1]


HISTORIES = {
    "3": [
        {"epoch": e, "loss": 1 / e, "auc": None if e % 2 else 0.5 + e / 100} for e in range(1, 7)
    ],
    "8": [{"phase": "pretrain", "epoch": 1, "loss": 9}, {"epoch": 1, "loss": 0.4}],
}  # fmt: skip


def test_lines_end_where_the_training_ended():
    figure = figures.training_lines(HISTORIES)
    loss, auc = figure.axes
    ends = {line.get_label(): (line.get_xdata()[-1], line.get_ydata()[-1]) for line in loss.lines}
    assert ends == {"3": (6, pytest.approx(1 / 6)), "8": (1, 0.4)}
    (line,) = auc.lines  # only one run says its AUC, and only for some epochs
    assert line.get_xdata().tolist() == [2, 4, 6]
    assert line.get_ydata()[-1] == pytest.approx(56)
    assert list(epoch_lines({"8": HISTORIES["8"]})) == ["loss"]
    with pytest.raises(DataError, match="no training"):
        figures.training_lines({"kde": []})


def test_ticks_of_wide_losses_are_round():
    assert log_ticks(epoch_lines({"3": HISTORIES["3"]})["loss"]) == pytest.approx([0.2, 0.5, 1.0])


def test_radar_goes_around_all_classes_and_keeps_the_baseline():
    spokes = {name: [0.6 + i / 100] for i, name in enumerate("abcde")}
    runs = [run for i in range(5) for run in measured(f"o{i}", spokes)] + measured(
        "few", {"a": [1]}
    )
    for i, run in enumerate(runs[:25]):
        run.values["auc"] += (i // 5) / 50  # type: ignore[index]
    assert best_options(runs, "o0") == ["o4", "o3", "o2", "o0"]
    (ax,) = figures.radar(runs, "o0").axes
    assert [len(line.get_xdata()) for line in ax.lines] == [6] * 4
    assert ax.lines[0].get_ydata()[-1] == ax.lines[0].get_ydata()[0] == pytest.approx(68)
    floor = radar_floor({"x": np.array([60.0])})
    assert floor == 50
    assert radar_rings(floor) == [60, 70, 80, 90, 100]


def test_scatter_has_every_run_at_its_height():
    ax = figures.auc_space(RUNS).axes[0]
    drawn = sorted(z for cloud in ax.collections[::2] for z in np.ravel(cloud._offsets3d[2]))
    assert drawn == pytest.approx(sorted(100 * run.values["auc"] for run in RUNS))


def test_pairs_show_every_run_and_rank_correlations():
    runs = [
        Measured("D", str(i), "o", 0, {"auc": x, "recall": y})
        for i, (x, y) in enumerate(((0.5, 0.9), (0.6, 0.8), (0.9, 0.1)))
    ]
    data = columns(runs, ("auc", "recall"))
    axes = figures.pair_plot(data).axes
    assert axes[2].lines[0].get_xdata().tolist() == [50, 60, 90]
    assert axes[2].lines[0].get_ydata().tolist() == pytest.approx([90, 80, 10])
    assert axes[1].texts[0].get_text() == "D  −1.00"
    assert math.isnan(spearman(np.ones(3), np.arange(3.0)))
    with pytest.raises(DataError, match="at least 3 runs"):
        columns(runs[:2], ("auc",))
    with pytest.raises(DataError, match="do not say their auc"):
        columns([*runs, Measured("D", "x", "o", 0)], ("auc",))
    assert figures.joint_density(data).axes


def test_curves_by_class_say_their_area():
    scores, truth = [0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]
    figure = figures.roc_curves({"3": roc(scores, truth), "8": roc(truth, truth)})
    named = {line.get_label(): line for line in figure.axes[0].lines}
    assert {"3: 75.0", "8: 100.0", "chance"} == set(named)
    assert named["3: 75.0"].get_xdata().tolist() == [0, 0, 0.5, 0.5, 1]
    figure = figures.precision_recall_curves({"3": precision_recall(scores, truth)})
    assert "3: 83.3" in {line.get_label() for line in figure.axes[0].lines}
    assert roc(scores, [1] * 4) is None
    with pytest.raises(DataError, match="no curve"):
        figures.roc_curves({})


def test_score_distributions_have_a_panel_for_each_class():
    panels = {f"normal: {i}": histogram([0, 1, 2, 3.0], 1.5, [0, 0, 1, 1]) for i in range(3)}
    figure = figures.score_distributions(panels)
    assert [ax.get_title(loc="left") for ax in figure.axes] == list(panels)


def test_latent_plane_shows_points_centre_and_radius():
    plane = flatten([[3.0, 0, 0], [0, 2, 0], [0, 0, 1]], [1, 1, 0], np.zeros(3), radius=0.9)
    both = (plane.projected, plane.spread_out)
    for ax, points in zip(figures.latent_plane(plane).axes, both, strict=True):
        named = {line.get_label(): line for line in ax.lines}
        np.testing.assert_allclose(named["anomalous (2)"].get_xydata(), points[:2], atol=0.3)
        np.testing.assert_allclose(named["normal (1)"].get_xydata(), points[2:], atol=0.3)
        assert named["centre"].get_xydata().tolist() == [[0, 0]]
        assert ax.patches[0].get_radius() == 0.9


def test_previews_show_the_pixels_of_each_class():
    images = np.arange(6, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 1), np.uint8)
    figure = figures.dataset_preview(images, [0, 0, 0, 1, 1, 1], ["a", "b"], per_class=2)
    values = [float(ax.images[0].get_array().max()) for ax in figure.axes if ax.images]
    assert values == [0, 2, 3, 5]
    assert figure.axes[0].get_ylabel() == "a"
    figure = figures.images_by_score(images, [5, 4, 3, 2, 1, 0], [1, 1, 1, 0, 0, 0], columns=3)
    shown = [(float(ax.images[0].get_array().max()), ax.get_xlabel()) for ax in figure.axes]
    assert shown == [(5 - i, str(i)) for i in range(6)]
    styles = [ax.spines["left"].get_linestyle() for ax in figure.axes]
    assert styles[0] != styles[-1]
    with pytest.raises(SpecError, match="per_class"):
        figures.dataset_preview(images, [0] * 6, ["a"], per_class=0)
    with pytest.raises(DataError, match="6 images but 1 scores"):
        figures.images_by_score(images, [1.0])


def test_critical_difference_shows_ranks_and_groups():
    ranking = Ranking(("a", "b", "c", "d"), (1.2, 1.9, 3.1, 3.8), 10, 9.0, 0.03, 1.0, 0.05)
    (ax,) = figures.critical_difference(ranking).axes
    marks = sorted(line.get_xdata()[0] for line in ax.lines if line.get_marker() == "o")
    assert marks == [1.2, 1.9, 3.1, 3.8]
    joined = [tuple(line.get_xdata()) for line in ax.lines if line.get_color() == style.NORMAL]
    assert joined == [(1.2, 1.9), (3.1, 3.8)]
    (ruler,) = [line for line in ax.lines if line.get_marker() == "|"]
    assert np.ptp(ruler.get_xdata()) == pytest.approx(1.0)


# ---------------------------------------------------------------------- looks


def test_forty_things_look_different_and_eight_even_without_colour():
    looks = [style.look(place) for place in range(40)]
    assert len(set(looks)) == 40
    for key in ("hatch", "pattern", "marker", "symbol", "dashes"):
        assert len({getattr(look, key) for look in looks[:8]}) == 8


def corners(text, renderer):
    """The four corners of a text, turned as it is drawn."""
    angle = text.get_rotation()
    if text.get_rotation_mode() != "anchor" or not angle:
        box = text.get_window_extent(renderer)
        return np.array([[box.x0, box.y0], [box.x1, box.y0], [box.x1, box.y1], [box.x0, box.y1]])
    text.set_rotation(0)
    box = text.get_window_extent(renderer)
    text.set_rotation(angle)
    anchor = text.get_transform().transform(text.get_position())
    flat = np.array([[box.x0, box.y0], [box.x1, box.y0], [box.x1, box.y1], [box.x0, box.y1]])
    c, s = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    return (flat - anchor) @ np.array([[c, s], [-s, c]]) + anchor


def overlap(a, b):
    """Whether two convex quadrilaterals share more than a pixel, by separating axes."""
    for shape in (a, b):
        for i in range(2):
            edge = shape[i + 1] - shape[i]
            normal = np.array([-edge[1], edge[0]]) / np.linalg.norm(edge)
            if min((a @ normal).max(), (b @ normal).max()) < 1 + max(
                (a @ normal).min(), (b @ normal).min()
            ):
                return False
    return True


def texts_of(figure):
    found = [text for text in figure.texts if text.get_text().strip()]
    if figure._suptitle is not None and figure._suptitle not in found:
        found.append(figure._suptitle)
    for legend in [*figure.legends, *(ax.get_legend() for ax in figure.axes if ax.get_legend())]:
        found += legend.get_texts()
    for ax in figure.axes:
        found += [*ax.texts, ax.title, ax._left_title, ax._right_title]
        for axis in (ax.xaxis, ax.yaxis):
            low, high = sorted(axis.get_view_interval())
            found += [axis.label] * bool(axis.label.get_text())
            found += [
                tick.label1
                for tick in axis.get_major_ticks()
                if tick.label1.get_visible() and low - 1e-9 <= tick.get_loc() <= high + 1e-9
            ]
    return [text for text in found if text.get_visible() and text.get_text().strip()]


def assert_legible(figure, *, overlaps=True):
    canvas = FigureCanvasAgg(figure)
    figure.draw_without_rendering()  # places all texts, and paints nothing
    renderer = canvas.get_renderer()
    boxes = [(text.get_text(), corners(text, renderer)) for text in texts_of(figure)]
    width, height = canvas.get_width_height()
    for name, box in boxes:
        assert box.min() > -1.5, f"{name!r} is cut off"
        assert (box.max(axis=0) < (width + 1.5, height + 1.5)).all(), f"{name!r} is cut off"
    if overlaps:
        low = np.array([box.min(axis=0) for _, box in boxes])
        high = np.array([box.max(axis=0) for _, box in boxes])
        near = ((low[:, None] < high) & (low < high[:, None])).all(axis=2)  # upright boxes meet
        for i, j in np.argwhere(np.triu(near, 1)):
            (name, box), (other, its) = boxes[i], boxes[j]
            assert not overlap(box, its), f"{name!r} and {other!r} overlap"


def test_the_check_for_overlaps_sees_what_it_should():
    square = np.array([[0, 0], [10, 0], [10, 10], [0, 10.0]])
    turned = (square - 5) @ np.array([[0.7, 0.7], [-0.7, 0.7]]) + 5
    assert overlap(square, square + 5)
    assert overlap(square, turned)
    assert not overlap(square, square + np.array([10, 0]))
    assert not overlap(turned, turned + np.array([9, 9]))  # their upright boxes would


@pytest.fixture(scope="module")
def planned_figures():
    found, left_out = plan(read_collection(RESULTS))
    assert not {"AUC by class", "Heat map of AUCs", "Pair plot of figures of merit"} & set(left_out)
    return found


@pytest.mark.slow
def test_every_figure_of_the_committed_rows_is_legible_and_none_stays_open(planned_figures):
    seen = set()
    for planned in planned_figures:
        kind = planned.name.split("-")[0]
        figure = planned.draw()
        assert figure.axes
        assert planned.caption.endswith(".")
        assert planned.origin.startswith("From ")
        if kind in ("bars", "change", "gains", "published"):
            assert_legible(figure)
        elif kind not in seen and kind not in ("space", "preview"):
            assert_legible(figure, overlaps=kind not in ("pairs", "radar"))
        seen.add(kind)
    assert {"bars", "change", "gains", "published", "heat", "ranks", "histogram", "violins",
            "boxes", "space", "radar", "pairs", "joint", "training"} <= seen  # fmt: skip
    from matplotlib import pyplot

    assert pyplot.get_fignums() == []


def test_long_names_do_not_run_into_each_other():
    long = {f"an unusually long class name {i}": [0.6 + i / 50] for i in range(12)}
    runs = [
        run
        for i in range(5)
        for run in measured(f"option {i} with a name that would fill more than one line {i}", long)
    ]
    baseline = runs[0].option
    title = "A heading that is too long for one line, as those of data with long names are"
    for figure in (
        figures.option_bars(runs, baseline, title),
        figures.change_bars(runs, baseline, title),
        figures.gain_bars(mean_gains(runs, baseline), title),
        figures.heat_map(heat_table(runs, "class"), title),
    ):
        assert_legible(figure)


def test_names_that_are_formulas_stay_text():
    runs = measured("$\\frac{1}$", {"$a_b$": [0.8]}) + measured("plain", {"$a_b$": [0.7]})
    for draw in (figures.option_bars, figures.change_bars):
        assert figures.to_svg(draw(runs, "plain", "$x^$"))
    assert layout.wrapped("") == ""
