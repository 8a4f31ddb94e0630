import copy
import hashlib

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from insphere.errors import CollapseError, SpecError
from insphere.nets import (
    CIFAR10,
    GTSRB,
    MNIST,
    EncoderSpec,
    build_decoder,
    build_encoder,
    collapse_paths,
    default_encoder,
)
from insphere.nets.batch_norm import BatchNorm2d
from insphere.nets.fold import PooledConvolution, folded
from insphere.nets.fused_pool import Stages
from insphere.nets.upsample import UpsampleConv2d


def parameters(network):
    return sum(p.numel() for p in network.parameters())


def digest(network):
    found = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        found.update(f"{name}{tuple(tensor.shape)}".encode() + tensor.numpy().tobytes())
    return found.hexdigest()[:16]


# Without AVX2, torch draws the same weights but for the last bits: from the digest that other
# processors give to the one there.
WITHOUT_AVX2 = {
    "561682bf39660258": "1dc424cb73b1b333",
    "27413028c5c4ebe4": "21377854b7ddaed9",
    "63718f1fee47e5ad": "9065889068d070d1",
    "d9c06e609ca27be2": "0ff7dec2451fa100",
    "16f2ab2ec9a72de9": "facd762af78f0c74",
    "52cc0c4ead69b671": "1c875f61dc674f39",
    "785edec073f11c78": "98481d53964eb126",
    "b0bd0af354fd8f1b": "d184ec8fc68f9489",
    "3301275a3038f56f": "394a604f4a620cb1",
    "731a8c4ff31a5b46": "e13f0d581c246fb3",
    "836dc3dbebad1e25": "10bf50438a0726bd",
    "f75011c5b4b71ee2": "0298f53ab799dcab",
}


def expected_digest(known):
    return WITHOUT_AVX2[known] if torch.backends.cpu.get_cpu_capability() == "DEFAULT" else known


@pytest.mark.parametrize(
    ("spec", "shape", "encoder", "decoder"),
    [
        (MNIST, (1, 28, 28), "561682bf39660258", "27413028c5c4ebe4"),
        (CIFAR10, (3, 32, 32), "63718f1fee47e5ad", "d9c06e609ca27be2"),
        (GTSRB, (3, 32, 32), "16f2ab2ec9a72de9", "52cc0c4ead69b671"),
        (EncoderSpec(widths=(6, 4, 3)), (3, 33, 17), "785edec073f11c78", "b0bd0af354fd8f1b"),
        (default_encoder((12,)), (12,), "3301275a3038f56f", "731a8c4ff31a5b46"),
        (EncoderSpec(kind="mlp", widths=(9, 5), rep_dim=4), (12,), "836dc3dbebad1e25",
         "f75011c5b4b71ee2"),
    ],
)  # fmt: skip
def test_names_order_and_first_weights_of_plain_networks_stay(spec, shape, encoder, decoder):
    """Published rows were trained from these weights: a new option must not move them."""
    torch.manual_seed(0)
    assert digest(build_encoder(spec, shape)) == expected_digest(encoder)
    assert digest(build_decoder(spec, shape, bounded_output=True)) == expected_digest(decoder)


def test_options_that_are_off_are_not_written():
    """So that they change neither the identity of a run nor the name of a checkpoint."""
    assert MNIST.model_dump_json() == (
        '{"kind":"lenet","widths":[8,4],"rep_dim":32,"kernel":5,"norm":"batch","norm_affine":false,'
        '"bias":false,"activation":"leaky_relu","leakiness":0.1}'
    )
    spec = EncoderSpec(residual=True, projection=(7,), dropout=0.5)
    assert EncoderSpec.model_validate_json(spec.model_dump_json()) == spec


