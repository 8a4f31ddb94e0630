import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score
from torch import nn
from torch.nn import functional as F

import insphere
from insphere import DeepSVDD
from insphere.errors import CollapseError, SpecError
from insphere.experiments.runs.processing_options import OPTIONS, apply_options
from insphere.experiments.runs.spec import RunSpec
from insphere.nets import (
    MNIST,
    RESNET18,
    EncoderSpec,
    build_decoder,
    build_encoder,
    collapse_paths,
)
from insphere.nets.attention import ChannelAttention, Gate, SelfAttention, SpatialAttention
from insphere.nets.layers import strided_convolution
from insphere.nets.residual import Residual
from insphere.training.callbacks import Callback
from insphere.training.deep_svdd import SphereSpec, train_sphere
from insphere.training.recipe import Phase, Recipe

CPU = torch.device("cpu")
SHORT = Recipe(
    pretrain=Phase(epochs=1, lr=3e-3, batch_size=16), train=Phase(epochs=2, lr=1e-2, batch_size=16)
)
PREPROCESS = (["gcn", "minmax"], ["gcn", "standardize"], ["gcn", "zca"],
              ["standardize", "zca", "minmax"])  # fmt: skip
SHARED = {
    "norm": st.sampled_from(["batch", "none"]),
    "input_norm": st.sampled_from(["none", "batch"]),
    "dropout": st.sampled_from([0.0, 0.2]),
    "dropout_kind": st.sampled_from(["element", "channel"]),
    "residual": st.booleans(),
    "head_norm": st.sampled_from(["none", "layer"]),
    "projection": st.sampled_from([(), (5,), (6, 4)]),
}
MAPS = {"attention": st.sampled_from(["none", "channel", "spatial", "self"])}
IMAGE_SPECS = st.one_of(
    st.builds(EncoderSpec, widths=st.sampled_from([(4,), (4, 4, 6)]), rep_dim=st.just(6),
              kernel=st.sampled_from([3, 5]), **SHARED, **MAPS),
    st.builds(EncoderSpec, kind=st.just("resnet18"), widths=st.just((3, 4, 4, 6)),
              rep_dim=st.just(6), **SHARED, **MAPS),
)  # fmt: skip
TABLE_SPECS = st.builds(EncoderSpec, kind=st.just("mlp"), widths=st.sampled_from([(7,), (6, 6)]),
                        rep_dim=st.just(6), **SHARED)  # fmt: skip
SHAPES = st.tuples(st.sampled_from([1, 3]), st.sampled_from([(8, 8), (28, 28), (33, 17)])).map(
    lambda drawn: (drawn[0], *drawn[1])
)


@pytest.fixture(scope="module")
def digits():
    data = load_digits()
    return (data.images / 16 * 255).astype(np.uint8)[..., None], data.target


# ---------------------------------------------------------------- any combination


@settings(max_examples=60)
@given(
    drawn=st.one_of(
        st.tuples(IMAGE_SPECS, SHAPES), st.tuples(TABLE_SPECS, st.sampled_from([(5,), (12,)]))
    )
)
def test_any_combination_is_built_safely_and_runs_both_ways(drawn):
    spec, shape = drawn
    encoder = build_encoder(spec, shape)
    assert collapse_paths(encoder) == []
    x = torch.rand(4, *shape)
    z = encoder(x)
    assert z.shape == (4, spec.rep_dim)
    restored = build_decoder(spec, shape, bounded_output=False)(z)
    assert restored.shape == x.shape
    (restored - x).square().mean().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    assert EncoderSpec.model_validate_json(spec.model_dump_json()) == spec


