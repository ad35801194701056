"""Latent upsamplers against golden values and diffusers."""

from __future__ import annotations

import pytest
import torch

from models.ltx.config import UpsamplerConfig
from models.ltx.upsampler import Upsampler, enlarge

TINY = {"in_channels": 4, "mid_channels": 32, "num_blocks_per_stage": 1}
SPATIAL = {"spatial_upsample": True, "temporal_upsample": False}
TEMPORAL = {"spatial_upsample": False, "temporal_upsample": True}
BOTH = {"spatial_upsample": True, "temporal_upsample": True}
FLAT = SPATIAL | {"dims": 2}


@torch.no_grad()
def test_golden_spatial(fill, wave, matches):
    made = fill(Upsampler(UpsamplerConfig(**TINY, **SPATIAL)))(wave(1, 4, 3, 2, 2))
    assert made.shape == (1, 4, 3, 4, 4)
    matches(made, 0.024425, 0.017161, [-0.00257, -0.00384, -0.00349, -0.00179], [0.04656, 0.04581])


@torch.no_grad()
def test_golden_temporal(fill, wave, matches):
    made = fill(Upsampler(UpsamplerConfig(**TINY, **TEMPORAL)))(wave(1, 4, 3, 2, 2))
    assert made.shape == (1, 4, 5, 2, 2)
    matches(made, 0.023662, 0.017650, [-0.00220, -0.00318, -0.00378, -0.00331], [0.04217, 0.04152])


@pytest.mark.parametrize("kind", [SPATIAL, TEMPORAL, BOTH, FLAT])
@pytest.mark.parametrize("batch", [1, 2])
@torch.no_grad()
def test_it_computes_what_diffusers_computes(kind, batch):
    from diffusers.pipelines.ltx.modeling_latent_upsampler import LTXLatentUpsamplerModel

    torch.manual_seed(0)
    theirs = LTXLatentUpsamplerModel(**TINY, **kind).eval()
    ours = Upsampler(UpsamplerConfig.from_dict(dict(theirs.config))).eval()
    ours.load_state_dict(theirs.state_dict())
    latents = torch.randn(batch, 4, 3, 4, 6)
    torch.testing.assert_close(ours(latents), theirs(latents), atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", [SPATIAL, TEMPORAL, BOTH, FLAT])
@torch.no_grad()
def test_with_residual_the_enlarged_latents_are_added(kind):
    plain = Upsampler(UpsamplerConfig(**TINY, **kind))
    residual = Upsampler(UpsamplerConfig(**TINY, **kind, residual=True))
    residual.load_state_dict(plain.state_dict())
    latents = torch.randn(2, 4, 3, 2, 2)
    enlarged = enlarge(latents, plain.time, plain.space)
    torch.testing.assert_close(residual(latents), plain(latents) + enlarged)


@torch.no_grad()
def test_latents_keep_their_precision():
    network = Upsampler(UpsamplerConfig(**TINY, **BOTH)).double()
    assert network(torch.randn(1, 4, 2, 2, 2)).dtype == torch.float32


def test_enlarging_repeats_pixels_and_puts_means_between_frames():
    x = torch.tensor([0.0, 4.0, 6.0]).view(1, 1, 3, 1, 1).expand(-1, -1, -1, 1, 2)
    made = enlarge(x, 2, 2)
    assert made.shape == (1, 1, 5, 2, 4)
    assert made[0, 0, :, 1, 3].tolist() == [0, 2, 4, 5, 6]
    corner = enlarge(torch.arange(4.0).view(1, 1, 1, 2, 2), 1, 2)[0, 0, 0]
    assert corner.tolist() == [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]]
    single = torch.ones(1, 1, 1, 2, 2)
    assert torch.equal(enlarge(single, 2, 1), single)


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [
        (SPATIAL, 126_250_624),
        (TEMPORAL, 130_968_192),
        (BOTH, 173_438_592),
        (FLAT, 48_393_856),
        (TINY | SPATIAL, 154_980),
        (TINY | TEMPORAL, 173_348),
    ],
)
def test_parameter_counts(kind, parameters):
    with torch.device("meta"):
        network = Upsampler(UpsamplerConfig(**kind))
    assert sum(value.numel() for value in network.parameters()) == parameters
    assert len(network.state_dict()) == (24 if "mid_channels" in kind else 72)
