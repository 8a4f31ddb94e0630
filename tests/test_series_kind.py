"""Series: files and frames, gaps, windows, Deep SVDD for series, streaming, VUS-PR, commands."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from typer.testing import CliRunner

import insphere
from insphere.cli.app import app
from insphere.data.read_options import ReadOptions
from insphere.detectors import SeriesSVDD
from insphere.detectors.model_folder import load_detector
from insphere.detectors.spheres.series_svdd import from_median
from insphere.detectors.spheres.sphere_ensemble import SphereEnsemble
from insphere.errors import DataError, SpecError
from insphere.modalities.load import kind_named, load_source
from insphere.modalities.series import Series, TimeSeries
from insphere.modalities.series.time_series import window_length
from insphere.modalities.table import kind_of_input, restored
from insphere.nets.series import ENCODERS
from insphere.scoring.range_auc import softened, vus_pr

PERIOD = 24


def waves(n: int, seed: int, channels: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    phase = np.arange(n)[:, None] * 2 * np.pi / PERIOD + np.arange(channels)
    return np.sin(phase) + 0.1 * rng.normal(size=(n, channels))


def write_csv(path, n: int = 400, odd: tuple[int, int] | None = None, label: bool = False):
    import datetime

    values = waves(n, 0)[:, 0]
    if odd is not None:
        values[slice(*odd)] = values[odd[0]]
    start = datetime.datetime(2024, 1, 1)
    lines = ["stamp,load" + (",fault" if label else "")]
    for i, value in enumerate(values):
        line = f"{start + datetime.timedelta(hours=i)},{value:.5f}"
        if label:
            line += f",{int(odd is not None and odd[0] <= i < odd[1])}"
        lines.append(line)
    path.write_text("\n".join(lines) + "\n")


def test_windows_end_at_their_point_and_do_not_reach_across_gaps():
    times = np.r_[np.arange(50.0), np.arange(60.0, 110.0)]
    series = TimeSeries(np.arange(100.0), times)
    data, kind = Series.learned(series, SeriesSVDD(window=8))
    assert (data.shape, kind.window, kind.channels) == ((100, 1, 8), 8, ("value",))
    assert data[20, 0].tolist() == list(range(13, 21))
    assert data[2, 0].tolist() == [0, 0, 0, 0, 0, 0, 1, 2]
    assert data[52, 0].tolist() == [50, 50, 50, 50, 50, 50, 51, 52]
    assert restored(json.loads(json.dumps(kind.saved()))) == kind


def test_training_windows_hold_trained_points_alone_and_new_ones_reach_back():
    series = TimeSeries(np.arange(60.0))
    some = series.take(np.r_[np.arange(30), np.arange(40, 60)])
    estimator = SeriesSVDD(window=8)
    data, kind = Series.learned(some, estimator)
    assert data[30, 0].tolist() == [40.0] * 8
    assert kind.new(series.take(np.array([40])), estimator)[0, 0].tolist() == list(range(33, 41))


def test_missing_values_are_the_last_before_them():
    series = TimeSeries([np.nan, 2.0, np.nan, np.nan, 5.0])
    assert series.filled[:, 0].tolist() == [2, 2, 2, 2, 5]


def test_the_window_is_the_period():
    assert abs(window_length(waves(600, 0)) - PERIOD) <= 1
    assert window_length(np.zeros((600, 1))) == 125
    assert window_length(waves(60, 0)) <= 20


@pytest.mark.parametrize("channels", [1, 3])
def test_odd_stretches_are_found_and_streamed_with_the_same_scores(tmp_path, channels):
    train, test = waves(500, 0, channels), waves(300, 1, channels)
    test[150:170] = test[150]
    detector = SeriesSVDD(random_state=0, false_alarm_rate=0.1).fit(TimeSeries(train))
    scores = detector.anomaly_score(TimeSeries(test))
    truth = np.zeros(300, int)
    truth[155:180] = 1
    assert roc_auc_score(truth, scores) > 0.95
    streamed = np.array([detector.score_one(point) for point in test])
    np.testing.assert_allclose(streamed, scores, atol=1e-6)
    assert len(detector._past) == detector.modality_.window
    loaded = insphere.load(detector.save(tmp_path / "m"))
    np.testing.assert_array_equal(loaded.anomaly_score(TimeSeries(test)), scores)
    assert loaded.score_one(test[0]) == pytest.approx(scores[0], abs=1e-6)
    with pytest.raises(DataError, match="one for each channel"):
        loaded.score_one(np.zeros(7))


def test_blocks_of_time_are_held_out_and_the_promise_says_so():
    detector = SeriesSVDD(random_state=0, false_alarm_rate=0.1).fit(TimeSeries(waves(800, 0)))
    assert detector.n_calibration_groups_ == 8
    assert "only 8 groups of points" in detector.guarantee
    new = TimeSeries(waves(800, 1))
    assert (detector.predict(new) == -1).mean() < 0.25


@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_encoders_start_as_the_identity_look_back_alone_and_have_no_biases(name):
    import torch

    torch.manual_seed(0)
    encoder = ENCODERS[name](2, 20, 8).double()
    x = torch.randn(3, 2, 20, dtype=torch.float64)
    assert torch.equal(encoder(x), x)
    torch.nn.init.normal_(encoder.last.weight)
    before = encoder(x)
    later = x.clone()
    later[:, :, 12:] += 1
    torch.testing.assert_close(encoder(later)[:, :, :12], before[:, :, :12], rtol=0, atol=1e-12)
    first = x.clone()
    first[:, :, 0] += 1
    assert not torch.allclose(encoder(first)[:, :, -1], before[:, :, -1], rtol=0, atol=1e-9)
    assert not encoder(torch.zeros(1, 2, 20, dtype=torch.float64)).any()  # no bias
    assert not [n for n, _ in encoder.named_parameters() if "bias" in n]
    short = torch.randn(1, 2, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(encoder, short)


@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_encoders_train_without_collapse_and_stream_with_the_same_scores(name):
    train, test = waves(300, 0), waves(120, 1)
    test[60:75] = test[60]
    detector = SeriesSVDD(encoder=name, random_state=0, steps=20, lr=1e-2, contamination=0.05)
    detector.fit(TimeSeries(train))
    z, rows = detector._represented(detector.rows_, 0), detector.rows_.reshape(len(train), -1)
    assert not np.allclose(z, rows, atol=1e-3)  # it has learned something
    spread = z.std(axis=0).mean() / rows.std(axis=0).mean()
    assert 0.3 < spread < 3  # and has not collapsed
    scores = detector.anomaly_score(TimeSeries(test))
    assert roc_auc_score((np.arange(120) >= 62) & (np.arange(120) < 80), scores) > 0.95
    streamed = [detector.score_one(point) for point in test]
    np.testing.assert_allclose(streamed, scores, atol=1e-6)
    with pytest.raises(SpecError, match="encoder is one of convolution, gru, transformer"):
        SeriesSVDD(encoder="lstm").fit(TimeSeries(train))


def test_attention_depends_on_distances_between_points_alone():
    import torch

    from insphere.nets.series.transformer import turned

    query, key = torch.randn(2, 1, 8, dtype=torch.float64)
    near = (turned(query.expand(9, 8)) @ turned(key.expand(9, 8)).T).numpy()
    np.testing.assert_allclose(near[1:, 1:], near[:-1, :-1], atol=1e-12)
    # By hand: the first pair of numbers of point 1 is turned by 1 radian.
    one = turned(torch.tensor([[1.0, 0.0], [1.0, 0.0]], dtype=torch.float64))[1]
    np.testing.assert_allclose(one, [np.cos(1), np.sin(1)])


def test_vus_pr_against_values_by_hand():
    truth = np.array([0, 0, 0, 1, 1, 0, 0, 0])
    assert softened(truth, 4) == pytest.approx(
        [0, np.sqrt(0.5), np.sqrt(0.75), 1, 1, np.sqrt(0.75), np.sqrt(0.5), 0]
    )
    assert vus_pr(truth, truth, 0) == pytest.approx(1)
    # One of two points is found first: precision 1 up to recall 1/2, then 2/8.
    assert vus_pr(truth, [0, 0, 0, 1, 0, 0, 0, 0], 0) == pytest.approx(0.5 + 0.5 * 0.25)
    near, far = np.eye(8)[5], np.eye(8)[7]
    assert vus_pr(truth, near, 4) > vus_pr(truth, far, 4)
    rng = np.random.default_rng(0)
    long = np.zeros(4000, int)
    long[1000:1400] = 1
    assert vus_pr(long, rng.random(4000), 50) == pytest.approx(0.1, abs=0.03)
    with pytest.raises(DataError, match="No point is anomalous"):
        vus_pr([0, 0], [1, 2], 0)


def test_the_score_of_nab_against_values_by_hand():
    from insphere.scoring.nab import PROFILES, nab_raw, nab_scale, nab_score

    def sigma(place):
        return 2 / (1 + np.exp(5 * place)) - 1

    truth = np.array([0, 0, 1, 1, 1, 1, 0, 0, 0, 0])
    standard = PROFILES["standard"]
    late = np.eye(10)[4]  # half of the stretch is over
    assert nab_raw(truth, late, standard) == pytest.approx(sigma(-0.5) / sigma(-1))
    both = np.eye(10)[2] + np.eye(10)[5]  # only the first alarm of a stretch counts
    assert nab_raw(truth, both, standard) == pytest.approx(1)
    early = np.eye(10)[0]
    assert nab_raw(truth, early, PROFILES["low FP"]) == pytest.approx(-1 - 0.22)
    after = np.eye(10)[7]  # two points behind a stretch of four
    assert nab_raw(truth, after, standard) == pytest.approx(-1 + 0.11 * sigma(0.5))
    nothing, perfect = nab_scale(truth, PROFILES["low FN"])
    assert (nothing, perfect) == (-2, 1)
    assert nab_score(nothing, nothing, perfect) == 0
    assert nab_score(perfect, nothing, perfect) == 100


def test_parts_are_seen_where_there_is_a_period_and_are_saved(tmp_path):
    periodic = TimeSeries(waves(900, 0))
    detector = SeriesSVDD(random_state=0, steps=2, contamination=0.05).fit(periodic)
    assert detector.views_ == ("window", "summary", "half", "quarter", "point")
    half = detector._view(detector.rows_, 2)
    np.testing.assert_array_equal(half, detector._view(detector.rows_, 0)[:, :, -(PERIOD // 2) :])
    assert detector._view(detector.rows_, 3).shape[2] == PERIOD // 4
    noise = TimeSeries(np.random.default_rng(0).normal(size=600))
    plain = SeriesSVDD(steps=0, contamination=0.05, points=False)
    assert plain.fit(noise).views_ == ("window", "summary")
    short = SeriesSVDD(steps=0, window=8, contamination=0.05).fit(periodic)
    assert short.views_ == ("window", "summary", "point")  # no period fits into the window
    scores = detector.anomaly_score(periodic)
    detector.save(tmp_path / "m")
    again = load_detector(tmp_path / "m")
    assert again.views_ == detector.views_
    np.testing.assert_array_equal(again.anomaly_score(periodic), scores)
    with pytest.raises(SpecError, match="views is auto, summary, shape or scales"):
        SeriesSVDD(views="both").fit(periodic)


def test_a_point_counts_by_its_distance_from_the_median_of_its_window():
    # By hand: the medians are 2 and 3.
    rows = np.array([[[1.0, 2.0, 5.0], [4.0, 3.0, 1.0]]])
    assert from_median(rows).tolist() == [[3.0, -2.0]]
    rng = np.random.default_rng(0)
    one, two = TimeSeries(rng.normal(size=600)), TimeSeries(rng.normal(size=(600, 2)) * [1, 9])
    for series in (one, two):
        detector = SeriesSVDD(random_state=0, steps=0, contamination=0.05, window=9).fit(series)
        apart = np.abs(from_median(detector._standardised(detector.rows_)))
        units = np.quantile(apart, 0.99, axis=0)
        units = units * max(1, np.quantile((apart / units).max(axis=1), 0.99))
        factor = np.maximum((apart / units).max(axis=1), 1)
        last = detector._count - 1
        np.testing.assert_allclose(detector._distances(detector.rows_, last), factor)
        assert (factor > 1).mean() == pytest.approx(0.01, abs=0.003)
        distances = np.stack([detector._distances(detector.rows_, m) for m in range(last + 1)])
        windows = SphereEnsemble._together(detector, distances[:-1])
        np.testing.assert_allclose(detector._together(distances), windows * factor)
        assert not detector._steps(last, 0)


def test_a_jump_is_seen_at_once_and_a_constant_channel_does_not_hide_it(tmp_path):
    rng = np.random.default_rng(0)
    values = np.c_[rng.normal(size=900), np.full(900, 3.0)]
    train, test = TimeSeries(values[:600]), values[600:].copy()
    test[150, 0] += 6
    ranks = []
    for points in (False, True):
        detector = SeriesSVDD(random_state=0, steps=5, contamination=0.05, points=points)
        scores = detector.fit(train).anomaly_score(TimeSeries(test))
        assert np.isfinite(scores).all()
        ranks.append(int((scores > scores[150]).sum()))
    assert ranks[1] < ranks[0]
    assert ranks[1] < 3
    older = SeriesSVDD(random_state=0, steps=5, contamination=0.05, points=False).fit(train)
    before = older.anomaly_score(TimeSeries(test))
    arrays, meta = older._state()
    assert arrays.pop("point_scale").tolist() == [1, 1]  # older models have neither
    older.points = True
    older._set_state(arrays, meta)
    np.testing.assert_array_equal(older.anomaly_score(TimeSeries(test)), before)
    with pytest.raises(SpecError, match="points is True or False"):
        SeriesSVDD(points=2).fit(train)


def test_the_shape_does_not_see_a_level_that_is_a_little_off():
    periodic, lifted = TimeSeries(waves(900, 0)), TimeSeries(waves(900, 0) + 0.05)
    detector = SeriesSVDD(random_state=0, steps=2, views="shape", contamination=0.05).fit(periodic)
    assert detector.views_ == ("window", "summary", "shape", "point")
    shape = detector._distances(detector._read(lifted), 2)
    np.testing.assert_allclose(shape, detector._distances(detector._read(periodic), 2), atol=1e-6)


def test_the_most_anomalous_stretches_are_drawn():
    train, values = TimeSeries(waves(600, 1)), waves(2400, 0)
    index = np.arange(30, 2400, 60)
    values[index[-1]] += 5
    detector = SeriesSVDD(steps=0, contamination=0.05, random_state=0).fit(train)
    shown = detector.modality_.exhibits(detector, TimeSeries(values), index)
    assert sum(bool(one.curves) for one in shown) == 12
    assert shown[-1].curves


def test_files_of_dates_and_numbers_are_series(tmp_path):
    write_csv(tmp_path / "s.csv", label=True, odd=(300, 320))
    series = load_source(tmp_path / "s.csv", ReadOptions(columns={"label": "fault"}))
    assert isinstance(series, TimeSeries)
    assert (series.channels, series.class_names) == (("load",), ("0", "1"))
    assert series.is_test is not None
    assert series.is_test.tolist() == [False] * 200 + [True] * 200
    assert series.paths is not None
    assert series.paths[1] == "2024-01-01 01:00:00"
    (tmp_path / "t.csv").write_text("a,b\n1,2\n3,4\n5,6\n7,8\n")
    assert kind_of_input(str(tmp_path / "t.csv")) is kind_named("table")
    read = load_source(tmp_path / "t.csv", ReadOptions(kind="series", columns={"time": "a"}))
    assert isinstance(read, TimeSeries)
    assert read.times.tolist() == [1, 3, 5, 7]


def lines(path, head: str, row, n: int = 30) -> str:
    path.write_text(head + "\n" + "".join(row(i) + "\n" for i in range(n)))
    return str(path)


def test_numbers_named_timestamp_are_times(tmp_path):
    epoch = lines(
        tmp_path / "e.csv", "timestamp,load", lambda i: f"{1_700_000_000 + 60 * i},{i % 3}"
    )
    assert kind_of_input(epoch) is kind_named("series")
    assert load_source(epoch, ReadOptions()).channels == ("load",)
    twice = lines(
        tmp_path / "d.csv", "timestamp,load", lambda i: f"{1_700_000_000 + 60 * max(i, 5)},1"
    )
    with pytest.raises(DataError, match=r"must ascend, but number 2 .1700000300. is not after"):
        load_source(twice, ReadOptions(kind="series"))
    days = lines(tmp_path / "y.csv", "date,load", lambda i: f"202401{i + 1:02},{i % 3}")
    series = load_source(days, ReadOptions(kind="series"))
    assert np.diff(series.times).tolist() == [86400.0] * 29


def test_time_zones_are_those_of_all_stamps_or_of_none(tmp_path):
    for zone in ("+01:00", "Z", " UTC", " GMT"):
        path = lines(
            tmp_path / "z.csv", "time,load", lambda i, z=zone: f"2024-01-{i + 1:02}T00:00:00{z},1"
        )
        assert kind_of_input(path) is kind_named("series")
        assert np.diff(load_source(path, ReadOptions()).times).tolist() == [86400.0] * 29
    mixed = lines(
        tmp_path / "m.csv", "time,load",
        lambda i: f"2024-01-{i + 1:02}T00:00:00{'+02:00' if i < 9 else ''},1",
    )  # fmt: skip
    with pytest.raises(DataError, match="'2024-01-10T00:00:00' has no time zone, but others have"):
        load_source(mixed, ReadOptions(kind="series"))


@pytest.mark.parametrize(
    ("head", "row", "said"),
    [
        ("time,load", lambda i: f"{i + 1:02}-Jan-2024,1", "time stamps that are not understood"),
        ("time,load", lambda i: f"{i % 24:02}:00,1", "time stamps that are not understood"),
        ("date,time,load", lambda i: f"2024-01-01,{i:02}:00,1", "two columns, date and time: join"),
    ],
)
def test_stamps_that_are_not_understood_are_said(tmp_path, head, row, said):
    with pytest.raises(DataError, match=said):
        load_source(lines(tmp_path / "s.csv", head, row), ReadOptions(kind="series"))


def test_channels_are_known_by_their_names():
    values = waves(300, 0, 2) * [1, 5]
    detector = SeriesSVDD(random_state=0, steps=0, contamination=0.05)
    detector.fit(TimeSeries(values, channels=("flow", "heat")))
    new = waves(120, 1, 2) * [1, 5]
    scores = detector.anomaly_score(TimeSeries(new, channels=("flow", "heat")))
    turned = TimeSeries(new[:, [1, 0]], channels=("heat", "flow"))
    np.testing.assert_array_equal(detector.anomaly_score(turned), scores)
    more = TimeSeries(np.c_[new[:, 1], np.zeros(120), new[:, 0]], channels=("heat", "x", "flow"))
    np.testing.assert_array_equal(detector.anomaly_score(more), scores)
    assert detector.modality_.exhibits(detector, more, np.arange(0, 120, 40))[0].curves
    np.testing.assert_array_equal(detector.anomaly_score(TimeSeries(new)), scores)
    with pytest.raises(DataError, match=r"lacks the channel heat, .* it has: flow, x"):
        detector.predict(TimeSeries(new, channels=("flow", "x")))
    one = SeriesSVDD(random_state=0, steps=0, contamination=0.05)
    one.fit(TimeSeries(values[:, 0], channels=("flow",)))
    with pytest.warns(UserWarning, match="The channel heat is scored as flow"):
        one.predict(TimeSeries(new[:, 0], channels=("heat",)))


def test_another_step_between_points_is_said():
    hours = np.arange(300) * 3600.0
    detector = SeriesSVDD(random_state=0, steps=0, contamination=0.05)
    detector.fit(TimeSeries(waves(300, 0), hours))
    with pytest.warns(UserWarning, match="are 60 s apart, and those of training 3600 s"):
        detector.predict(TimeSeries(waves(300, 1), hours / 60))
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        detector.predict(TimeSeries(waves(300, 1), hours))
        detector.predict(TimeSeries(waves(300, 1)))


def test_times_of_all_forms_are_seconds_and_masked_values_are_missing():
    days = np.array(["2024-01-01", "2024-01-02", "2024-01-04"])
    python = [datetime.fromisoformat(day) for day in days]
    for times in (days, days.astype("datetime64[D]"), days.astype("datetime64[ns]"), python):
        series = TimeSeries([1.0, 2.0, 3.0], times)
        assert (series.times - series.times[0]).tolist() == [0, 86400, 3 * 86400]
    masked = TimeSeries(np.ma.masked_array([1.0, 2.0, 3.0], [False, True, False]))
    assert masked.filled[:, 0].tolist() == [1, 1, 3]


def test_pandas_with_times_is_a_series():
    pandas = pytest.importorskip("pandas")
    index = pandas.date_range("2024-01-01", periods=300, freq="h")
    frame = pandas.DataFrame(waves(300, 0, 2), index=index, columns=["a", "b"])
    assert kind_of_input(frame) is Series
    detector = SeriesSVDD(random_state=0, steps=1).fit(frame)
    assert detector.modality_.channels == ("a", "b")
    assert detector.modality_.step == 3600
    assert len(detector.anomaly_score(frame["a"].to_frame().assign(b=0.0))) == 300


@pytest.mark.parametrize(
    ("series", "said"),
    [
        (lambda: TimeSeries([1, 2, 3], [0, 2, 1]), "must ascend, but number 3"),
        (lambda: TimeSeries([1, 2, 3], [0, 1, 1]), "must ascend, but number 3"),
        (lambda: TimeSeries([[1, np.nan], [2, np.nan]]), "channel 1 has no value at all"),
        (lambda: TimeSeries([1, np.inf]), "infinite values"),
        (lambda: TimeSeries([1, 2], [0]), "2 values but 1 time stamps"),
        (lambda: TimeSeries(["a", "b"]), "holds numbers"),
        (lambda: TimeSeries([1j, 2]), "holds real numbers"),
        (lambda: TimeSeries([1, 2], ["a", "b"]), "time stamps are not understood"),
        (lambda: TimeSeries([1, 2], [["a", "b"]]), "has one time stamp for each point"),
        (lambda: TimeSeries([[1, 2], [3, 4]], channels=("a",)), "2 channels, .* but got a"),
        (lambda: TimeSeries([[1, 2], [3, 4]], channels=("a", "a")), "names of their own"),
        (lambda: SeriesSVDD().fit(TimeSeries(np.arange(20.0))), "take at least 24"),
    ],
)
def test_bad_series_get_one_sentence(series, said):
    with pytest.raises(DataError, match=said):
        series()


def test_other_kinds_and_channels_are_refused():
    detector = SeriesSVDD(random_state=0, steps=0).fit(TimeSeries(waves(200, 0)))
    with pytest.raises(DataError, match=r"trained on 1 channels .value., but this series has 2"):
        detector.predict(TimeSeries(waves(50, 0, 2)))
    with pytest.raises(DataError, match=r"trained on a series .* but got a table"):
        detector.predict(np.zeros((5, 3)))
    with pytest.raises(DataError, match="takes series, but got a table"):
        SeriesSVDD().fit(np.random.default_rng(0).normal(size=(50, 3)))


@pytest.mark.slow
def test_the_command_line_from_file_to_decision(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_csv(tmp_path / "s.csv", n=800, odd=(600, 630), label=True)
    write_csv(tmp_path / "new.csv", n=300, odd=(200, 220))
    run = CliRunner().invoke
    fitted = run(app, ["fit", "s.csv", "--label", "fault", "--normal", "0", "--out", "m", "--json"])
    assert fitted.exit_code == 0, fitted.output
    assert json.loads(fitted.stdout)["method"] == "series-svdd"
    measured = json.loads(run(app, ["evaluate", "m", "s.csv", "--json"]).stdout)
    assert measured["evaluation"]["auc"] > 0.9
    scored = run(app, ["score", "m", "new.csv", "--report", "r.html", "--json"])
    assert scored.exit_code == 0, scored.output
    found = json.loads(scored.stdout)
    assert len(found["scores"]) == 300
    worst = datetime.fromisoformat(found["most_anomalous"][0]["path"])
    assert 200 <= (worst - datetime(2024, 1, 1)) / timedelta(hours=1) < 250
    page = (tmp_path / "r.html").read_text()
    assert "nearest" in page
    assert "points" in page


def test_the_demo_runs_on_a_series(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["demo", "--kind", "series", "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["rows"][0]["auc"] > 0.9
