"""Heads and pretrainings: what the seam asks of a new one, shown on some that live here alone."""

import json
import math
from typing import ClassVar, Literal

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

import insphere
from insphere.detectors import DeepSVDD
from insphere.errors import ModelError, SpecError
from insphere.nets import EncoderSpec
from insphere.nets.build import build_decoder, build_encoder
from insphere.nets.draws import initial_weights
from insphere.preprocess import Preprocessor, default_steps
from insphere.preprocess.pipeline import to_batch
from insphere.training.batch import Batch
from insphere.training.deep_svdd import SphereSpec
from insphere.training.heads.head import Head, HeadSpec
from insphere.training.heads.parse import parse_head
from insphere.training.heads.table import HEADS
from insphere.training.loop import mixed_seed, seeded
from insphere.training.objectives import Objective
from insphere.training.pretraining.parse import parse_pretraining
from insphere.training.pretraining.pretraining import Pretraining
from insphere.training.pretraining.table import PRETRAININGS
from insphere.training.recipe import Phase, Recipe

CPU = torch.device("cpu")
SMALL = EncoderSpec(widths=(6, 4), rep_dim=8, kernel=3)
RECIPE = Recipe(
    pretrain=Phase(epochs=2, lr=1e-2, batch_size=50, weight_decay=1e-3),
    train=Phase(epochs=3, lr=1e-2, batch_size=50),
)
SETTINGS = {
    "encoder": SMALL, "recipe": RECIPE, "random_state": 0, "precision": "float32", "device": "cpu",
    "contamination": 0.05,
}  # fmt: skip


@pytest.fixture(scope="module")
def threes(digits):
    images, target = digits
    return images[target == 3]


# ---------------------------------------------------------------- the same bits as ever


