"""What the process may use, and what follows from it: batches, sizes of images, threads."""

import gc
import os
import resource
import subprocess
import sys

import numpy as np
import pytest
import torch

from insphere import DeepSVDD, resources
from insphere.detectors import UntrainedDeepSVDD
from insphere.detectors.base.network_state import encoder_spec
from insphere.errors import DataError
from insphere.explain.attribution import integrated_gradients
from insphere.nets.build import build_decoder, build_encoder, default_encoder
from insphere.resources import rows_within, step_budget, usable_memory, within_cores
from insphere.training.recipe import FAST, Phase, Recipe
from insphere.training.step_memory import fitting_recipe, gradient_bytes, step_bytes

GIB = 1 << 30


@pytest.fixture
def memory(monkeypatch):
    """Return a function that sets what the process may use."""

    def set_memory(size):
        monkeypatch.setattr(resources, "usable_memory", lambda: size)
        monkeypatch.setattr("insphere.training.step_memory.usable_memory", lambda: size)

    return set_memory


def recipe_for(side, *, channels=3, given="fast", resolved=FAST, images=1000):
    shape = (channels, side, side)
    return fitting_recipe(given, resolved, default_encoder(shape), shape, images)


# ---------------------------------------------------------------------- memory


def test_memory_of_gradients_is_what_the_graph_keeps():
    """A square keeps its input of 4 × 1000 bytes, an exponential what it returns."""
    x = torch.rand(1, 1000)
    assert gradient_bytes(lambda x: x.square().exp().sum(), x) == 2 * 4000 + 2 * 4000
    assert gradient_bytes(lambda x: (2 * x).sum(), x) == 0


def test_gradients_of_large_images_are_taken_for_as_many_as_the_memory_takes(memory, monkeypatch):
    rng = np.random.default_rng(0)
    large = rng.integers(0, 256, (4, 128, 128, 3), dtype=np.uint8)
    detector = UntrainedDeepSVDD(recipe="fast", random_state=0, contamination=0.2).fit(large)
    sizes = []
    module = detector.scoring_module()
    module.register_forward_hook(lambda m, x, y: sizes.append(len(x[0])))
    monkeypatch.setattr(detector, "scoring_module", lambda: module)
    memory(16 * GIB)
    many = integrated_gradients(detector, large, np.zeros((128, 128, 3), np.float32))
    assert max(sizes) > 16
    sizes.clear()
    memory(128 << 20)
    few = integrated_gradients(detector, large, np.zeros((128, 128, 3), np.float32))
    assert max(sizes) <= 4
    np.testing.assert_allclose(few, many, rtol=1e-3, atol=1e-3 * many.max())