@pytest.mark.parametrize(
    ("spec", "shape", "count"),
    [
        # 8·1·25 + 4·8·25 + 32·(4·7·7)
        (MNIST, (1, 28, 28), 200 + 800 + 6272),
        # 32·3·25 + 64·32·25 + 128·64·25 + 128·(128·4·4)
        (CIFAR10, (3, 32, 32), 2400 + 51200 + 204800 + 262144),
        # 16·3·25 + 32·16·25 + 64·32·25 + 32·(64·4·4)
        (GTSRB, (3, 32, 32), 1200 + 12800 + 51200 + 32768),
    ],
)
def test_paper_networks_have_the_papers_layers_and_no_bias(spec, shape, count):
    encoder = build_encoder(spec, shape)
    assert parameters(encoder) == count
    assert encoder(torch.rand(2, *shape)).shape == (2, spec.rep_dim)
    decoder = build_decoder(spec, shape, bounded_output=True)
    assert decoder(torch.rand(2, spec.rep_dim)).shape == (2, *shape)


@settings(max_examples=30, deadline=None)
@given(
    shape=st.tuples(st.sampled_from([1, 3]), st.integers(2, 70), st.integers(2, 70)),
    widths=st.lists(st.integers(1, 6), min_size=1, max_size=5).map(tuple),
    kernel=st.sampled_from([1, 3, 5, 7]),
)
def test_any_image_size_goes_in_and_comes_back(shape, widths, kernel):
    spec = EncoderSpec(widths=widths, kernel=kernel, rep_dim=3)
    z = build_encoder(spec, shape)(torch.rand(3, *shape))
    assert z.shape == (3, 3)
    restored = build_decoder(spec, shape, bounded_output=True)(z)
    assert restored.shape == (3, *shape)
    assert restored.min() >= 0
    assert restored.max() <= 1


@pytest.mark.parametrize(
    ("shape", "kind", "stages"),
    [((1, 28, 28), "lenet", 2), ((3, 32, 32), "lenet", 3), ((3, 256, 256), "lenet", 6),
     ((12,), "mlp", 2)],
)  # fmt: skip
def test_default_network_fits_the_shape(shape, kind, stages):
    spec = default_encoder(shape)
    assert (spec.kind, len(spec.widths)) == (kind, stages)
    assert build_encoder(spec, shape)(torch.rand(4, *shape)).shape == (4, spec.rep_dim)


@pytest.mark.parametrize("kernel", [1, 3, 5, 7])
@pytest.mark.parametrize("bias", [False, True])
def test_upsampling_convolution_equals_the_plain_order(kernel, bias):
    layer = UpsampleConv2d(3, 4, kernel, (12, 14), bias=bias).double()
    x = torch.randn(2, 3, 6, 7, dtype=torch.float64, requires_grad=True)
    large = F.interpolate(x, size=(12, 14), mode="nearest")
    plain = F.conv2d(large, layer.weight, layer.bias, padding=kernel // 2)
    torch.testing.assert_close(layer(x), plain)
    for wanted in (x, layer.weight):
        (ours,) = torch.autograd.grad(layer(x).square().sum(), wanted)
        (theirs,) = torch.autograd.grad(plain.square().sum(), wanted, retain_graph=True)
        torch.testing.assert_close(ours, theirs)


def test_pooling_before_the_activation_changes_nothing():
    encoder = build_encoder(MNIST, (1, 28, 28)).eval()
    x = torch.randn(5, 1, 28, 28)
    usual = x
    conv, norm, pool, act = 0, 1, 2, 3
    for start in range(0, len(encoder.stages), 4):
        layers = encoder.stages[start : start + 4]
        usual = layers[pool](layers[act](layers[norm](layers[conv](usual))))
    assert torch.equal(encoder.stages(x), usual)


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        ({"bias": True}, "bias"),
        ({"norm_affine": True}, "bias"),
        ({"activation": "tanh"}, "bounded"),
        ({"activation": "sigmoid"}, "bounded"),
    ],
)
@pytest.mark.parametrize(("kind", "shape"), [("lenet", (1, 8, 8)), ("mlp", (8,))])
def test_networks_that_could_collapse_are_refused(change, finding, kind, shape):
    spec = EncoderSpec(kind=kind, **change)
    with pytest.raises(CollapseError, match=rf"{finding}.*allow_collapse=True"):
        build_encoder(spec, shape)
    assert collapse_paths(build_encoder(spec, shape, allow_collapse=True))