def plain_deep_svdd(X, seed):
    """Deep SVDD written down in one piece: one-class objective, no checkpoints, no seams."""
    pre = Preprocessor(default_steps((1, 8, 8)), (1, 8, 8)).fit(X)
    x = pre(to_batch(X, CPU)).permute(0, 2, 3, 1).contiguous()
    with initial_weights(mixed_seed(seed)):
        encoder = build_encoder(SMALL, (1, 8, 8)).to(memory_format=torch.channels_last)
    with initial_weights(mixed_seed(seed, 1)):
        decoder = build_decoder(SMALL, (1, 8, 8), bounded_output=True)
        decoder = decoder.to(memory_format=torch.channels_last)

    def epochs(phase, seed, loss, parameters):
        adam = torch.optim.Adam(
            parameters, lr=phase.lr, weight_decay=phase.weight_decay, fused=True
        )
        for epoch in range(phase.epochs):
            with seeded(seed, epoch) as generator:
                for batch in batches(phase, generator):
                    adam.zero_grad()
                    loss(batch).backward()
                    adam.step()

    def batches(phase, generator):
        order = torch.randperm(len(x), generator=generator)
        for index in order.tensor_split(math.ceil(len(x) / phase.batch_size)):
            yield x.index_select(0, index).permute(0, 3, 1, 2)

    def restored(batch):
        return (decoder(encoder(batch)) - batch).square().flatten(1).sum(dim=1).mean()

    epochs(RECIPE.pretrain, seed, restored, [*encoder.parameters(), *decoder.parameters()])
    norms = [m for m in encoder.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    with torch.no_grad(), seeded(seed) as generator:
        z = torch.cat([encoder(batch) for batch in batches(RECIPE.train, generator)])
    for norm in norms:
        norm.momentum = 0.1
    center = z.mean(dim=0)
    center = torch.where(center.abs() < 0.1, torch.where(center < 0, -0.1, 0.1), center)

    def distance(batch):
        return (encoder(batch) - center).square().sum(dim=1)

    epochs(RECIPE.train, seed + 1, lambda b: distance(b).mean(), encoder.parameters())
    encoder.eval()
    with torch.no_grad():
        return distance(pre(to_batch(X, CPU)))


def test_the_seams_change_no_bit_of_deep_svdd(threes):
    detector = DeepSVDD(**SETTINGS).fit(threes)
    seed = int(np.random.RandomState(0).randint(2**31 - 1))
    expected = plain_deep_svdd(threes, seed)
    with torch.no_grad():
        found = detector.sphere_(to_batch(threes, CPU))
    assert torch.equal(found, expected)


def test_options_at_their_defaults_are_not_written_and_name_no_new_checkpoint():
    spec = SphereSpec(encoder=SMALL, preprocess=default_steps((1, 8, 8)), recipe=RECIPE)
    assert set(spec.model_dump(mode="json")) == {
        "encoder", "preprocess", "recipe", "objective", "nu", "radius_update", "allow_collapse",
    }  # fmt: skip
    form = parse_pretraining("autoencoder")
    assert form.identity(spec.stage) == spec.stage.model_dump(mode="json")
    assert set(spec.stage.model_dump()) == {"encoder", "preprocess", "phase", "allow_collapse"}


# ---------------------------------------------------------------- heads


class TwoCentersSpec(HeadSpec):
    kind: Literal["two-centers"] = "two-centers"

    def build(self, rep_dim):
        return TwoCenters(rep_dim)


class TwoCenters(Head):
    """The squared distance to the nearer of two centres, one on each side of the mean."""

    def __init__(self, rep_dim):
        super().__init__()
        self.register_buffer("centers", torch.zeros(2, rep_dim))

    def fit(self, normals):
        z = normals.x
        axis = torch.linalg.svd(z - z.mean(dim=0), full_matrices=False).Vh[0]
        side = (z - z.mean(dim=0)) @ axis > 0
        self.centers = torch.stack([z[side].mean(dim=0), z[~side].mean(dim=0)])

    def forward(self, z):
        return (z[:, None] - self.centers).square().sum(dim=2).min(dim=1).values


class NearestSpec(HeadSpec):
    kind: Literal["nearest"] = "nearest"
    k: int = 2

    def build(self, rep_dim):
        return Nearest(rep_dim, self.k)


class Nearest(Head):
    """The mean squared distance to k stored normals; trained towards the stored ones' mean."""

    fitted_again: ClassVar[bool] = True

    def __init__(self, rep_dim, k):
        super().__init__()
        self.k = k
        self.register_buffer("normals", torch.zeros(1, rep_dim))

    def fit(self, normals):
        self.normals = normals.x.clone()

    def forward(self, z):
        k = min(self.k, len(self.normals))
        return torch.cdist(z, self.normals).square().topk(k, largest=False).values.mean(dim=1)

    def loss(self, batch, reduce):
        return reduce((batch.x - self.normals.mean(dim=0)).square().sum(dim=1))

    def end_epoch(self, seen):
        return {"stored": float(len(self.normals))}


@pytest.fixture
def known_kinds(monkeypatch):
    monkeypatch.setitem(HEADS, "two-centers", f"{__name__}.TwoCentersSpec")
    monkeypatch.setitem(HEADS, "nearest", f"{__name__}.NearestSpec")
    monkeypatch.setitem(PRETRAININGS, "rotation", f"{__name__}.Rotation")


@pytest.mark.parametrize("objective", ["one-class", "soft-boundary"])
@pytest.mark.parametrize("head", [TwoCentersSpec(), NearestSpec(k=3)], ids=["two", "nearest"])
@pytest.mark.usefixtures("known_kinds")
def test_a_new_head_needs_its_file_and_a_line_in_the_table(digits, tmp_path, head, objective):
    images, target = digits
    train = images[(target == 3) | (target == 0)][:250]
    options = {"recipe": "fast", "epochs": 8, "pretrain_epochs": 8, "lr": 5e-3, "batch_size": 50}
    detector = DeepSVDD(**SETTINGS | options, head=head, objective=objective,
                        false_alarm_rate=0.1).fit(train)  # fmt: skip
    new = images[900:]
    scores = detector.anomaly_score(new)
    assert roc_auc_score(~np.isin(target[900:], (0, 3)), scores) > 0.75
    losses = [r["loss"] for r in detector.history_ if r["phase"] == "train"]
    assert losses[-1] < losses[0]
    assert all(r["outside"] >= 0 and r["spread"] > 0 for r in detector.history_ if "radius" in r)
    loaded = insphere.load(detector.save(tmp_path / "model"))
    assert loaded.spec_.head == head
    np.testing.assert_array_equal(loaded.anomaly_score(new), scores)
    if head.kind == "nearest":
        assert len(loaded.sphere_.head.normals) == loaded.n_train_
        assert detector.history_[-1]["stored"] == detector.n_train_
    by_kind = DeepSVDD(**SETTINGS, head=head.model_dump()).fit(train[:50])
    assert by_kind.spec_.head == head


@pytest.mark.parametrize("phase", ["pretrain", "train"])
def test_a_new_head_resumes_from_its_checkpoint(threes, tmp_path, phase):
    from insphere.training.callbacks import Callback

    class Stop(Callback):
        def epoch_end(self, record):
            if (record["phase"], record["epoch"]) == (phase, 2):
                raise KeyboardInterrupt

    settings = SETTINGS | {"head": TwoCentersSpec(), "checkpoint_dir": tmp_path}
    with pytest.raises(KeyboardInterrupt):
        DeepSVDD(**settings, callbacks=[Stop()]).fit(threes)
    resumed = DeepSVDD(**settings).fit(threes)
    whole = DeepSVDD(**SETTINGS, head=TwoCentersSpec()).fit(threes)
    np.testing.assert_array_equal(resumed.anomaly_score(threes), whole.anomaly_score(threes))


def test_a_model_with_a_head_that_is_not_in_the_table_is_refused(threes, tmp_path, monkeypatch):
    monkeypatch.setitem(HEADS, "two-centers", f"{__name__}.TwoCentersSpec")
    folder = DeepSVDD(**SETTINGS, head="two-centers").fit(threes).save(tmp_path / "model")
    monkeypatch.delitem(HEADS, "two-centers")
    with pytest.raises(ModelError):
        insphere.load(folder)


def test_checkpoints_from_before_heads_are_read(threes, tmp_path):
    """They held the centre at the top."""
    from insphere.training.checkpoint import read_checkpoint, write_checkpoint

    settings = SETTINGS | {"regularizers": {"noise": 0.5, "variance": 1.0}}
    whole = DeepSVDD(**settings, checkpoint_dir=tmp_path).fit(threes)
    (path,) = tmp_path.glob("train-*")
    tensors, meta = read_checkpoint(path)
    names = {"objective.head.center": "objective.center"}
    names |= {f"objective.noise.{k}": f"objective.head.{k}" for k in ("weight", "bias")}
    assert set(names) <= set(tensors)
    write_checkpoint(path, {names.get(k, k): v for k, v in tensors.items()}, meta)
    again = DeepSVDD(**settings, checkpoint_dir=tmp_path).fit(threes)
    np.testing.assert_array_equal(again.anomaly_score(threes), whole.anomaly_score(threes))


# ---------------------------------------------------------------- pretrainings


class Rotation(Pretraining):
    """Tell by how many quarter turns an image was turned."""

    kind: Literal["rotation"] = "rotation"
    width: int = 4

    def objective(self, start, stage, seed):
        with initial_weights(mixed_seed(seed, 1)):
            layer = torch.nn.Linear(stage.encoder.rep_dim, 4)
        return TurnObjective(start.encoder, layer.to(start.device, start.dtype))


class TurnObjective(Objective):
    def __init__(self, encoder, layer):
        super().__init__()
        self.encoder, self.layer = encoder, layer
        self.hits = self.seen = 0

    def forward(self, batch: Batch):
        turned = torch.cat([batch.x.rot90(k, (2, 3)) for k in range(4)])
        truth = torch.arange(4).repeat_interleave(batch.size)
        logits = self.layer(self.encoder(turned))
        self.hits += int((logits.argmax(dim=1) == truth).sum())
        self.seen += len(truth)
        return torch.nn.functional.cross_entropy(logits, truth)

    def end_epoch(self, epoch):
        share, self.hits, self.seen = self.hits / self.seen, 0, 0
        return {"accuracy": share}


@pytest.mark.usefixtures("known_kinds")
def test_a_new_pretraining_needs_its_file_and_a_line_in_the_table(threes, tmp_path):
    options = SETTINGS | {"recipe": "fast", "epochs": 2, "pretrain_epochs": 15, "batch_size": 50}
    detectors = {}
    for name, form in (("rotation", "rotation"), ("settings", {"kind": "rotation", "width": 4}),
                       ("object", Rotation()), ("autoencoder", "autoencoder")):  # fmt: skip
        detectors[name] = DeepSVDD(
            **options, pretraining=form, checkpoint_dir=tmp_path / "checkpoints"
        ).fit(threes)
    first = [r for r in detectors["rotation"].history_ if r["phase"] == "pretrain"]
    assert first[-1]["accuracy"] > 0.6
    assert first[-1]["loss"] < first[0]["loss"]
    scores = {name: one.anomaly_score(threes) for name, one in detectors.items()}
    for name in ("settings", "object"):
        np.testing.assert_array_equal(scores["rotation"], scores[name])
    assert not np.array_equal(scores["rotation"], scores["autoencoder"])
    assert len(list((tmp_path / "checkpoints").glob("pretrain-*"))) == 2
    loaded = insphere.load(detectors["rotation"].save(tmp_path / "model"))
    assert loaded.spec_.pretraining == Rotation()
    np.testing.assert_array_equal(loaded.anomaly_score(threes), scores["rotation"])


def test_no_pretraining_is_no_epochs_of_it(threes):
    none = DeepSVDD(**SETTINGS, pretraining=None).fit(threes)
    zero = DeepSVDD(**SETTINGS, pretrain_epochs=0).fit(threes)
    assert none.spec_ == zero.spec_
    assert {r["phase"] for r in none.history_} == {"train"}
    np.testing.assert_array_equal(none.anomaly_score(threes), zero.anomaly_score(threes))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pretraining": "jigsaw"}, "Unknown pretraining 'jigsaw'; use one of autoencoder"),
        ({"pretraining": {"kind": "autoencoder", "width": 3}}, "width"),
        ({"head": "spheres"}, "Unknown head 'spheres'; use one of center"),
        ({"head": {"place": "mean"}}, "Unknown head"),
    ],
)
def test_unknown_kinds_get_one_sentence(threes, options, message):
    with pytest.raises(SpecError, match=message) as caught:
        DeepSVDD(**SETTINGS, **options).fit(threes)
    assert "\n" not in str(caught.value)