@settings(max_examples=40)
@given(
    drawn=st.one_of(st.tuples(IMAGE_SPECS, SHAPES), st.tuples(TABLE_SPECS, st.just((9,)))),
    scale=st.sampled_from([0.1, 1.0, 30.0]),
)
def test_zero_goes_to_zero_through_gates_attention_and_skips(drawn, scale):
    """Nothing is added anywhere, so no constant but zero exists, and the centre is not zero."""
    spec, shape = drawn
    encoder = build_encoder(spec, shape).eval()
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.mul_(scale)
        assert torch.equal(encoder(torch.zeros(2, *shape)), torch.zeros(2, spec.rep_dim))


@settings(max_examples=10)
@given(spec=IMAGE_SPECS, preprocess=st.sampled_from(PREPROCESS), seed=st.integers(0, 3))
def test_any_combination_learns_and_is_saved(digits, tmp_path_factory, spec, preprocess, seed):
    images, target = digits
    detector = DeepSVDD(encoder=spec, preprocess=preprocess, recipe=SHORT, random_state=seed)
    detector.fit(images[target == 3])
    losses = [record["loss"] for record in detector.history_ if record["phase"] == "train"]
    # without batch norm the first representations may lie so close together that nothing is left
    assert losses[1] < losses[0] or (spec.norm == "none" and losses[0] < 0.2)
    scores = detector.anomaly_score(images[:200])
    assert np.isfinite(scores).all()
    assert scores.std() > 0
    loaded = insphere.load(detector.save(tmp_path_factory.mktemp("saved") / "model"))
    np.testing.assert_array_equal(loaded.anomaly_score(images[:200]), scores)
    assert loaded.spec_ == detector.spec_


# ---------------------------------------------------------------- gates


def test_a_gate_never_lengthens_and_saturates_to_all_or_nothing():
    x = torch.randn(5, 3)
    logits = torch.randn(5, 3)
    assert (Gate()(x, logits).abs() <= x.abs()).all()
    assert torch.equal(Gate()(x, torch.full((5, 1), 1e3)), x)
    assert torch.equal(Gate()(x, torch.full((5, 1), -1e3)), torch.zeros(5, 3))
    assert torch.equal(Gate()(torch.zeros(5, 3), logits), torch.zeros(5, 3))


def test_a_gate_opens_no_hole_for_other_bounded_activations():
    attention = ChannelAttention(MNIST, 8)
    assert collapse_paths(attention) == []
    assert not isinstance(attention.gate, nn.Sigmoid)
    attention.gate = nn.Sigmoid()
    assert "gate (Sigmoid) is bounded" in collapse_paths(attention)[0]
    bounded = EncoderSpec(attention="channel", activation="tanh")
    with pytest.raises(CollapseError, match="bounded"):
        build_encoder(bounded, (1, 8, 8))
    with_bias = SpatialAttention()
    with_bias.conv = nn.Conv2d(2, 1, 7, padding="same", bias=True)
    assert "learns a bias" in collapse_paths(with_bias)[0]


# ---------------------------------------------------------------- layers by hand


def test_channel_attention_by_hand():
    layer = ChannelAttention(EncoderSpec(leakiness=0.5), 2)
    with torch.no_grad():
        layer.excite[0].weight.copy_(torch.tensor([[1.0, -1.0]]))
        layer.excite[2].weight.copy_(torch.tensor([[1.0], [0.0]]))
    x = torch.tensor([[[[1.0, 3.0]], [[4.0, 8.0]]]])  # means 2 and 6, so 2 − 6 → −4 → −2
    first = 1 / (1 + math.exp(2))
    wanted = torch.tensor([[[[first, 3 * first]], [[2.0, 4.0]]]])
    torch.testing.assert_close(layer(x), wanted)


def test_spatial_attention_by_hand():
    layer = SpatialAttention()
    with torch.no_grad():
        layer.conv.weight.zero_()
        layer.conv.weight[0, :, 3, 3] = torch.tensor([1.0, -1.0])  # mean − maximum
    x = torch.tensor([[[[1.0]], [[3.0]]]])
    torch.testing.assert_close(layer(x), x / (1 + math.e))


