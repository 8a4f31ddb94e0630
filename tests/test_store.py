import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import numpy as np
import pytest

from insphere.errors import DataError, InsphereError
from insphere.experiments.execution.queue import Queue
from insphere.experiments.execution.worker import Worker
from insphere.experiments.runs.spec import RunSpec
from insphere.experiments.store import database
from insphere.experiments.store.jsonl_rows import append_row, read_rows
from insphere.experiments.store.run_store import Store

WRITER = """
import sys
from insphere.experiments.runs.spec import RunSpec
from insphere.experiments.store.run_store import Store

path, name = sys.argv[1:]
store = Store(path)
specs = [RunSpec(dataset="d", normal=("0",), method="knn", seed=i) for i in range(40)]
print("ready", flush=True)
sys.stdin.readline()
store.add(specs)
claimed = []
for spec in specs:
    if store.claim(spec.identity, name):
        claimed.append(spec.identity)
        assert store.finish(spec.identity, name, {"auc": 0.5, "extra": name})
print(len(claimed), *claimed)
"""


def specs(n=3, **changes):
    given = {"dataset": "digits-8x8", "normal": ("3",), "method": "knn"} | changes
    return [RunSpec(**given, seed=seed) for seed in range(n)]


def row(spec, auc=0.1 + 0.2):
    return {
        "run": spec.identity, **spec.model_dump(mode="json"), "auc": auc, "n_train": 7,
        "threshold": 1e-300, "fit_seconds": 2.0, "score_seconds": 1.0,
        "versions": {"python": "3"}, "machine": "from a later version",
    }  # fmt: skip


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "runs.sqlite")


@pytest.mark.slow
def test_two_processes_write_at_once_and_share_the_runs(tmp_path):
    path = tmp_path / "runs.sqlite"  # made by both, at the same moment
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, path, name],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for name in "ab"
    ]  # fmt: skip
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    counts, claimed = [], []
    for process in processes:
        count, *identities = process.communicate(timeout=60)[0].split()
        assert process.returncode == 0
        counts.append(int(count))
        claimed += identities
    assert sum(counts) == len(set(claimed)) == 40
    runs = Store(path).runs()
    assert [run.seed for run in runs] == list(range(40))
    assert {(run.state, run.attempts) for run in runs} == {("finished", 1)}
    assert sorted(run.worker == "a" for run in runs).count(True) == counts[0]


def test_a_store_for_several_machines_stays_one(tmp_path):
    path = tmp_path / "runs.sqlite"
    assert Store(path, journal="delete").journal == "delete"
    store = Store(path)
    assert store.add(specs()) == 3
    assert store.journal == "delete"
    assert Store(tmp_path / "other.sqlite").journal == "wal"


def test_queue_keeps_its_order_and_gives_each_run_once(store):
    a, b, c = specs()
    assert store.add([a, b]) == 2
    assert store.add([b, c]) == 1
    assert store.claim_next("w") == a
    assert store.claim(b.identity, "v")
    assert not store.claim(b.identity, "w")
    assert store.claim_next("w") == c
    assert store.claim_next("w") is None


def test_a_result_counts_only_from_the_worker_that_has_the_run(store):
    (spec,) = specs(1)
    store.add([spec])
    store.claim(spec.identity, "slow")
    assert store.interrupt(spec.identity, "slow", "Its worker was silent.")
    assert not store.claim(spec.identity, "new")
    assert store.requeue([spec.identity]) == 1
    assert store.claim(spec.identity, "new")
    assert store.must_stop(spec.identity, "slow")
    assert not store.must_stop(spec.identity, "new")
    assert not store.finish(spec.identity, "slow", row(spec))
    assert store.finish(spec.identity, "new", row(spec))
    assert not store.finish(spec.identity, "new", row(spec))
    assert store.get(spec.identity).attempts == 2


def test_stop_takes_from_the_queue_and_tells_workers(store):
    a, b, c = specs()
    store.add([a, b, c])
    store.claim(a.identity, "w")
    assert store.stop([a.identity, b.identity]) == 2
    assert store.must_stop(a.identity, "w")
    assert store.get(b.identity).state == "interrupted"
    assert store.claim_next("w") == c
    assert store.requeue([b.identity]) == 1
    assert store.claim_next("w") == b