def test_parameters_outside_of_linear_maps_are_found():
    class Shift(nn.Module):
        def __init__(self):
            super().__init__()
            self.shift = nn.Parameter(torch.zeros(3))

    assert collapse_paths(nn.Sequential(nn.Linear(3, 3, bias=False))) == []
    assert "shift" in collapse_paths(nn.Sequential(Shift()))[0]
    assert "gamma" not in str(collapse_paths(nn.ReLU()))


def test_zero_weights_are_the_only_constant_of_a_safe_network():
    """Without bias terms, the zero image is mapped to zero whatever the weights."""
    spec = EncoderSpec(norm="none")
    encoder = build_encoder(spec, (1, 8, 8))
    assert torch.equal(encoder(torch.zeros(2, 1, 8, 8)), torch.zeros(2, 32))


def test_kind_and_shape_must_fit():
    with pytest.raises(SpecError, match="lenet"):
        build_encoder(EncoderSpec(kind="mlp"), (1, 8, 8))
    with pytest.raises(SpecError, match="mlp"):
        build_encoder(EncoderSpec(), (8,))


@pytest.mark.parametrize("changes", [{}, {"residual": True}, {"norm": "none"}])
def test_folding_changes_nothing_but_the_number_of_passes(changes):
    encoder = build_encoder(MNIST.model_copy(update=changes), (1, 28, 28))
    x = torch.rand(64, 1, 28, 28)
    for _ in range(3):
        encoder(x)  # statistics other than 0 and 1
    encoder.eval()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    quick = folded(encoder)
    torch.testing.assert_close(quick(x), encoder(x), rtol=1e-4, atol=1e-5)
    norms = [m for m in quick.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert not norms or changes
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())


