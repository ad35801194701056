"""The transformer against diffusers, task by task; `bind` against `forward`; what is computed once."""

from __future__ import annotations

import pytest
import torch

from models.errors import ModelError, ShapeError
from models.layers.modulation import sinusoid
from models.shapes import Compression, LatentShape
from models.wan.config import TransformerConfig
from models.wan.transformer import Transformer, rotary_table

TINY = {
    "num_attention_heads": 2,
    "attention_head_dim": 12,
    "text_dim": 32,
    "freq_dim": 64,
    "ffn_dim": 48,
    "num_layers": 2,
}
PICTURES = TINY | {"in_channels": 36, "image_dim": 24, "added_kv_proj_dim": 24}
CONFIGS = {
    "t2v": TINY,
    "deep": TINY | {"num_layers": 3, "cross_attn_norm": False, "attention_head_dim": 20, "out_channels": 8},
    "i2v": PICTURES,
    "flf2v": PICTURES | {"pos_embed_seq_len": 514},
    "channels": TINY | {"in_channels": 36},
    "ti2v": TINY | {"attention_head_dim": 24, "in_channels": 48, "out_channels": 48},
    "vace": TINY | {"num_layers": 4, "vace_layers": (0, 2), "vace_in_channels": 96},
}
KEPT = {"fps": 16.0, "compression": Compression(4, 8), "causal_time": True}
SIZE = (3, 8, 10)
TEXT = 512