def test_what_a_dead_worker_left_is_recovered_and_what_a_live_one_does_is_not(store):
    a, b, c = specs()
    store.add([a, b, c])
    with Worker(store) as living:
        store.claim(a.identity, living.name)
        dead = subprocess.run(
            [
                sys.executable, "-c",
                "import os, sys\n"
                "from insphere.experiments.store.run_store import Store\n"
                "store = Store(sys.argv[1])\n"
                "store.worker_lock('dead').acquire()\n"
                "store.claim(sys.argv[2], 'dead')\n"
                "os.kill(os.getpid(), 9)",
                store.path, b.identity,
            ],
        )  # fmt: skip
        assert dead.returncode == -9
        store.claim(c.identity, "elsewhere")  # no lock here, but a fresh sign of life
        assert store.recover() == [b.identity]
        assert store.get(b.identity).reason == "Its worker was killed."
        assert [run.state for run in store.runs()] == ["running", "interrupted", "running"]
    assert store.recover() == []  # without a lock to look at, silence decides
    store._own(c.identity, "elsewhere", {"heartbeat": time.time() - 100})
    assert store.recover() == [c.identity]


def test_rows_go_out_and_come_back_unchanged(store, tmp_path):
    a, b, c = specs()
    for spec, auc in ((a, 0.1 + 0.2), (b, 1.0)):
        append_row(tmp_path / "rows.jsonl", row(spec, auc))
    rows = read_rows(tmp_path / "rows.jsonl")
    store.add([b, c])
    store.claim(b.identity, "w")
    store.fail(b.identity, "w", "It was too dark.")
    assert store.import_rows(rows) == 2
    assert store.import_rows(rows) == 0
    assert {r["run"]: r for r in store.rows()} == {r["run"]: r for r in rows}
    assert store.get(b.identity).reason is None
    assert store.get(c.identity).state == "queued"
    assert store.get(a.identity).spec == a
    other = Store(tmp_path / "other.sqlite")
    other.import_rows(store.rows())
    assert json.dumps(other.rows()) == json.dumps(store.rows())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 5}, "was changed"),
        ({"seed": -5}, "does not say what was run"),
        ({"auc": None}, None),
        ({"method": None}, "does not say"),
    ],
)
def test_rows_that_were_tampered_with_are_refused_as_a_whole(store, change, message):
    good, bad = specs(2)
    changed = row(bad) | change
    if change == {"auc": None}:
        del changed["auc"]
        message = "without auc"
    with pytest.raises(DataError, match=message):
        store.import_rows([row(good), changed])
    assert store.runs() == []


def test_scores_and_history_lie_beside_the_store(store):
    (spec,) = specs(1)
    files, identity = store.files, spec.identity
    with pytest.raises(DataError, match="no scores"):
        files.scores(identity)
    scores = np.array([1e-300, np.pi, np.inf])
    files.save_scores(identity, scores, np.array([0, 1, 1]))
    assert (files.scores(identity)[0] == scores).all()
    assert files.scores(identity)[0].dtype == np.float64
    assert files.scores(identity)[1].tolist() == [0, 1, 1]
    assert files.history(identity) == []
    for epoch in (1, 2, 2):
        files.add_epoch(identity, {"phase": "train", "epoch": epoch, "loss": 1 / 3})
    with (files.folder(identity) / "history.jsonl").open("a") as file:
        file.write('{"phase": "tr')
    assert [record["epoch"] for record in files.history(identity)] == [1, 2]
    assert files.folder(identity).parent == store.folder == store.path.with_suffix("")