@pytest.mark.parametrize("filters", [1, 8, 9])
@pytest.mark.parametrize("kernel", [1, 3, 5, 7])
def test_convolution_and_pooling_fold_into_one(kernel, filters):
    row = nn.Sequential(
        nn.Conv2d(3, filters, kernel, padding="same"), nn.Identity(), nn.MaxPool2d((2, 2))
    )
    quick = folded(row)
    assert isinstance(quick[0], PooledConvolution) == (filters <= 8)
    for sides in ((8, 6), (9, 7), (2, 3)):
        x = torch.randn(4, 3, *sides).contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(quick(x), row(x), rtol=1e-4, atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(
    count=st.integers(1, 5),
    channels=st.integers(1, 17),
    sides=st.tuples(st.integers(1, 9), st.integers(2, 9)),
    affine=st.booleans(),
    momentum=st.sampled_from([0.1, None]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_batch_norm_has_the_values_of_torch(count, channels, sides, affine, momentum, dtype):
    ours = BatchNorm2d(channels, affine=affine, momentum=momentum, dtype=dtype)
    theirs = nn.BatchNorm2d(channels, affine=affine, momentum=momentum, dtype=dtype)
    theirs.load_state_dict(ours.state_dict())
    for _ in range(2):
        x = (3 * torch.randn(count, channels, *sides, dtype=dtype) + 1).contiguous(
            memory_format=torch.channels_last
        )
        mine, other = x.clone().requires_grad_(), x.clone().requires_grad_()
        a, b = ours(mine), theirs(other)
        grad = torch.randn_like(a)
        (found,) = torch.autograd.grad(a, mine, grad)
        (wanted,) = torch.autograd.grad(b, other, grad)
        close = {"rtol": 1e-3, "atol": 1e-4} if dtype == torch.float32 else {}
        torch.testing.assert_close(a, b, **close)
        torch.testing.assert_close(found, wanted, **close)
        torch.testing.assert_close(ours.state_dict(), theirs.state_dict(), **close)
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x), **close)


@pytest.mark.parametrize("filters", [1, 4])
@pytest.mark.parametrize("kernel", [1, 5])
@pytest.mark.parametrize("sides", [(2, 2), (2, 4), (4, 2), (6, 6)])
def test_narrow_stages_of_one_image(filters, kernel, sides):
    """Sides and counts of 1 leave strides open, which differ between processors."""
    parts = [
        nn.Conv2d(1, filters, kernel, padding="same", bias=False),
        nn.BatchNorm2d(filters, affine=False),
        nn.MaxPool2d(2),
    ]
    plain, ours = nn.Sequential(*parts), Stages(*copy.deepcopy(parts))
    x = torch.rand(1, 1, *sides).contiguous(memory_format=torch.channels_last)
    mine, other = x.clone().requires_grad_(), x.clone().requires_grad_()
    a, b = ours(mine), plain(other)
    torch.testing.assert_close(a, b)
    a.square().sum().backward()
    b.square().sum().backward()
    torch.testing.assert_close(mine.grad, other.grad, atol=1e-4, rtol=1e-3)


@settings(max_examples=40, deadline=None)
@given(
    count=st.integers(1, 4),
    channels=st.integers(1, 3),
    filters=st.integers(1, 9),
    kernel=st.sampled_from([1, 3, 5]),
    sides=st.tuples(st.integers(2, 9), st.integers(2, 9)),
    affine=st.booleans(),
    seed=st.integers(0, 99),
)
def test_narrow_stages_have_the_values_of_their_parts(
    count, channels, filters, kernel, sides, affine, seed
):
    torch.manual_seed(seed)
    parts = [
        nn.Conv2d(channels, filters, kernel, padding="same", bias=False),
        nn.BatchNorm2d(filters, affine=affine),
        nn.MaxPool2d(2),
        nn.LeakyReLU(),
    ]
    plain = nn.Sequential(*parts).double().to(memory_format=torch.channels_last)
    ours = Stages(*copy.deepcopy(parts))
    with torch.no_grad():  # whole numbers, so that equal places are equal to the last bit
        plain[0].weight.copy_(torch.randint(-2, 3, plain[0].weight.shape))
    ours.load_state_dict(plain.state_dict())
    for norm in (plain[1], ours[1]):
        if affine:
            norm.weight.data.neg_()  # now the smallest is the largest
    for _ in range(2):
        x = torch.randint(0, 2, (count, channels, *sides)).double()
        x = x.contiguous(memory_format=torch.channels_last)
        mine, other = x.clone().requires_grad_(), x.clone().requires_grad_()
        a, b = ours(mine), plain(other)
        torch.testing.assert_close(a, b)
        toward = torch.randn_like(b)
        a.backward(toward)
        b.backward(toward)
        torch.testing.assert_close(mine.grad, other.grad)
    for one, two in zip(ours.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one.grad, two.grad)
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], value)
    torch.testing.assert_close(ours.eval()(x), plain.eval()(x))


def test_narrow_stages_are_one_step_only_while_training_few_filters():
    x = torch.randn(2, 1, 8, 8)
    for filters, mode, steps in ((8, True, 1), (9, True, 0), (8, False, 0)):
        conv = nn.Conv2d(1, filters, 5, padding="same", bias=False)
        norm = nn.BatchNorm2d(filters, affine=False)
        row = Stages(conv, norm, nn.MaxPool2d(2)).train(mode)
        found = str(row(x).grad_fn.name() if mode else None)
        assert found.startswith("_PoolAndNormalise") == bool(steps)


def test_batch_norm_gradient():
    norm = BatchNorm2d(3, affine=False, dtype=torch.float64)
    x = torch.randn(2, 3, 4, 2, dtype=torch.float64)
    x = x.contiguous(memory_format=torch.channels_last).requires_grad_()
    assert torch.autograd.gradcheck(norm, x)
