"""Attention written out by hand, and what rotation must keep."""

from __future__ import annotations

import torch

from models.layers.attention import Attention, FeedForward, rotate


def rotation(angles: torch.Tensor) -> torch.Tensor:
    return torch.polar(torch.ones_like(angles), angles)


def test_rotation_turns_neighbouring_pairs():
    x = torch.tensor([[[1.0, 0.0, 0.0, 2.0]]])
    quarter = torch.full((1, 2), torch.pi / 2)
    torch.testing.assert_close(rotate(x, rotation(quarter)), torch.tensor([[[0.0, 1.0, -2.0, 0.0]]]))


def test_scores_of_rotated_vectors_depend_on_the_distance_alone():
    query, key, frequencies = torch.randn(1, 1, 8), torch.randn(1, 1, 8), torch.rand(4)

    def score(at: float, other: float) -> torch.Tensor:
        turned = [rotate(x, rotation((frequencies * place)[None])) for x, place in ((query, at), (key, other))]
        return (turned[0] * turned[1]).sum()

    torch.testing.assert_close(score(3.0, 5.0), score(10.0, 12.0), atol=1e-5, rtol=1e-5)


def test_a_narrow_rotation_turns_every_head_alike():
    x, angles = torch.randn(2, 3, 12), torch.rand(3, 2)
    heads = torch.cat([rotate(head, rotation(angles)) for head in x.split(4, dim=-1)], dim=-1)
    torch.testing.assert_close(rotate(x, rotation(angles)), heads)
    torch.testing.assert_close(rotate(x, rotation(angles.repeat(1, 3))), heads)


@torch.no_grad()
def test_what_is_left_out_of_self_attention():
    layer, x, still = Attention(8, 2), torch.randn(2, 3, 8), rotation(torch.zeros(3, 4))
    torch.testing.assert_close(layer.itself(x, still), layer(x))
    assert torch.equal(layer.itself(x, still, "attention_skip"), layer.to_out[0](x))
    assert torch.equal(layer.itself(x, still, "attention_values"), layer.to_out[0](layer.to_v(x)))


@torch.no_grad()
def test_attention_is_what_the_formula_says():
    layer = Attention(8, 2, context_dim=6)
    torch.nn.init.normal_(layer.norm_q.weight)
    torch.nn.init.normal_(layer.norm_k.weight)
    x, context, bias = torch.randn(2, 3, 8), torch.randn(2, 5, 6), torch.randn(2, 1, 1, 5)

    def norm(y: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return y / (y.square().mean(-1, keepdim=True) + 1e-5).sqrt() * weight

    q, k = norm(layer.to_q(x), layer.norm_q.weight), norm(layer.to_k(context), layer.norm_k.weight)
    v, parts = layer.to_v(context), []
    for head in (slice(0, 4), slice(4, 8)):
        scores = q[..., head] @ k[..., head].transpose(1, 2) / 2 + bias[:, 0]
        parts.append(scores.softmax(-1) @ v[..., head])
    expected = layer.to_out[0](torch.cat(parts, -1))
    made = layer(x, layer.keys_values(context), bias=bias)
    torch.testing.assert_close(made, expected, atol=1e-5, rtol=1e-5)


def test_a_feed_forward_keeps_the_shape_and_names():
    layer = FeedForward(6)
    assert layer(torch.randn(1, 2, 6)).shape == (1, 2, 6)
    assert set(layer.state_dict()) == {
        "net.0.proj.weight",
        "net.0.proj.bias",
        "net.2.weight",
        "net.2.bias",
    }


@torch.no_grad()
def test_a_feed_forward_of_any_width_and_either_gelu():
    for approximate in ("tanh", "none"):
        layer, x = FeedForward(6, 10, 4, approximate=approximate), torch.randn(1, 2, 6)
        hidden = torch.nn.functional.gelu(layer.net[0].proj(x), approximate=approximate)
        assert hidden.shape == (1, 2, 10)
        assert torch.equal(layer(x), layer.net[2](hidden))