def test_self_attention_by_hand():
    layer = SelfAttention(2)
    with torch.no_grad():
        layer.out.weight.copy_(torch.eye(2)[..., None, None])
        layer.query_key_value.weight.zero_()
        layer.query_key_value.weight[4:, :, 0, 0] = torch.eye(2)  # all places weigh the same
        x = torch.randn(3, 2, 4, 5)
        mean = x.mean(dim=(2, 3), keepdim=True).expand_as(x)
        torch.testing.assert_close(layer(x), x + mean)
        nn.init.normal_(layer.query_key_value.weight)
        query, key, value = layer.query_key_value(x).flatten(2).chunk(3, dim=1)
        weights = (query.transpose(1, 2) @ key / math.sqrt(2)).softmax(dim=2)
        mixed = (value @ weights.transpose(1, 2)).reshape(x.shape)
        torch.testing.assert_close(layer(x), x + mixed)


def test_strided_convolution_keeps_every_second_place():
    x = torch.rand(2, 3, 7, 5)
    one = nn.Sequential(*strided_convolution(3, 4, 1, 2, bias=False))
    torch.testing.assert_close(one(x), F.conv2d(x, one[1].weight, stride=2))
    assert one[1].stride == (1, 1)  # oneDNN's own stride corrupts memory for few channels
    three = nn.Sequential(*strided_convolution(3, 4, 3, 2, bias=False))
    assert three(x).shape == (2, 4, 4, 3)


def test_skips_are_projected_only_where_the_width_changes():
    encoder = build_encoder(EncoderSpec(widths=(4, 4), residual=True), (1, 8, 8))
    first, second = (m for m in encoder.modules() if isinstance(m, Residual))
    assert first.skip[0].weight.shape == (4, 1, 1, 1)
    assert isinstance(second.skip, nn.Identity)
    x = torch.rand(2, 4, 8, 8)
    torch.testing.assert_close(second(x), second.body(x) + x)


@pytest.mark.parametrize(("side", "stem"), [(32, 3), (96, 7)])
def test_resnet_has_the_layers_of_resnet_18(side, stem):
    """11,166,912 weights of convolutions with the usual stem, counted in the reference network."""
    encoder = build_encoder(RESNET18, (3, side, side))
    convolutions = 11_166_912 - 64 * 3 * (7 * 7 - stem * stem)
    assert sum(p.numel() for p in encoder.parameters()) == convolutions + 512 * 128
    assert not [name for name, _ in encoder.named_parameters() if "bias" in name]
    with torch.no_grad():
        last = encoder.stages(torch.rand(1, 3, side, side))
        decoder = build_decoder(RESNET18, (3, side, side), bounded_output=True)
        assert decoder.first_shape == tuple(last.shape[1:])
        assert decoder.eval()(torch.rand(1, 128)).shape == (1, 3, side, side)


def test_kinds_bring_their_own_widths_and_kernel():
    assert EncoderSpec(kind="resnet18") == RESNET18.model_copy(update={"rep_dim": 32})
    derived = MNIST.derive({"kind": "resnet18"})
    assert (derived.widths, derived.kernel, derived.rep_dim) == ((64, 128, 256, 512), 3, 32)
    assert MNIST.derive({"kernel": 3}).widths == MNIST.widths
    assert RESNET18.derive({"widths": (4, 4)}).widths == (4, 4)


@pytest.mark.parametrize("kind", ["element", "channel"])
def test_dropout_acts_while_training_only(kind):
    spec = EncoderSpec(widths=(16,), dropout=0.5, dropout_kind=kind)
    encoder = build_encoder(spec, (1, 8, 8))
    x = torch.rand(8, 1, 8, 8)
    zeros = encoder.stages(x).flatten(2) == 0
    assert 0.3 < zeros.float().mean() < 0.7
    whole = (zeros.all(dim=2) | ~zeros.any(dim=2)).all()
    assert bool(whole) == (kind == "channel")
    encoder.eval()
    assert torch.equal(encoder(x), encoder(x))
    assert (encoder.stages(x) != 0).all()


