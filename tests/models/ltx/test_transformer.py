"""The transformer against golden values and diffusers; `bind` against `forward`."""

from __future__ import annotations

import pytest
import torch

from models.errors import ModelError, ShapeError
from models.ltx.config import TransformerConfig
from models.ltx.transformer import Transformer, rotary_table, video_coordinates
from models.shapes import Compression, LatentShape

TINY = {
    "in_channels": 4,
    "out_channels": 4,
    "num_attention_heads": 2,
    "attention_head_dim": 8,
    "num_layers": 1,
    "cross_attention_dim": 16,
    "caption_channels": 8,
}
SMALL = TINY | {"num_attention_heads": 4, "attention_head_dim": 32, "num_layers": 3, "cross_attention_dim": 128}
COMPRESSION = Compression(8, 32)
SHAPE = LatentShape(4, 3, 2, 2)
FPS = 25.0


def rope(shape: LatentShape, dim: int, causal: bool) -> tuple[torch.Tensor, torch.Tensor]:
    return rotary_table(video_coordinates(shape, FPS, COMPRESSION, causal), dim)


@pytest.fixture
def small() -> Transformer:
    torch.manual_seed(0)
    network = Transformer(TransformerConfig(**SMALL)).eval()
    for name, value in network.named_parameters():
        if "norm_" in name:
            torch.nn.init.normal_(value, 1, 0.2)
    return network


@pytest.fixture
def text() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(2, 5, 8, generator=generator), torch.tensor([[1.0, 1, 1, 0, 0], [1, 1, 1, 1, 1]])


@torch.no_grad()
def test_golden_whole_clip_level(fill, wave, matches):
    network = fill(Transformer(TransformerConfig(**TINY)))
    mask = torch.tensor([[1, 1, 1, 0, 0]])
    made = network(wave(1, 12, 4), torch.tensor([0.7]), wave(1, 5, 8, phase=1), mask, rope(SHAPE, 16, causal=False))
    first, last = [-0.54464, -0.47761, -0.34829, -0.17364], [-0.15335, -0.03263]
    matches(made, -0.282763, 0.131923, first, last)


@torch.no_grad()
def test_golden_level_of_its_own_for_every_token(fill, wave, matches):
    network = fill(Transformer(TransformerConfig(**TINY)))
    mask, sigmas = torch.tensor([[1, 1, 1, 0, 0]]), torch.full((1, 12), 0.7)
    sigmas[:, :4] = 0
    made = network(wave(1, 12, 4), sigmas, wave(1, 5, 8, phase=1), mask, rope(SHAPE, 16, causal=True))
    first, last = [-0.56092, -0.50169, -0.37703, -0.20329], [-0.15334, -0.03263]
    matches(made, -0.290913, 0.132185, first, last)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("per_token", [False, True])
