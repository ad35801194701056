"""Statistics and the tone map of latents, against diffusers and by what they promise."""

from __future__ import annotations

import torch

from models.diffusion.latents import adain, tone_map


def test_adain_gives_the_statistics_of_the_reference():
    x, reference = torch.randn(2, 3, 4, 4, 4) * 3 + 1, torch.randn(2, 3, 2, 4, 4) * 0.5 - 2
    made = adain(x, reference)
    for mine, theirs in zip(torch.std_mean(made, (2, 3, 4)), torch.std_mean(reference, (2, 3, 4)), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-5)
    assert torch.equal(adain(x, reference, 0.0), x)
    torch.testing.assert_close(adain(x, reference, 0.25), x + 0.25 * (made - x))


def test_adain_and_tone_map_are_those_of_diffusers():
    from diffusers.pipelines.ltx.pipeline_ltx_latent_upsample import LTXLatentUpsamplePipeline as Theirs

    x, reference = torch.randn(2, 3, 4, 4, 4) * 2, torch.randn(2, 3, 2, 4, 4)
    expected = Theirs.adain_filter_latent(None, x.clone(), reference, 0.7)
    torch.testing.assert_close(adain(x, reference, 0.7), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(tone_map(x, 0.6), Theirs.tone_map_latents(None, x, 0.6))


def test_adain_of_constant_latents_is_finite():
    assert adain(torch.ones(1, 1, 2, 2, 2), torch.randn(1, 1, 2, 2, 2)).isfinite().all()


def test_tone_mapping_presses_large_values_only():
    x = torch.tensor([-6.0, 0.0, 0.1, 6.0])
    assert torch.equal(tone_map(x, 0.0), x)
    pressed = tone_map(x, 0.6)
    assert pressed[1] == 0
    assert pressed[0] == -pressed[3]
    assert (pressed[3] / 6) < (pressed[2] / 0.1) < 1
