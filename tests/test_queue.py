"""The queue in the store, what is chosen and estimated, and what can be watched."""

import os
import signal
import time

import numpy as np
import pytest

from insphere.data.load import load_dataset
from insphere.data.split import OneClassSplit
from insphere.errors import SpecError
from insphere.experiments.execution.queue import Queue
from insphere.experiments.execution.time_estimate import from_runs, measure
from insphere.experiments.runs.display_names import option_keys, run_names
from insphere.experiments.runs.processing_options import OPTIONS
from insphere.experiments.runs.run import run
from insphere.experiments.runs.run_builder import (
    RunChoice,
    assumed_gain,
    baseline_of,
    controls_of,
    possible_rate,
)
from insphere.experiments.runs.spec import RunSpec
from insphere.experiments.runs.training_snapshots import LiveView, live_view, snapshots
from insphere.experiments.store.run_store import Store

DIGITS = {"dataset": "digits-8x8", "normal": ("3",)}
SWEEP = {
    "name": "two digits", "datasets": ["digits-8x8"], "normal": [["3"], ["4"]],
    "methods": ["knn", "mahalanobis"], "seeds": 1,
}  # fmt: skip


def spec(seed=0, **changes):
    return RunSpec(**DIGITS | {"method": "knn", "seed": seed} | changes)


@pytest.fixture
def store(tmp_path):
    opened = Store(tmp_path / "runs.sqlite")
    yield opened
    queue = Queue(opened)
    queue.cancel([run.identity for run in opened.runs()])
    queue.dismiss()
    wait_for(lambda: queue.alive() == 0)
    opened.close()


def wait_for(condition, seconds=240):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.1)
    raise AssertionError("it did not happen in time")


# ---------------------------------------------------------------------- queue


def test_single_runs_come_before_sweeps_and_others_are_left_alone(store):
    queue = Queue(store)
    store.add([spec(9)])  # nobody asked the queue for this one
    queue.start(SWEEP)
    queue.ask([spec(1), spec(2)])
    taken = [queue.take("w") for _ in range(7)]
    assert taken[:2] == [spec(1), spec(2)]
    assert len([one for one in taken if one is not None]) == 6
    assert store.get(spec(9).identity).state == "queued"


def test_what_is_asked_for_twice_is_done_once(store):
    queue = Queue(store)
    assert queue.ask([spec(), spec()]) == 1
    assert Queue(store).ask([spec()]) == 1  # a second visitor, or a restarted server
    assert queue.take("w") == spec()
    assert queue.ask([spec()]) == 0  # it is at work
    assert queue.take("w") is None


def test_a_sweep_is_paused_resumed_and_cancelled(store):
    queue = Queue(store)
    key = queue.start(SWEEP)
    (sweep,) = queue.sweeps()
    assert (sweep.total, sweep.open, sweep.paused) == (4, 4, False)
    first = queue.take("w")
    queue.ask([spec(normal=("4",))])  # one of its runs is wanted for itself too
    queue.pause(key)
    assert store.must_stop(first.identity, "w")
    store.interrupt(first.identity, "w", "Paused.")
    (sweep,) = queue.sweeps()
    assert sweep.paused
    assert queue.waiting() == [spec(normal=("4",)).identity]
    queue.resume(key)
    assert len(queue.waiting()) == 4
    queue.cancel_sweep(key)
    (sweep,) = queue.sweeps()
    assert not sweep.paused
    assert len(queue.waiting()) == 1
    queue.forget_sweep(key)
    assert queue.sweeps() == []
    assert len(store.runs()) == 4


def test_a_mistake_in_a_sweep_is_told_and_nothing_is_queued(store):
    queue = Queue(store)
    with pytest.raises(SpecError, match="unknown method"):
        queue.start(SWEEP | {"methods": ["guess"]})
    assert queue.waiting() == []
    assert queue.sweeps() == []


def test_there_are_as_many_workers_as_open_runs_and_one_waits_for_the_first(store, monkeypatch):
    started = []
    monkeypatch.setattr(Queue, "_start", lambda _, slot: started.append(slot))
    queue = Queue(store, workers=3)
    for asked, slots in ((0, [0]), (1, [0]), (2, [0, 1]), (9, [0, 1, 2])):
        queue.ask([spec(seed) for seed in range(asked)])
        started.clear()
        queue.keep_working()
        assert started == slots


@pytest.mark.slow
def test_workers_work_outlive_a_kill_and_go_home(store):
    queue = Queue(store, workers=1)
    long = spec(method="deep-svdd", params={"pretrain_epochs": 100_000})
    queue.ask([long])
    queue.keep_working()
    queue.keep_working()  # does not start another
    running = wait_for(lambda: next(iter(store.runs(states=("running",))), None))
    assert queue.alive() == 1
    wait_for(lambda: store.files.history(long.identity))
    os.kill(int(running.worker.split("-")[0]), signal.SIGKILL)
    wait_for(lambda: queue.alive() == 0)
    store.recover()
    assert store.get(long.identity).state == "interrupted"
    queue._processes.clear()  # the pause after a death is not waited for
    queue.ask([spec()])
    queue.keep_working()
    wait_for(lambda: store.get(spec().identity).state == "finished")
    assert (store.files.model(spec().identity) / "detector.json").is_file()
    assert store.get(long.identity).state == "interrupted"
    queue.dismiss()
    wait_for(lambda: queue.alive() == 0)


