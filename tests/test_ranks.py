"""Two processes train as one does with the joint batch."""

import json
import os
import runpy
import shutil
import socket
import subprocess
import sys

import numpy as np
import pytest
import torch

from insphere.cli import main
from insphere.detectors.model_folder import load_detector
from insphere.nets.batch_norm import BatchNorm1d
from insphere.nets.ranks import averaged, jointly, own_rows, rank, ranks

pytestmark = pytest.mark.skipif(
    not torch.distributed.is_available() or not torch.distributed.is_gloo_available(),
    reason="torch is built without gloo",
)

SCRIPT = """
import json, sys
import numpy as np, torch
from insphere.detectors.registry import build_detector
from insphere.nets.ranks import together

torch.set_num_threads(1)
with together() as me:
    for out in sys.argv[1:]:
        kind = out.rpartition("/")[2]
        chance = np.random.default_rng(0)
        params = {"epochs": 2, "pretrain_epochs": 1, "false_alarm_rate": 0.2, "checkpoint_dir": out}
        if kind == "images":
            X = (chance.random((83, 28, 28, 1)) * 255).astype(np.uint8)
            params |= {"recipe": "fast", "batch_size": 25, "precision": "float32"}
        else:
            X = chance.normal(size=(201, 6))
            params |= {"batch_size": 64}
            params |= {"objective": "soft-boundary"} if kind == "soft" else {}
        detector = build_detector("deep-svdd", params, seed=0).fit(X)
        np.save(f"{out}/scores{me}.npy", detector.anomaly_score(X))
        with open(f"{out}/history{me}.json", "w") as file:
            json.dump(detector.history_, file)
"""


def together(*arguments, count=2):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    launch = ["-m", "torch.distributed.run", "--nproc-per-node", str(count),
              "--master-port", str(port)]  # fmt: skip
    command = [sys.executable, *launch, *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    return done


def train(kinds, folder, count):
    """Train each kind in a folder of its name, all in the same processes."""
    for kind in kinds:
        (folder / kind).mkdir(exist_ok=True, parents=True)
    script = folder / "script.py"
    script.write_text(SCRIPT)
    folders = [str(folder / kind) for kind in kinds]
    if count > 1:
        together(str(script), *folders, count=count)
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [str(script), *folders])
        runpy.run_path(str(script))


def trained(folder, count):
    """Return the scores and the history that each process found."""
    scores = [np.load(folder / f"scores{me}.npy") for me in range(count)]
    histories = [json.loads((folder / f"history{me}.json").read_text()) for me in range(count)]
    return scores, histories


@pytest.fixture(scope="module")
def alone_and_together(tmp_path_factory):
    """Folders of what one process trained, and of what two did."""
    folder = tmp_path_factory.mktemp("ranks")
    for name, count in (("one", 1), ("two", 2)):
        train(("table", "soft", "images"), folder / name, count)
    return folder / "one", folder / "two"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "tolerance"), [("table", 1e-12), ("soft", 1e-12), ("images", 1e-4)]
)
def test_two_processes_equal_one_with_the_joint_batch(kind, tolerance, alone_and_together):
    one, two = alone_and_together
    (alone,), (history,) = trained(one / kind, 1)
    both, histories = trained(two / kind, 2)
    np.testing.assert_array_equal(both[0], both[1])
    np.testing.assert_allclose(both[0], alone, rtol=tolerance)
    for found in histories:
        assert len(found) == len(history)
        for now, wanted in zip(found, history, strict=True):
            for name in ("loss", "radius", "spread", "score_spread", "effective_rank"):
                if name in wanted:
                    assert now[name] == pytest.approx(wanted[name], rel=max(tolerance, 1e-9))


@pytest.mark.slow
def test_what_was_stopped_goes_on_alike(alone_and_together, tmp_path):
    before, after = alone_and_together[1] / "table", tmp_path / "table"
    whole, _ = trained(before, 2)
    shutil.copytree(before, after)  # with its checkpoints
    for me in range(2):
        (after / f"scores{me}.npy").unlink()
    train(["table"], tmp_path, 2)
    again, histories = trained(after, 2)
    np.testing.assert_array_equal(whole[0], again[0])
    np.testing.assert_array_equal(whole[0], again[1])
    assert len(histories[1]) == 3


@pytest.mark.slow
def test_the_command_saves_one_model(tmp_path, capsys):
    source = tmp_path / "rows.csv"
    chance = np.random.default_rng(0)
    np.savetxt(source, chance.normal(size=(150, 4)), delimiter=",", header="a,b,c,d", comments="")
    options = ["-m", "insphere", "fit", str(source), "--method", "deep-svdd", "--epochs", "2",
               "--pretrain-epochs", "1"]  # fmt: skip
    assert main([*options[2:], "--out", str(tmp_path / "one")]) == 0
    assert capsys.readouterr().out.count("trained on") == 1
    done = together(*options, "--out", str(tmp_path / "two"))
    assert done.stdout.count("trained on") == 1
    rows = np.loadtxt(source, delimiter=",", skiprows=1)
    one, two = (load_detector(tmp_path / name) for name in ("one", "two"))
    np.testing.assert_allclose(two.anomaly_score(rows), one.anomaly_score(rows), rtol=1e-9)
    assert two.threshold_ == pytest.approx(one.threshold_)


def test_alone_nothing_changes():
    assert (ranks(), rank()) == (1, 0)
    assert own_rows(7) == slice(0, 7)
    x = torch.randn(7, 3)
    assert jointly(torch.square, x).equal(x.square())
    module = torch.nn.Linear(3, 2)
    assert averaged(module) is module
    norm, plain = BatchNorm1d(3), torch.nn.BatchNorm1d(3)
    assert norm(x).equal(plain(x))
    assert norm.running_var.equal(plain.running_var)


def test_trainings_for_one_process_say_so(monkeypatch):
    from insphere.errors import SpecError
    from insphere.training import loop
    from insphere.training.objectives import Objective
    from insphere.training.recipe import Phase

    monkeypatch.setattr(loop, "ranks", lambda: 2)
    with pytest.raises(SpecError, match="in one process"):
        loop.PhaseRun("x", Objective(), [], Phase(epochs=1), seed=0)
