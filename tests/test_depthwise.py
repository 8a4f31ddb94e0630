import torch
from torch import nn

from insphere.nets.depthwise import depthwise, fixed_depthwise

CPU = torch.device("cpu")


def gradients(network, x, target):
    x = x.clone().requires_grad_(True)
    ((network(x) - target) ** 2).sum().backward()
    return x.grad


def test_gradients_are_those_of_torch_for_every_stride_padding_and_size():
    generator = torch.Generator().manual_seed(0)
    for kernel, stride, padding in (
        (3, 1, 1),
        (5, 2, 2),
        (5, 2, 0),
        (3, (2, 1), (0, 1)),
        (3, 3, 1),
    ):
        for size in ((9, 9), (10, 8)):
            layer = nn.Conv2d(4, 4, kernel, stride, padding, groups=4).double()
            x = torch.randn(2, 4, *size, generator=generator, dtype=torch.float64)
            expected = layer(x)
            target = torch.randn(expected.shape, generator=generator, dtype=torch.float64)
            wanted = gradients(layer, x, target)
            with fixed_depthwise(layer, CPU):
                torch.testing.assert_close(layer(x), expected)
                torch.testing.assert_close(gradients(layer, x, target), wanted)


def test_only_depthwise_kernels_are_fixed_and_the_way_of_torch_comes_back():
    network = nn.Sequential(nn.Conv2d(3, 6, 1), nn.Conv2d(6, 6, 3, groups=6), nn.Conv2d(6, 6, 1))
    assert depthwise(network) == [network[1]]
    names = list(network.state_dict())
    with fixed_depthwise(network, CPU):
        assert "forward" in vars(network[1])
        assert list(network.state_dict()) == names
        network(torch.randn(1, 3, 5, 5)).sum().backward()
    assert "forward" not in vars(network[1])
    trained = [p.grad is not None for p in network.parameters()]
    assert trained == [True, True, False, False, True, True]


def test_a_depthwise_layer_that_pads_in_its_own_way_is_left_to_itself():
    class Padded(nn.Conv2d):
        def forward(self, x):
            return super().forward(nn.functional.pad(x, (1, 1, 1, 1)))

    layer = Padded(2, 2, 3, groups=2)
    x = torch.randn(1, 2, 4, 4)
    expected = layer(x)
    with fixed_depthwise(layer, CPU):
        torch.testing.assert_close(layer(x), expected)