@pytest.mark.parametrize("masked", [False, True])
@torch.no_grad()
def test_it_computes_what_diffusers_computes(small, text, causal, per_token, masked):
    from diffusers import LTXVideoTransformer3DModel

    theirs = LTXVideoTransformer3DModel(**SMALL).eval()
    theirs.load_state_dict(small.state_dict())
    shape = LatentShape(4, 3, 2, 4)
    tokens, sigmas = torch.randn(2, 24, 4), torch.rand(2, 24) if per_token else torch.rand(2)
    context, mask = text
    mask = mask if masked else None
    if causal:
        places = {"video_coords": video_coordinates(shape, FPS, COMPRESSION, True).expand(2, -1, -1)}
    else:
        places = {"rope_interpolation_scale": (8 / FPS, 32, 32)}
    size = {"num_frames": 3, "height": 2, "width": 4}
    expected = theirs(tokens, context, 1000 * sigmas, mask, **size, **places, return_dict=False)[0]
    made = small(tokens, sigmas, context, mask, rope(shape, 128, causal))
    torch.testing.assert_close(made, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("dim", [16, 20, 128, 256])
def test_the_rotary_table_is_that_of_diffusers(dim):
    from diffusers.models.transformers.transformer_ltx import LTXVideoRotaryPosEmbed

    theirs = LTXVideoRotaryPosEmbed(dim, 20, 2048, 2048)
    expected = theirs(torch.empty(1), 3, 2, 2, (8 / FPS, 32, 32))
    for ours, table in zip(rope(SHAPE, dim, causal=False), expected, strict=True):
        assert torch.equal(ours.repeat_interleave(2, -1), table[0])


def test_coordinates_are_seconds_and_pixels_of_the_first_corner():
    plain, causal = (video_coordinates(SHAPE, FPS, COMPRESSION, mode) for mode in (False, True))
    assert plain[0, ::4].tolist() == pytest.approx([0, 0.32, 0.64])
    assert causal[0, ::4].tolist() == pytest.approx([0, 0.04, 0.36])
    assert plain[1:, :4].tolist() == [[0, 0, 32, 32], [0, 32, 0, 32]]
    later = video_coordinates(SHAPE, FPS, COMPRESSION, True, frame=50)
    torch.testing.assert_close(later[0], causal[0] + 2)


@pytest.mark.parametrize("causal", [False, True])
@torch.no_grad()
def test_a_bound_network_is_forward_on_packed_clips(small, text, causal):
    shape, latents = LatentShape(4, 3, 2, 4), torch.randn(2, 4, 3, 2, 4)
    tokens, table = latents.flatten(2).transpose(1, 2), rope(shape, 128, causal)
    velocity = small.bind(*text, shape, fps=FPS, compression=COMPRESSION, causal_time=causal)

    def forward(sigmas: torch.Tensor) -> torch.Tensor:
        return small(tokens, sigmas, *text, table).transpose(1, 2).view_as(latents)

    levels, places = torch.tensor([0.9, 0.2]), torch.rand(2, 1, 3, 2, 4)
    for given, meant in (
        (levels, levels),
        (0.5, torch.full((2,), 0.5)),
        (torch.tensor(0.5), torch.full((2,), 0.5)),
        (levels.view(2, 1, 1, 1, 1), levels),
        (places, places.flatten(1)),
        (places[:, :, :, :1, :1], places[:, :, :, :1, :1].expand(2, 1, 3, 2, 4).flatten(1)),
    ):
        torch.testing.assert_close(velocity(latents, given), forward(meant), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_constant_maps_follow_the_latents_own_channels(text):
    network = Transformer(TransformerConfig(**TINY | {"in_channels": 7})).eval()
    latents, maps = torch.randn(2, 4, 3, 2, 2), torch.randn(3, 3, 2, 2)
    velocity = network.bind(*text, SHAPE, fps=FPS, compression=COMPRESSION, causal_time=True, maps=maps)
    joined = torch.cat((latents, maps.expand(2, -1, -1, -1, -1)), dim=1).flatten(2).transpose(1, 2)
    expected = network(joined, torch.tensor([0.3, 0.3]), *text, rope(SHAPE, 16, causal=True))
    made = velocity(latents, 0.3).flatten(2).transpose(1, 2)
    torch.testing.assert_close(made, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("causal", [False, True])
@torch.no_grad()
def test_leading_pictures_are_what_diffusers_makes_of_tokens_at_their_frame(small, text, causal):
    from diffusers import LTXVideoTransformer3DModel
    from diffusers.pipelines.ltx.pipeline_ltx_condition import LTXConditionPipeline

    theirs = LTXVideoTransformer3DModel(**SMALL).eval()
    theirs.load_state_dict(small.state_dict())
    shape, latents, sigmas = LatentShape(4, 3, 2, 4), torch.randn(2, 4, 5, 2, 4), torch.rand(2, 1, 5, 2, 4)
    places = []
    for frame in (16, 5):
        place = LTXConditionPipeline._prepare_video_ids(2, 1, 2, 4, device="cpu")
        place = LTXConditionPipeline._scale_video_ids(place, 32, 8, frame, device="cpu").float()
        place[:, 0] /= FPS
        places.append(place)
    own = video_coordinates(shape, FPS, COMPRESSION, causal).expand(2, -1, -1)
    expected = theirs(
        latents.flatten(2).transpose(1, 2),
        text[0],
        1000 * sigmas.flatten(1),
        text[1],
        num_frames=5,
        height=2,
        width=4,
        video_coords=torch.cat((*places, own), dim=-1),
        return_dict=False,
    )[0]
    velocity = small.bind(*text, shape, fps=FPS, compression=COMPRESSION, causal_time=causal, leading=(16, 5))
    made = velocity(latents, sigmas)
    torch.testing.assert_close(made.flatten(2).transpose(1, 2), expected, atol=1e-5, rtol=0)


@torch.no_grad()
def test_where_a_leading_picture_stands_matters_and_their_order_does_not(small, text):
    kept = {"fps": FPS, "compression": COMPRESSION, "causal_time": True}
    latents = torch.randn(2, 4, 5, 2, 2)
    swapped = torch.cat((latents[:, :, [1, 0]], latents[:, :, 2:]), dim=2)
    made = small.bind(*text, SHAPE, leading=(16, 5), **kept)(latents, 0.5)
    other = small.bind(*text, SHAPE, leading=(5, 16), **kept)(swapped, 0.5)
    torch.testing.assert_close(other[:, :, 2:], made[:, :, 2:], atol=1e-5, rtol=0)
    moved = small.bind(*text, SHAPE, leading=(16, 9), **kept)(latents, 0.5)
    assert (moved - made)[:, :, 2:].abs().max() > 1e-3


@torch.no_grad()
def test_one_prompt_serves_a_batch_of_latents(small, text):
    context, mask = text[0][:1], text[1][:1]
    velocity = small.bind(context, mask, SHAPE, fps=FPS, compression=COMPRESSION, causal_time=True)
    latents = torch.randn(3, 4, 3, 2, 2)
    alone = torch.cat([velocity(each[None], 0.5) for each in latents])
    torch.testing.assert_close(velocity(latents, 0.5), alone, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_masked_words_have_no_say(small, text):
    context, mask = text
    changed = context.clone()
    changed[0, 3:] += 5
    kept = {"fps": FPS, "compression": COMPRESSION, "causal_time": True}
    latents = torch.randn(2, 4, 3, 2, 2)
    made = small.bind(context, mask, SHAPE, **kept)(latents, 0.5)
    torch.testing.assert_close(small.bind(changed, mask, SHAPE, **kept)(latents, 0.5), made)
    assert not torch.allclose(small.bind(changed, None, SHAPE, **kept)(latents, 0.5)[0], made[0])


def test_gradients_reach_the_text_and_every_weight(small, text):
    context, mask = text[0].requires_grad_(), text[1].requires_grad_()
    velocity = small.bind(context, mask, SHAPE, fps=FPS, compression=COMPRESSION, causal_time=True)
    velocity(torch.randn(2, 4, 3, 2, 2), torch.rand(2)).square().mean().backward()
    assert all(value.grad is not None for value in (context, mask, *small.parameters()))


def test_latents_keep_their_precision(text):
    network = Transformer(TransformerConfig(**TINY)).double()
    velocity = network.bind(*text, SHAPE, fps=FPS, compression=COMPRESSION, causal_time=True)
    assert velocity(torch.randn(2, 4, 3, 2, 2), 0.5).dtype == torch.float32


def test_shapes_that_do_not_fit_are_refused(small, text):
    kept = {"fps": FPS, "compression": COMPRESSION, "causal_time": True}
    with pytest.raises(ShapeError, match="4 latent channels and 1 maps"):
        small.bind(*text, SHAPE, maps=torch.zeros(1, 3, 2, 2), **kept)
    with pytest.raises(ShapeError, match="bound to"):
        small.bind(*text, SHAPE, **kept)(torch.randn(2, 4, 3, 2, 3), 0.5)
    with pytest.raises(ShapeError, match="bound to"):
        small.bind(*text, SHAPE, leading=(8,), **kept)(torch.randn(2, 4, 3, 2, 2), 0.5)


@pytest.mark.parametrize(
    ("config", "parameters", "tensors"),
    [
        ({}, 1_923_385_472, 715),
        (
            {"num_layers": 48, "attention_head_dim": 128, "cross_attention_dim": 4096},
            13_042_569_344,
            1215,
        ),
        (TINY, 11_076, 40),
    ],
)
def test_parameter_counts(config, parameters, tensors):
    with torch.device("meta"):
        network = Transformer(TransformerConfig(**config))
    assert sum(value.numel() for value in network.parameters()) == parameters
    assert len(network.state_dict()) == tensors
    assert all(value.is_meta for value in network.state_dict().values())


@torch.no_grad()
def test_a_network_built_on_meta_runs_once_weights_are_assigned(small, text):
    with torch.device("meta"):
        network = Transformer(TransformerConfig(**SMALL))
    network.load_state_dict(small.state_dict(), assign=True)
    arguments = torch.randn(2, 12, 4), torch.rand(2), *text, rope(SHAPE, 128, causal=True)
    assert torch.equal(network(*arguments), small(*arguments))


# ------------------------------------------------------------------------------------------------ parts left out


class Perturbed:
    """diffusers' own attention with the published change before its output layer."""

    def __init__(self, mode):
        self.mode = mode

    def __call__(self, attn, hidden_states, *_, **__):
        made = attn.to_v(hidden_states) if self.mode == "attention_values" else hidden_states
        return attn.to_out[1](attn.to_out[0](made))


@pytest.fixture
def theirs(small):
    from diffusers import LTXVideoTransformer3DModel

    network = LTXVideoTransformer3DModel(**SMALL).eval()
    network.load_state_dict(small.state_dict())
    return network


@pytest.fixture
def bind(small, text):
    """`bind()`: the same network bound to the same prompt and shape, each time anew."""
    return lambda: small.bind(*text, LatentShape(4, 3, 2, 4), fps=FPS, compression=COMPRESSION, causal_time=False)


@pytest.fixture
def bound(bind):
    return bind()


@pytest.mark.parametrize("layers", [(1,), (0, 2)])
@pytest.mark.parametrize("mode", ["attention_values", "attention_skip", "transformer_block"])
@torch.no_grad()
def test_what_is_left_out_of_a_block_is_what_was_published(theirs, bound, text, mode, layers):
    latents = torch.randn(2, 4, 3, 2, 4)
    for layer in layers:
        block = theirs.transformer_blocks[layer]
        if mode == "transformer_block":
            block.forward = lambda hidden_states, **_: hidden_states
        else:
            block.attn1.processor = Perturbed(mode)
    context, mask = text
    expected = theirs(
        latents.flatten(2).transpose(1, 2), context, torch.full((2,), 600.0), mask, num_frames=3, height=2, width=4,
        rope_interpolation_scale=(8 / FPS, 32, 32), return_dict=False,
    )[0].transpose(1, 2).view_as(latents)  # fmt: skip
    made = bound.without(mode, layers)(latents, 0.6)
    torch.testing.assert_close(made, expected, atol=1e-5, rtol=0)
    assert (made - bound(latents, 0.6)).abs().max() > 1e-3


@torch.no_grad()
def test_a_residual_that_is_not_there_cannot_be_left_out(bound):
    latents = torch.randn(2, 4, 3, 2, 4)
    assert torch.equal(bound.without("residual", (0, 1, 2))(latents, 0.6), bound(latents, 0.6))


@pytest.fixture
def ran(small):
    """The blocks that ran, in their order."""
    found = []
    for index, block in enumerate(small.transformer_blocks):
        block.register_forward_pre_hook(lambda *_, index=index: found.append(index))
    return found


@pytest.mark.parametrize("mode", ["attention_values", "attention_skip", "transformer_block", "residual"])
@pytest.mark.parametrize("sigma", [0.6, torch.linspace(0, 1, 3).view(1, 1, 3, 1, 1)])
@torch.no_grad()
def test_blocks_before_the_first_that_lacks_something_run_once(bind, bound, ran, mode, sigma):
    other = bound.without(mode, (1, 2))
    for step in range(3):
        latents = torch.randn(2, 4, 3, 2, 4)
        made = bound(latents, sigma), other(latents, sigma)
        counted = ran.copy()
        assert torch.equal(made[0], bind()(latents, sigma))
        assert torch.equal(made[1], bind().without(mode, (1, 2))(latents, sigma))
        begins = [0] if step == 0 else []  # known from the first time on
        rest = [] if mode == "transformer_block" else [1, 2]
        assert counted == [0, 1, 2, *begins, *rest]
        ran.clear()


@torch.no_grad()
def test_other_latents_levels_or_blocks_are_never_taken_for_the_last(bind, bound):
    one, two = torch.randn(2, 2, 4, 3, 2, 4)
    asked = [(one, 0.6, 2), (two, 0.6, 2), (two, 0.5, 2), (one, 0.6, 1), (one, 0.6, 2), (one, 0.6, 2)]
    bound.without("attention_skip", (2,))(one, 0.6)
    bound(one, 0.6)
    for latents, sigma, layer in asked:
        expected = bind().without("attention_skip", (layer,))(latents, sigma)
        assert torch.equal(bound.without("attention_skip", (layer,))(latents, sigma), expected)
    bound(one, 0.6)
    one.add_(1)  # the same tensor, and other latents
    expected = bind().without("attention_skip", (2,))(one, 0.6)
    assert torch.equal(bound.without("attention_skip", (2,))(one, 0.6), expected)


def test_nothing_is_bound_twice(bound):
    other = bound.without("attention_skip", (1,))
    assert (other.text, other.rotation) == (bound.text, bound.rotation)
    assert not bound.left_out
    with pytest.raises(ModelError, match="no layer 3 in this transformer, whose layers are 0 to 2"):
        bound.without("attention_skip", (1, 3))