@pytest.mark.parametrize(
    ("usable", "budget"),
    [(64 * GIB, GIB), (4 * GIB, GIB), (3 * GIB, GIB // 2), (2 * GIB, GIB // 2), (1000, 64 << 20)],
)
def test_the_budget_of_a_step_is_a_power_of_two_and_the_same_from_4_gib_on(memory, usable, budget):
    memory(usable)
    assert step_budget() == budget


def test_batches_that_fit_stay_and_others_become_powers_of_two(memory):
    memory(4 * GIB)
    assert rows_within(GIB // 200, 200) == 200
    assert rows_within(GIB // 199, 200) == 128
    assert rows_within(5 * GIB, 200) == 1


@pytest.mark.parametrize("name", ["memory.max", "memory.limit_in_bytes"])
def test_limits_of_containers_count(monkeypatch, tmp_path, name):
    (tmp_path / name).write_text("123456789\n")
    monkeypatch.setattr(resources, "_groups", lambda _controller: [tmp_path])
    usable_memory.cache_clear()
    try:
        assert usable_memory() == 123456789
        (tmp_path / name).write_text("max\n")
        usable_memory.cache_clear()
        assert usable_memory() > 123456789
    finally:
        usable_memory.cache_clear()


@pytest.mark.skipif(sys.platform != "linux", reason="limits on address space are Linux's")
def test_a_limit_on_the_address_space_counts():
    code = "from insphere.resources import usable_memory; print(usable_memory())"
    limit = 1 << 30
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )  # fmt: skip
    assert int(done.stdout) <= limit


# ---------------------------------------------------------------------- batches of training


@pytest.mark.parametrize("side", [28, 32, 64])
def test_recipes_for_small_images_stay_as_they_are(side, recwarn):
    assert recipe_for(side, images=60_000) == FAST
    assert not recwarn.list


def test_large_images_are_trained_in_smaller_batches_and_this_is_said(memory):
    memory(16 * GIB)
    with pytest.warns(UserWarning, match="256×256 are trained in batches of 8"):
        found = recipe_for(256)
    assert found.pretrain.batch_size == found.train.batch_size == 8
    assert found.train.model_copy(update={"batch_size": 200}) == FAST.train


def test_a_batch_size_in_the_recipe_stays(memory, recwarn):
    memory(16 * GIB)
    own = Recipe(pretrain=Phase(epochs=1, batch_size=50), train=Phase(epochs=1, batch_size=50))
    assert recipe_for(256, given=own, resolved=own) == own
    assert not recwarn.list


def test_images_of_which_not_two_fit_are_refused_in_a_sentence(memory):
    memory(GIB)
    with pytest.raises(DataError, match="GiB an image"):
        recipe_for(1024)


@pytest.mark.parametrize("kind", ["lenet", "resnet18"])
def test_the_estimate_is_what_a_pass_keeps(kind):
    shape, images = (3, 96, 96), 4
    spec = encoder_spec("resnet18", None) if kind == "resnet18" else default_encoder(shape)
    network = torch.nn.Sequential(
        build_encoder(spec, shape, allow_collapse=True),
        build_decoder(spec, shape, bounded_output=True),
    ).to(memory_format=torch.channels_last)
    weights = {p.untyped_storage().data_ptr() for p in network.parameters()}
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage

    def total(count):
        kept.clear()
        x = torch.rand(count, *shape).to(memory_format=torch.channels_last)
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
            network(x)
        return sum(storage.nbytes() for storage in kept.values())

    exact = (total(2 * images) - total(images)) / images
    assert 0.9 * exact < step_bytes(spec, shape, decoder=True) < 1.6 * exact


def test_estimates_keep_no_graph_alive():
    """A tensor that a hook for saved tensors returns as it is holds itself, for ever."""
    spec = default_encoder((3, 64, 64))

    def alive():
        gc.collect()
        return sum(isinstance(one, torch.Tensor) for one in gc.get_objects())

    before = alive()
    step_bytes(spec, (3, 64, 64), decoder=True)
    gradient_bytes(lambda x: x.square().exp().sum(), torch.ones(1, 3, 8, 8))
    assert alive() == before


def test_the_batch_used_is_kept_with_the_model(memory):
    memory(2 * GIB)
    images = np.random.default_rng(0).integers(0, 256, (9, 256, 256, 3), dtype=np.uint8)
    with pytest.warns(UserWarning, match="batches of 8"):
        detector = DeepSVDD(epochs=1, pretrain_epochs=0, random_state=0, contamination=0.05).fit(
            images
        )
    assert detector.spec_.recipe.train.batch_size == 8


@pytest.mark.parametrize("side", [512])
def test_a_fit_of_large_images_stays_in_the_memory(side, tmp_path):
    cache = tmp_path.parent / "cache of large images"
    code = f"""
import resource, sys, warnings
import numpy as np
from PIL import Image
from insphere import resources
from insphere.workflows.fit_config import FitConfig
from insphere.workflows.fitting import fit_source
resources.usable_memory = lambda: 1 << 30
rng = np.random.default_rng(0)
for i in range(12):
    pixels = rng.integers(0, 256, ({side}, {side}, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(f"{tmp_path}/{{i}}.png")
import torch, sklearn.neighbors
from insphere.detectors import DeepSVDD
DeepSVDD(epochs=1, pretrain_epochs=1).fit(rng.normal(size=(20, 4)))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
given = {{"recipe": "fast", "epochs": 1, "pretrain_epochs": 1}}
fit = fit_source(FitConfig(source="{tmp_path}", **given), progress=False)
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(fit.data.images.shape[1], after - before)
"""
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", code], capture_output=True, text=True, check=True,
        env=os.environ | {"INSPHERE_CACHE": str(cache)},
    )  # fmt: skip
    size, grown = map(int, done.stdout.split())
    assert size == 128
    assert f"Images of {side}×{side} are read as 128×128" in done.stderr
    assert grown * 1024 < 512 << 20
    assert len(list(cache.rglob("images.npy"))) == 1  # nothing was decoded at full size


# ---------------------------------------------------------------------- threads


@pytest.mark.parametrize(("first", "policy"), [("", "PASSIVE"), ("import torch;", "None")])
def test_waiting_threads_rest_if_insphere_is_imported_before_torch(first, policy):
    code = f"import os; {first} import insphere; print(os.environ.get('OMP_WAIT_POLICY'))"
    environment = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.strip() == policy


def test_a_quota_of_cores_limits_the_threads(monkeypatch, tmp_path):
    (tmp_path / "cpu.max").write_text("150000 100000\n")
    monkeypatch.setattr(resources, "_groups", lambda _controller: [tmp_path])
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(8)), raising=False)
    resources._quota.cache_clear()
    before = torch.get_num_threads()
    try:
        assert resources.usable_cores() == 2
        torch.set_num_threads(4)
        with within_cores():
            assert torch.get_num_threads() == 2
        assert torch.get_num_threads() == 4
    finally:
        resources._quota.cache_clear()
        torch.set_num_threads(before)


@pytest.mark.skipif(not hasattr(os, "nice"), reason="processes have no niceness here")
@pytest.mark.parametrize("own_session", [False, True])
def test_work_in_background_gives_way_to_other_sessions_too(own_session):
    code = """
import contextlib, os, pathlib
from insphere.resources import work_in_background

def read():
    with contextlib.suppress(OSError):  # a kernel without autogroups
        return pathlib.Path("/proc/self/autogroup").read_text()  # empty: this process has none

before = os.nice(0), read()
work_in_background(4)
print(os.nice(0) - before[0], read() != before[1], (read() or "none").split()[-1])
"""
    answer = subprocess.run(
        [sys.executable, "-c", code], start_new_session=own_session, capture_output=True, text=True
    )
    niceness, changed, group = answer.stdout.split()
    assert niceness == "4", answer.stderr
    if group != "none":
        assert (changed == "True") is own_session
        assert not own_session or group == str(os.nice(0) + 4)