def drawn(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def same(made: torch.Tensor, expected: torch.Tensor) -> None:
    """To 1e-5 of the scale of what is expected."""
    assert made.shape == expected.shape
    assert (made - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.fixture
def network(shaken):
    return lambda name: shaken(Transformer(TransformerConfig(**CONFIGS[name])))


@pytest.fixture
def pair(network):
    """Our network and diffusers' own with the same weights, and the arguments that both take."""
    from diffusers import WanTransformer3DModel, WanVACETransformer3DModel

    def made(name: str, batch: int = 2) -> tuple:
        ours = network(name)
        config = ours.config
        kind = WanVACETransformer3DModel if config.vace_layers else WanTransformer3DModel
        theirs = kind(**CONFIGS[name]).eval()
        theirs.load_state_dict(ours.state_dict(), strict=True)
        context = drawn(batch, TEXT, 32)
        context[:, 7:] = 0
        given = {"context": context}
        if config.image_dim:
            given["image"] = drawn(batch, config.pos_embed_seq_len or 257, 24, seed=2)
        if config.vace_layers:
            given["control"] = drawn(batch, 96, *SIZE, seed=3)
        return ours, theirs, drawn(batch, config.in_channels, *SIZE, seed=4), given

    return made


def theirs_says(theirs, clips, timesteps, context, image=None, control=None, scale=None):
    extra = {}
    if image is not None:
        pictures = image.shape[1] // 257
        extra["encoder_hidden_states_image"] = image.reshape(len(image) * pictures, 257, -1)
    if control is not None:
        extra = {"control_hidden_states": control, "control_hidden_states_scale": torch.tensor(scale)}
    return theirs(clips, timesteps, context, **extra, return_dict=False)[0]


@pytest.mark.parametrize("name", ["t2v", "deep", "i2v", "flf2v", "channels", "ti2v"])
@torch.no_grad()
def test_it_computes_what_diffusers_computes(pair, name):
    ours, theirs, clips, given = pair(name)
    sigma = torch.tensor([0.537, 0.9])
    expected = theirs_says(theirs, clips, torch.tensor([537, 900]), **given)
    same(ours(clips, sigma, **given), expected)
    expected = theirs_says(theirs, clips, torch.tensor([937, 937]), **given)
    same(ours(clips, 0.937, **given), expected)


@pytest.mark.parametrize("scale", [1.0, 0.7, (0.5, -1.5)])
@torch.no_grad()
def test_it_follows_a_control_as_diffusers_does(pair, scale):
    ours, theirs, clips, given = pair("vace")
    scales = (scale, scale) if isinstance(scale, float) else scale
    expected = theirs_says(theirs, clips, torch.tensor([250, 800]), scale=scales, **given)
    made = ours(clips, torch.tensor([0.25, 0.8]), control_scale=scale, **given)
    same(made, expected)
    assert (made - ours(clips, torch.tensor([0.25, 0.8]), control_scale=0, **given)).abs().max() > 1e-2


@torch.no_grad()
def test_a_control_shorter_than_the_clip_ends_in_nothing(pair):
    ours, theirs, clips, given = pair("vace")
    given["control"] = given["control"][:, :, :2]
    same(ours(clips, 0.5, **given), theirs_says(theirs, clips, torch.tensor([500, 500]), scale=(1.0, 1.0), **given))


@pytest.mark.parametrize("name", ["ti2v", "t2v"])
@torch.no_grad()
def test_levels_of_their_own_are_those_of_the_first_cell_of_a_token(pair, name):
    ours, theirs, clips, given = pair(name)
    frames = torch.tensor([0.0, 0.6, 0.6]).view(1, 1, 3, 1, 1)
    anywhere = torch.rand(2, 1, *SIZE, generator=torch.Generator().manual_seed(5))
    for sigma in (frames, anywhere):
        everywhere = sigma.expand(2, 1, *SIZE)[..., ::2, ::2].flatten(1)
        expected = theirs_says(theirs, clips, 1000 * everywhere, **given)
        same(ours(clips, sigma, **given), expected)


@torch.no_grad()
def test_half_a_timestep_is_not_rounded_and_a_hair_is(pair):
    ours, theirs, clips, given = pair("t2v")
    for sigma, timestep in ((0.9375, 937.5), (torch.tensor(0.937).item(), 937.0), (0.0005, 0.5)):
        same(ours(clips, sigma, **given), theirs_says(theirs, clips, torch.full((2,), timestep), **given))
    assert torch.equal(ours(clips, 0.937 + 5e-8, **given), ours(clips, 0.937, **given))


def test_golden_sinusoid():
    made = sinusoid(torch.tensor([537.0]))[0]
    assert made[:3].tolist() == pytest.approx([-0.97754, -0.979272, 0.997749], abs=1e-5)
    assert made[128:131].tolist() == pytest.approx([0.210752, -0.20255, 0.067064], abs=1e-5)


@pytest.mark.parametrize("head", [4, 12, 20, 24, 128])
def test_the_rotary_table_is_that_of_diffusers(head):
    from diffusers.models.transformers.transformer_wan import WanRotaryPosEmbed

    cosines, sines = WanRotaryPosEmbed(head, (1, 2, 2), 1024)(torch.empty(1, 1, 21, 60, 104))
    made = rotary_table((21, 30, 52), head)
    torch.testing.assert_close(made.real, cosines[0, :, 0, ::2], atol=1e-7, rtol=0)
    torch.testing.assert_close(made.imag, sines[0, :, 0, 1::2], atol=1e-7, rtol=0)


def test_a_head_of_128_gives_time_44_channels_and_each_side_42():
    made = rotary_table((2, 2, 2), 128)
    still = (made == 1).all(dim=-1)
    assert still.tolist() == [True] + [False] * 7
    assert [int((made[token] != 1).sum()) for token in (4, 2, 1)] == [22, 21, 21]
    assert (made[4, :22] != 1).all()
    assert (made[2, 22:43] != 1).all()


# ------------------------------------------------------------------------------------------------ bound to one clip


def bound(network: Transformer, given: dict, **extra) -> object:
    kept = {key: value[:1] for key, value in given.items() if key != "context"}
    if "control" in kept:
        kept["control"] = kept["control"][0]
    shape = LatentShape(network.config.out_channels, *SIZE)
    return network.bind(given["context"][:1], None, shape, **KEPT, **kept, **extra)


@pytest.mark.parametrize("name", ["t2v", "ti2v", "vace"])
@torch.no_grad()
def test_a_bound_network_is_forward_and_serves_any_batch(pair, name):
    ours, _, clips, given = pair(name)
    velocity = bound(ours, given)
    alone = {key: value[:1].expand(2, *value.shape[1:]) for key, value in given.items()}
    levels, places = torch.tensor([0.9, 0.2]), torch.rand(2, 1, *SIZE)
    for sigma in (0.5, torch.tensor(0.5), torch.tensor([0.5]), levels, levels.view(2, 1, 1, 1, 1), places):
        same(velocity(clips, sigma), ours(clips, sigma, **alone))


@pytest.mark.parametrize("name", ["i2v", "flf2v", "channels"])
@torch.no_grad()
def test_constant_maps_follow_the_latents_own_channels(pair, name):
    ours, theirs, clips, given = pair(name, batch=1)
    velocity = bound(ours, given, maps=clips[0, 16:])
    made = velocity(clips[:, :16], 0.3)
    same(made, theirs_says(theirs, clips, torch.tensor([300]), **given))
    both = velocity(torch.cat((clips[:, :16], -clips[:, :16])), 0.3)
    same(both[:1], made)


@torch.no_grad()
def test_rows_that_a_mask_leaves_out_are_zeros(pair):
    ours, _, clips, given = pair("t2v", batch=1)
    shape, context = LatentShape(16, *SIZE), given["context"] + 1
    mask = torch.zeros(1, TEXT)
    mask[:, :5] = 1
    made = ours.bind(context, mask, shape, **KEPT)(clips, 0.5)
    context[:, 5:] = 0
    assert torch.equal(made, ours.bind(context, None, shape, **KEPT)(clips, 0.5))


@pytest.mark.parametrize("name", ["i2v", "vace"])
@torch.no_grad()
def test_text_pictures_and_control_are_read_once_and_levels_once_each(pair, name):
    ours, _, clips, given = pair(name, batch=1)
    calls = dict.fromkeys(("text", "key", "value", "picture", "control", "enter", "time"), 0)
    rows = []

    def count(module: torch.nn.Module, what: str) -> None:
        def called(_: object, inputs: tuple[torch.Tensor]) -> None:
            calls[what] += 1
            if what == "time":
                rows.append(len(inputs[0]))

        module.register_forward_pre_hook(called)

    blocks, embedder = [*ours.blocks, *getattr(ours, "vace_blocks", ())], ours.condition_embedder
    count(embedder.text_embedder, "text")
    count(embedder.time_embedder, "time")
    for block in blocks:
        count(block.attn2.to_k, "key")
        count(block.attn2.to_v, "value")
    if name == "i2v":
        count(embedder.image_embedder, "picture")
        for block in blocks:
            count(block.attn2.add_k_proj, "picture")
            count(block.attn2.add_v_proj, "picture")
    else:
        count(ours.vace_patch_embedding, "control")
        count(ours.vace_blocks[0].proj_in, "enter")
    velocity = bound(ours, given, **({"maps": clips[0, 16:]} if name == "i2v" else {}))
    before = dict(calls)
    assert before["key"] == before["value"] == len(blocks)
    assert before["text"] == 1
    assert before["picture"] == (1 + 2 * len(blocks) if name == "i2v" else 0)
    assert before["control"] == before["enter"] == (name == "vace")
    frames = torch.tensor([0.0, 0.6, 0.6]).view(1, 1, 3, 1, 1)
    for sigma in (1.0, 0.5, frames, torch.tensor([[[[[0.4]]]]])):
        velocity(clips[:, :16], sigma)
    assert calls == before | {"time": 4}
    assert rows == [1, 1, 2, 1]


@torch.no_grad()
def test_a_level_that_is_the_same_everywhere_is_one_level(pair):
    ours, _, clips, given = pair("ti2v", batch=1)
    velocity = bound(ours, given)
    assert torch.equal(velocity(clips, torch.full((1, 1, *SIZE), 0.5)), velocity(clips, 0.5))


# ------------------------------------------------------------------------------------------------ parts left out


class Perturbed:
    """diffusers' own attention with the published change before its output layer."""

    def __init__(self, mode):
        self.mode = mode

    def __call__(self, attn, hidden_states, *_, **__):
        made = attn.to_v(hidden_states) if self.mode == "attention_values" else hidden_states
        return attn.to_out[1](attn.to_out[0](made))


@pytest.mark.parametrize("layers", [(1,), (0, 2)])
@pytest.mark.parametrize("mode", ["attention_values", "attention_skip", "transformer_block"])
@torch.no_grad()
def test_what_is_left_out_of_a_block_is_what_was_published(pair, mode, layers):
    ours, theirs, clips, given = pair("deep", batch=1)
    for layer in layers:
        block = theirs.blocks[layer]
        if mode == "transformer_block":
            block.forward = lambda hidden_states, *_: hidden_states
        else:
            block.attn1.processor = Perturbed(mode)
    velocity = bound(ours, given, maps=clips[0, 8:])
    made = velocity.without(mode, layers)(clips[:, :8], 0.6)
    same(made, theirs_says(theirs, clips, torch.tensor([600]), **given))
    assert (made - velocity(clips[:, :8], 0.6)).abs().max() > 1e-3


@torch.no_grad()
def test_nothing_is_bound_twice_and_no_other_block_can_be_left_out(pair):
    ours, _, clips, given = pair("t2v", batch=1)
    velocity = bound(ours, given)
    other = velocity.without("residual", (0, 1))
    assert other.scene is velocity.scene
    assert torch.equal(other(clips, 0.6), velocity(clips, 0.6))
    with pytest.raises(ModelError, match="no layer 2 in this transformer, whose layers are 0 to 1"):
        velocity.without("attention_skip", (1, 2))


# ------------------------------------------------------------------------------------------------ what does not fit


@pytest.mark.parametrize(
    ("name", "shape", "extra", "told"),
    [
        ("t2v", (16, *SIZE), {"maps": torch.zeros(20, *SIZE)}, "16 latent channels and 20 maps"),
        ("channels", (16, *SIZE), {}, "16 latent channels and 0 maps"),
        ("channels", (16, *SIZE), {"maps": torch.zeros(20, 1, 8, 10)}, "maps .* given for latents"),
        ("t2v", (16, 3, 7, 10), {}, "10x7 cannot be cut into patches of 2x2"),
        ("t2v", (16, *SIZE), {"leading": (8,)}, "no pictures before the clip"),
        ("t2v", (16, *SIZE), {"image": torch.zeros(1, 257, 24)}, "looks at no pictures"),
        ("t2v", (16, *SIZE), {"control": torch.zeros(96, *SIZE)}, "follows no control clip"),
        ("i2v", (16, *SIZE), {"maps": torch.zeros(20, *SIZE)}, "looks at a picture; none is given"),
        ("flf2v", (16, *SIZE), {"image": torch.zeros(1, 257, 24)}, "257 picture features of 24 given, 514 of 24"),
        ("vace", (16, *SIZE), {}, "follows a control clip; none is given"),
        ("vace", (16, *SIZE), {"control": torch.zeros(96, 4, 8, 10)}, r"control \(96, 4, 8, 10\) given"),
        ("vace", (16, *SIZE), {"control": torch.zeros(32, *SIZE)}, r"\(96, 3, 8, 10\) needed"),
        ("vace", (16, *SIZE), {"control": torch.zeros(96, *SIZE), "control_scale": (1.0,)}, "1 control scales .* 2"),
    ],
)
@torch.no_grad()
def test_what_does_not_fit_is_refused(network, name, shape, extra, told):
    if name == "flf2v":
        extra = extra | {"maps": torch.zeros(20, *SIZE)}
    with pytest.raises(ShapeError, match=told):
        network(name).bind(torch.zeros(1, 4, 32), None, LatentShape(*shape), **KEPT, **extra)


@torch.no_grad()
def test_latents_of_another_shape_are_refused(pair):
    ours, _, _, given = pair("t2v", batch=1)
    with pytest.raises(ShapeError, match="bound to"):
        bound(ours, given)(torch.zeros(1, 16, 3, 8, 8), 0.5)


# ------------------------------------------------------------------------------------------------ weights


LARGE = {"num_attention_heads": 12, "ffn_dim": 8960, "num_layers": 30}
LOOKING = {"in_channels": 36, "image_dim": 1280, "added_kv_proj_dim": 5120}


@pytest.mark.parametrize(
    ("config", "parameters", "tensors"),
    [
        (LARGE, 1_418_996_800, 825),
        ({}, 14_288_491_584, 1095),
        (LOOKING, 16_394_878_784, 1303),
        (LOOKING | {"pos_embed_seq_len": 514}, 16_395_536_704, 1304),
        ({"in_channels": 36}, 14_288_901_184, 1095),
        (
            {"num_attention_heads": 24, "ffn_dim": 14336, "num_layers": 30, "in_channels": 48, "out_channels": 48},
            4_999_787_712,
            825,
        ),
        (LARGE | {"vace_layers": tuple(range(0, 30, 2))}, 2_153_972_032, 1264),
        ({"vace_layers": tuple(range(0, 40, 5))}, 17_337_592_896, 1331),
        (CONFIGS["t2v"], 25_288, 69),
        (CONFIGS["i2v"], 30_952, 87),
        (CONFIGS["flf2v"], 43_288, 88),
        (CONFIGS["ti2v"], 90_480, 69),
        (TINY | {"vace_layers": (0,)}, 43_192, 102),
    ],
)
def test_parameter_counts(config, parameters, tensors):
    with torch.device("meta"):
        network = Transformer(TransformerConfig(**config))
    assert sum(value.numel() for value in network.parameters()) == parameters
    assert len(network.state_dict()) == tensors
    assert all(value.is_meta for value in network.state_dict().values())


@pytest.mark.parametrize(
    ("config", "parameters", "tensors"),
    [({**LARGE}, 46_440_704, 27), ({}, 351_394_304, 27), (LOOKING, 403_838_464, 32)],
)
def test_parameters_of_a_block(config, parameters, tensors):
    with torch.device("meta"):
        block = Transformer(TransformerConfig(**config | {"num_layers": 1})).blocks[0]
    assert sum(value.numel() for value in block.parameters()) == parameters
    assert len(block.state_dict()) == tensors


@pytest.mark.parametrize("name", ["i2v", "vace"])
def test_gradients_reach_the_text_and_every_weight(pair, name):
    ours, _, clips, given = pair(name)
    given["context"].requires_grad_()
    ours(clips, torch.tensor([0.5, 0.9]), **given).square().mean().backward()
    assert all(value.grad is not None for value in (given["context"], *ours.parameters()))


def inside(network: Transformer) -> list[tuple[str, torch.nn.Module]]:
    """The modules in the layers that hold weights of their own and no other module."""
    places = tuple(f"{layers}." for layers in network.LAYERS)
    found = [(name, each) for name, each in network.named_modules() if name.startswith(places)]
    return [(name, each) for name, each in found if not list(each.children()) and list(each.parameters())]


@pytest.mark.parametrize("name", ["i2v", "vace"])
@torch.no_grad()
def test_weights_of_the_layers_may_come_as_they_run_and_leave_after(pair, name):
    ours, _, clips, given = pair(name)
    expected = ours(clips, 0.5, **given)
    for _, leaf in inside(ours):
        weights = [(value, value.data) for value in leaf.parameters(recurse=False)]

        def arrive(*_: object, weights=weights) -> None:
            for value, data in weights:
                value.data = data

        def leave(*_: object, weights=weights) -> None:
            for value, data in weights:
                value.data = torch.full_like(data, torch.nan)

        leave()
        leaf.register_forward_pre_hook(arrive)
        leaf.register_forward_hook(leave)
    assert torch.equal(ours(clips, 0.5, **given), expected)


@pytest.mark.parametrize("name", ["i2v", "vace"])
@torch.no_grad()
def test_linear_layers_can_be_widened_as_they_run(pair, name):
    from models.layers.linear import WideningLinear

    ours, _, clips, given = pair(name)
    expected = ours(clips, 0.5, **given)
    for name, layer in inside(ours):
        if type(layer) is torch.nn.Linear:
            ours.set_submodule(name, WideningLinear(layer))
    assert torch.equal(ours(clips, 0.5, **given), expected)


@pytest.mark.parametrize("name", ["flf2v", "vace"])
def test_what_stays_in_float32_is_what_diffusers_keeps_so(pair, name):
    ours, theirs, *_ = pair(name)
    names = list(ours.state_dict())
    kept = [key for key in names if set(key.split(".")) & set(theirs._keep_in_fp32_modules)]
    assert [key for key in names if any(part in f".{key}" for part in ours.PRECISE)] == kept


@pytest.mark.parametrize(("dtype", "least"), [(torch.float16, torch.float32), (torch.float64, torch.float64)])
def test_a_file_is_loaded_that_way(network, tmp_path, dtype, least):
    from models.checkpoint.build import load
    from models.checkpoint.parts import Part
    from models.checkpoint.save import save
    from models.checkpoint.shards import folder_tensors

    ours = network("flf2v")
    save(ours, tmp_path)
    part = Part("transformer", "transformer", "wan", tmp_path, "diffusers", ours.config, folder_tensors(tmp_path))
    for key, value in load(part, dtype=dtype).state_dict().items():
        assert value.dtype == (least if any(each in f".{key}" for each in ours.PRECISE) else dtype), key
    assert torch.equal(load(part).proj_out.weight, ours.proj_out.weight)


@pytest.mark.parametrize("name", ["i2v", "vace"])
@torch.no_grad()
def test_in_half_precision_it_stays_as_near_as_diffusers_does(pair, name):
    ours, theirs, clips, given = pair(name)
    scale = {} if name == "i2v" else {"scale": (1.0, 1.0)}
    expected = ours(clips, 0.537, **given)
    for network in (ours, theirs):
        for key, value in network.named_parameters():
            precise = any(part in f".{key}" for part in ours.PRECISE)
            value.data = value.data.to(torch.float32 if precise else torch.float16)
    half = {key: value.half() for key, value in given.items()}
    told = theirs_says(theirs, clips.half(), torch.tensor([537, 537]), **half, **scale)
    made = ours(clips, 0.537, **half)
    assert made.dtype == torch.float16
    error, usual = (made - expected).square().mean(), (told - expected).square().mean()
    assert error < 1.5 * usual < 1e-4 * expected.square().mean()
    assert torch.isfinite(ours.half()(clips, 0.537, **half)).all()


@torch.no_grad()
def test_a_network_built_on_meta_runs_once_weights_are_assigned(pair):
    ours, _, clips, given = pair("t2v")
    with torch.device("meta"):
        other = Transformer(ours.config)
    other.load_state_dict(ours.state_dict(), assign=True)
    assert torch.equal(other(clips, 0.5, **given), ours(clips, 0.5, **given))