# ---------------------------------------------------------------------- choice


def test_a_choice_leaves_defaults_out_and_names_what_it_is_compared_with():
    plain = RunChoice(**DIGITS)
    assert plain.spec() == RunSpec(**DIGITS)
    assert [one.method for one in plain.specs()] == ["deep-svdd", "untrained", "knn"]
    chosen = RunChoice(
        **DIGITS, options=("residual", "zca"), recipe="paper", epochs=3, false_alarm_rate=0.1
    )
    baseline = baseline_of(chosen.spec())
    assert baseline.params == {"recipe": "paper", "epochs": 3, "false_alarm_rate": 0.1}
    assert baseline_of(baseline) == baseline
    untrained, pixels = controls_of(chosen.spec())
    assert untrained.params["encoder"] == {"base": "auto", "residual": True}
    assert pixels.params == {"false_alarm_rate": 0.1}
    rival = RunChoice(**DIGITS, method="oc-svm", options=("residual",), recipe="paper").spec()
    assert rival.params == {}


@pytest.mark.parametrize("name", [n for n, o in OPTIONS.items() if o.encoder or o.steps])
def test_options_are_read_off_a_spec(name):
    assert option_keys(RunChoice(**DIGITS, options=(name,), epochs=2).spec().params) == (name,)


def test_several_options_are_read_off_a_spec_and_their_gains_added():
    names = ("zca", "attention", "residual")
    found = option_keys(RunChoice(**DIGITS, options=names).spec().params)
    assert set(found) == set(names)
    assert assumed_gain(found) == pytest.approx(0.015)
    assert assumed_gain(("zca",)) is None
    assert option_keys({"encoder": "mnist"}) == ()
    named = [RunChoice(**DIGITS, options=("residual",)).spec(), spec()]
    assert run_names(named)[named[0].identity] == "Deep SVDD + Residual skips"


def test_the_rate_that_few_normals_can_promise():
    data = load_dataset("digits-8x8", progress=False)
    split = OneClassSplit(data, "3", random_state=0)
    rate = possible_rate(len(split.train))
    assert rate == 0.1
    run(spec(params={"false_alarm_rate": rate}), data)  # is not refused


# ---------------------------------------------------------------------- estimate, live


@pytest.mark.slow
def test_an_estimate_is_measured_and_known_runs_are_believed(store):
    data = load_dataset("digits-8x8", progress=False)
    short = spec(method="deep-svdd", params={"pretrain_epochs": 100, "epochs": 100})
    long = spec(method="deep-svdd", params={"pretrain_epochs": 100_000, "epochs": 100_000})
    assert 0 < measure(short, data).seconds < measure(long, data).seconds
    assert measure(spec(method="dcae", params={"epochs": 10}), data).seconds > 0
    nearest = measure(spec(), data)  # trains in no steps, so it is fitted to some of the images
    assert 0 < nearest.seconds < measure(long, data).seconds
    assert "fitted to" in nearest.source
    assert from_runs(spec(), store.runs()) is None
    store.import_rows([run(spec(seed), data).row() | {"fit_seconds": 3.0, "score_seconds": 1.0}
                       for seed in (0, 1)])  # fmt: skip
    found = from_runs(spec(2), store.runs())
    assert found.seconds == 4.0
    assert "2 finished runs" in found.source


def test_watching_changes_nothing_and_shows_true_distances(tmp_path):
    data = load_dataset("digits-8x8", progress=False)
    short = spec(method="deep-svdd", params={"pretrain_epochs": 3, "epochs": 8})
    split = OneClassSplit(data, "3", random_state=0)
    plain = run(short, data)
    watched = run(short, data, callbacks=live_view(tmp_path, split))
    np.testing.assert_array_equal(plain.scores, watched.scores)
    views = snapshots(tmp_path)
    assert [views[0].epoch, views[-1].epoch] == [1, 8]
    last = views[-1]
    distances = np.linalg.norm(last.points, axis=1)
    np.testing.assert_allclose(distances, np.sqrt(watched.scores[last.index]), rtol=0.03, atol=1e-3)
    np.testing.assert_array_equal(last.truth, split.truth[last.index])
    assert abs(last.auc - watched.evaluation.auc) < 0.1
    assert set(last.truth.tolist()) == {0, 1}


def test_what_a_killed_worker_left_half_written_is_left_out(tmp_path):
    data = load_dataset("digits-8x8", progress=False)
    view = LiveView(tmp_path, OneClassSplit(data, "3", random_state=0))
    assert snapshots(tmp_path) == []
    run(spec(method="deep-svdd", params={"pretrain_epochs": 0, "epochs": 1}), data,
        callbacks=[view])  # fmt: skip
    with (tmp_path / "live.jsonl").open("a") as file:
        file.write('{"epoch": 2, "auc"')
    assert [one.epoch for one in snapshots(tmp_path)] == [1]