def test_runs_of_an_earlier_version_keep_the_recipe_that_they_took(tmp_path):
    def deep(**changes):
        given = {"dataset": "digits-8x8", "normal": ("3",), "method": "deep-svdd"}
        return RunSpec(**given | changes)

    fast = {"recipe": "fast"}
    plain, soft, named = deep(), deep(params={"objective": "soft-boundary"}), deep(params=fast)
    control, other = deep(method="untrained"), deep(method="deep-sad")
    paper = deep(params={"recipe": "paper"})
    old = Store(tmp_path / "runs.sqlite")
    content = {
        "name": "s", "datasets": "digits-8x8", "normal": ["3"],
        "methods": [
            "svdd", {"method": "deep-svdd", "params": {"objective": "soft-boundary"}}, "deep-sad",
        ],
    }  # fmt: skip
    key = Queue(old).start(content)  # queues plain, soft and other
    old.import_rows([row(plain, 0.7), row(control), row(paper)])
    old.add([named])
    old.files.save_scores(plain.identity, np.array([1.0]), np.array([1]))
    old.close()
    with closing(sqlite3.connect(old.path)) as connection:
        connection.execute("PRAGMA user_version=1")
    for _ in range(2):  # it is changed once
        store = Store(old.path)
        found = {run.identity: (run.state, run.params, run.auc) for run in store.runs()}
        assert found == {
            named.identity: ("finished", fast, 0.7),
            deep(params=fast | soft.params).identity: ("queued", fast | soft.params, None),
            deep(method="untrained", params=fast).identity: ("finished", fast, 0.1 + 0.2),
            other.identity: ("queued", {}, None),
            paper.identity: ("finished", {"recipe": "paper"}, 0.1 + 0.2),
        }
        assert all(run.spec.identity == run.identity for run in store.runs())
        assert store.files.scores(named.identity)[0].tolist() == [1.0]
        queue = Queue(store)
        (sweep,) = queue.sweeps()
        assert (sweep.key, sweep.counts["finished"], sweep.open) == (key, 1, 2)
        assert set(queue.waiting()) == {run.identity for run in store.runs(states=("queued",))}
        store.close()
    assert Store(old.path).add([plain]) == 1  # the default is another run now


def test_other_files_are_not_taken_for_stores(tmp_path):
    import sqlite3

    with pytest.raises(DataError, match=r"no store .*none\.sqlite yet"):
        Store(tmp_path / "none.sqlite", create=False)
    assert not list(tmp_path.iterdir())
    text = tmp_path / "text.sqlite"
    text.write_text("no database at all, but long enough to look like one " * 20)
    with pytest.raises(DataError, match="is no store of runs"):
        Store(text)
    other = tmp_path / "other.sqlite"
    connection = sqlite3.connect(other)
    connection.execute("CREATE TABLE people (name)")
    connection.commit()
    connection.close()
    with pytest.raises(DataError, match="is no store of runs"):
        Store(other)
    with pytest.raises(InsphereError, match="cannot be used"):
        Store(text / "runs.sqlite")


# ---------------------------------------------------------------------- what SQLite refuses


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a process with limits of its own")
@pytest.mark.parametrize("limit", [0, 4096, 8192, 20000, 40000])
def test_a_disk_that_is_full_at_any_moment_is_one_sentence_and_no_ruin(tmp_path, limit):
    path = tmp_path / "runs.sqlite"
    child = os.fork()
    if not child:
        resource = pytest.importorskip("resource")
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        try:
            Store(path).add(specs(200))
        except InsphereError as error:
            os._exit(7 if "cannot be used" in str(error) and "\n" not in str(error) else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert Store(path).add(specs(2)) == 2  # with room again it is a store


def test_a_store_that_another_program_holds(tmp_path, monkeypatch):
    monkeypatch.setattr(database, "_BUSY_SECONDS", 0.1)
    store = Store(tmp_path / "runs.sqlite", journal="delete")
    with closing(sqlite3.connect(store.path)) as other:
        other.execute("BEGIN EXCLUSIVE")
        for use in (lambda: store.add(specs()), store.runs, lambda: store.get("x")):
            with pytest.raises(InsphereError, match="another program holds it"):
                use()
        other.rollback()
    assert store.add(specs()) == 3


def test_a_store_damaged_while_it_is_open(tmp_path):
    store = Store(tmp_path / "runs.sqlite", journal="delete")
    store.add(specs())
    store.close()
    content = bytearray(store.path.read_bytes())
    content[100:] = b"x" * (len(content) - 100)
    store.path.write_bytes(content)
    for use in (store.runs, lambda: store.add(specs()), lambda: Store(store.path).runs()):
        with pytest.raises(InsphereError, match="is damaged"):
            use()


@pytest.mark.parametrize("name", ["a\0b.sqlite", "a" * 300, "folder", "file/runs.sqlite"])
def test_places_that_cannot_hold_a_store(tmp_path, name):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("x")
    with pytest.raises(InsphereError, match=r"choose another (place|name)\.$"):
        Store(tmp_path / name)


def test_what_can_be_no_store_is_refused_and_left_alone(tmp_path):
    (tmp_path / "text.sqlite").write_text("no database")
    os.mkfifo(tmp_path / "pipe")
    for create in (True, False):
        for path in ("/", tmp_path, tmp_path / "text.sqlite", tmp_path / "pipe"):
            with pytest.raises(DataError, match=r"is a folder|not a file|no store|no store of"):
                Store(path, create=create)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["pipe", "text.sqlite"]