def test_input_norm_gives_channels_mean_zero_and_deviation_one():
    encoder = build_encoder(EncoderSpec(input_norm="batch"), (3, 8, 8))
    normed = encoder.input_norm(5 + 9 * torch.rand(50, 3, 8, 8))
    torch.testing.assert_close(normed.mean((0, 2, 3)), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(normed.var((0, 2, 3)), torch.ones(3), atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    "change",
    [
        {"head_norm": "layer", "head_norm_affine": True},
        {"input_norm": "batch", "norm": "none", "norm_affine": True},
        {"projection": (4,), "bias": True},
    ],
)
@pytest.mark.parametrize(("kind", "shape"), [("lenet", (1, 8, 8)), ("mlp", (8,))])
def test_unsafe_forms_are_refused(change, kind, shape):
    spec = EncoderSpec(kind=kind, **change)
    with pytest.raises(CollapseError, match="learns a bias"):
        build_encoder(spec, shape)
    build_encoder(spec, shape, allow_collapse=True)


def test_attention_needs_maps():
    with pytest.raises(SpecError, match="feature maps"):
        build_encoder(EncoderSpec(kind="mlp", attention="self"), (8,))


# ---------------------------------------------------------------- layer norm and its sphere


def test_layer_norm_trains_directions_and_ranks_well(digits):
    images, target = digits
    normal = np.flatnonzero(target == 0)
    train, test = normal[:100], np.concatenate([normal[100:], np.flatnonzero(target != 0)])
    detector = DeepSVDD(
        recipe="fast", encoder=MNIST.derive({"head_norm": "layer"}), pretrain_epochs=120,
        epochs=120, random_state=0,
    ).fit(images[train])  # fmt: skip
    losses = [record["loss"] for record in detector.history_ if record["phase"] == "train"]
    assert losses[-1] < 0.2 * losses[0]
    lengths = np.linalg.norm(detector.transform(images[train]), axis=1)
    np.testing.assert_allclose(lengths, math.sqrt(32), rtol=1e-2)
    floor = (math.sqrt(32) - np.linalg.norm(detector.center_)) ** 2
    assert 0 < 0.9 * floor < losses[-1]
    assert detector.guard_findings_[0].startswith("No sign of collapse")
    scores = detector.anomaly_score(images[test])
    assert roc_auc_score(target[test] != 0, scores) > 0.95


def test_affine_layer_norm_sinks_below_the_floor_of_the_safe_form(digits):
    """Its scale and shift carry every representation to the centre; the safe form cannot follow."""
    images, target = digits
    recipe = Recipe(
        pretrain=Phase(epochs=0),
        train=Phase(epochs=200, lr=0.1, batch_size=100, schedule="constant"),
    )
    share = {}
    for affine in (False, True):
        detector = DeepSVDD(
            encoder=MNIST.derive({"head_norm": "layer", "head_norm_affine": affine}),
            recipe=recipe, allow_collapse=affine, random_state=0,
        ).fit(images[target == 3][:100])  # fmt: skip
        floor = (math.sqrt(32) - np.linalg.norm(detector.center_)) ** 2
        share[affine] = detector.history_[-1]["loss"] / floor
    assert share[False] > 1
    assert share[True] < 0.3


# ---------------------------------------------------------------- interruption


class StopAfter(Callback):
    def __init__(self, epochs):
        self.left = epochs

    def epoch_end(self, record):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize("attention", ["channel", "self"])
def test_training_with_dropout_resumes_bit_for_bit(digits, tmp_path, attention):
    images, target = digits
    threes = images[target == 3][:64]
    spec = SphereSpec(
        encoder=EncoderSpec(
            widths=(4, 4), rep_dim=5, kernel=3, dropout=0.3, attention=attention, residual=True,
            head_norm="layer", projection=(6,), input_norm="batch",
        ),
        preprocess=({"step": "gcn"}, {"step": "zca"}), recipe=SHORT,
    )  # fmt: skip
    whole = train_sphere(threes, spec, seed=1, device=CPU).sphere.state_dict()
    with pytest.raises(KeyboardInterrupt):
        train_sphere(threes, spec, seed=1, device=CPU, checkpoints=tmp_path,
                     callbacks=[StopAfter(2)])  # fmt: skip
    resumed = train_sphere(threes, spec, seed=1, device=CPU, checkpoints=tmp_path)
    state = resumed.sphere.state_dict()
    assert all(torch.equal(whole[key], state[key]) for key in whole)


# ---------------------------------------------------------------- options by name


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_trains(digits, name):
    images, target = digits
    params = apply_options([name], {"recipe": {"pretrain": {"epochs": 1}, "train": {"epochs": 1}}})
    assert json.loads(json.dumps(params)) == params
    spec = RunSpec(dataset="digits", normal=("3",), params=params)
    detector = spec.detector().fit(images[target == 3][:40])
    assert np.isfinite(detector.anomaly_score(images[:20])).all()
    assert detector.allow_collapse == (not OPTIONS[name].safe)
    if not OPTIONS[name].safe:
        with pytest.raises(CollapseError):
            detector.set_params(allow_collapse=False).fit(images[target == 3][:40])


def test_options_merge_in_any_order_and_leave_their_input_alone():
    given = {"nu": 0.05, "encoder": "mnist", "preprocess": ["gcn", "minmax"]}
    names = ["projection", "zca", "attention", "standardize", "batch-norm", "dropout"]
    merged = apply_options(names, given)
    assert merged == apply_options(names[::-1], given)
    assert given == {"nu": 0.05, "encoder": "mnist", "preprocess": ["gcn", "minmax"]}
    assert merged["encoder"] == {
        "base": "mnist", "input_norm": "batch", "dropout": 0.1, "dropout_kind": "element",
        "attention": "channel", "projection": [64],
    }  # fmt: skip
    assert [step["step"] for step in merged["preprocess"]] == ["gcn", "standardize", "zca"]
    assert apply_options([], given) == given
    assert apply_options(["z-score"], given) == given


@pytest.mark.parametrize("base", [None, "mnist", MNIST, {"widths": [8, 4], "rep_dim": 32}])
def test_options_build_on_any_way_to_give_an_encoder(digits, base):
    images, target = digits
    params = apply_options(["residual"], {} if base is None else {"encoder": base})
    detector = DeepSVDD(**params, epochs=1, pretrain_epochs=0).fit(images[target == 3])
    assert detector.spec_.encoder == MNIST.derive({"residual": True})


@pytest.mark.parametrize(
    ("names", "params", "message"),
    [
        (["atention"], {}, "did you mean attention"),
        (["xyz"], {}, "use one of standardize"),
        (["attention", "self-attention"], {}, "attention and self-attention exclude"),
        (["residual"], {"encoder": {"residual": False}}, "residual = False"),
    ],
)
def test_contradictions_get_one_sentence(names, params, message):
    with pytest.raises(SpecError, match=message):
        apply_options(names, params)


def test_assumed_gains_are_those_of_the_report():
    assumed = {name: o.assumed for name, o in OPTIONS.items() if o.assumed is not None}
    assert assumed == {
        "batch-norm": 0.005, "attention": 0.008, "residual": 0.007, "layer-norm": 0.004,
        "projection": 0.003,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("encoder", "message"),
    [({"base": "vgg"}, "mnist"), ({"base": "auto", "attention": "all"}, "attention")],
)
def test_bad_bases_and_changes_get_one_sentence(digits, encoder, message):
    images, target = digits
    with pytest.raises(SpecError, match=message):
        DeepSVDD(recipe="fast", encoder=encoder).fit(images[target == 3])