def test_settings_are_read_by_kind():
    assert parse_head("center") == parse_head({"kind": "center", "place": "mean"})
    with pytest.raises(ValueError, match="place"):
        parse_head({"kind": "center", "place": "left"})


# ---------------------------------------------------------------- chosen by people


@pytest.mark.usefixtures("known_kinds")
def test_kinds_are_chosen_by_plain_options(tmp_path, monkeypatch, capsys):
    from insphere.cli import main

    monkeypatch.chdir(tmp_path)
    (tmp_path / "network.yaml").write_text(
        "options: {encoder: {widths: [6, 4], rep_dim: 8, kernel: 3}}\n"
    )
    command = ["fit", "digits-8x8", "--normal", "3", "--config", "network.yaml", "--epochs", "2",
               "--pretrain-epochs", "2", "--out", "m", "--json"]  # fmt: skip
    chosen = ["--pretraining", "rotation", "--head", "{kind: nearest, k: 3}"]
    assert main([*command, *chosen]) == 0
    settings = json.loads(capsys.readouterr().out)["settings"]
    assert settings["pretraining"] == "rotation"
    assert settings["head"] == {"kind": "nearest", "k": 3}
    loaded = insphere.load("m")
    assert (loaded.spec_.pretraining, loaded.spec_.head) == (Rotation(), NearestSpec(k=3))
    assert main([*command, "--overwrite", "--head", "spheres"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "Unknown head 'spheres'; use one of center" in said


def test_settings_that_were_options_once_still_are():
    from insphere.workflows.fit_config import make_config

    plain, _ = make_config({"source": "a", "head": "center"})
    option, _ = make_config({"source": "a", "options": {"head": "center"}})
    assert plain.params == option.params == {"head": "center"}


@pytest.mark.usefixtures("known_kinds")
def test_the_form_of_the_studio_offers_all_kinds():
    pytest.importorskip("nicegui")
    from types import SimpleNamespace

    from insphere.experiments.runs.run_builder import BASELINE
    from insphere.studio.form_state import FormState, address_of

    source = SimpleNamespace(key="digits-8x8", dataset="digits-8x8")
    studio = SimpleNamespace(sources=SimpleNamespace(all=lambda: [source]))
    given = {"normal": "3", "pretraining": "rotation", "head": "nearest", "threshold": "training"}
    form = FormState(studio, given)
    spec = form.choice().spec()
    assert spec.params == {"pretraining": "rotation", "head": "nearest"}
    assert "pretraining=rotation&head=nearest" in form.address()
    assert "pretraining=rotation&head=nearest" in address_of(source, spec)
    other = FormState(studio, given | {"recipe": "fast", "pretraining": "autoencoder", "head": "x"})
    assert (other.method, other.choice().spec().params) == (BASELINE, {"recipe": "fast"})
    assert "head" not in other.address()
    knn = FormState(studio, given | {"method": "knn"})
    assert knn.choice().spec().params == {}
