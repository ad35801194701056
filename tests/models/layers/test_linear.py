"""A layer of 8-bit weights computes what one does whose weight was widened, scaled and added to beforehand."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from models.layers.linear import WideningLinear

TYPES = (torch.float8_e4m3fn, torch.float8_e5m2)


def narrow(dtype):
    torch.manual_seed(0)
    plain = nn.Linear(6, 5).requires_grad_(False)
    plain.weight.data = plain.weight.data.to(dtype)
    return plain


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("scale", [None, torch.tensor(0.37), torch.rand(5, 1)])
@pytest.mark.parametrize("added", [False, True])
def test_equal_to_a_weight_widened_beforehand(dtype, scale, added):
    plain, x = narrow(dtype), torch.randn(2, 3, 6)
    product = (torch.randn(2, 6), torch.randn(5, 2)) if added else None
    weight = plain.weight.float() * (1 if scale is None else scale)
    weight = weight + product[1] @ product[0] if product else weight
    made = WideningLinear(plain, scale, product)(x)
    torch.testing.assert_close(made, F.linear(x, weight, plain.bias), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("scale", [torch.tensor(0.37), torch.rand(5, 1)])
def test_a_scale_is_multiplied_by_before_numbers_are_rounded(scale):
    """A weight is rounded once: its scale keeps all its digits in a computation in 16 bits."""
    plain = narrow(TYPES[0])
    made = WideningLinear(plain, scale).widened(torch.bfloat16)
    assert made.dtype == torch.bfloat16
    assert torch.equal(made, (plain.weight.float() * scale).to(torch.bfloat16))


def test_scale_and_product_go_where_the_layer_goes_and_are_not_weights():
    layer = WideningLinear(narrow(TYPES[0]), torch.tensor(2.0), (torch.zeros(1, 6), torch.zeros(5, 1)))
    assert layer.state_dict().keys() == {"weight", "bias"}
    moved = layer.to("meta")
    assert all(tensor.is_meta for tensor in (moved.scale, moved.down, moved.up, moved.weight))
    assert {tensor.dtype for tensor in (moved.scale, moved.down, moved.up)} == {torch.float32}
