"""What autoencoders of all families share: the distribution over latents. Their face is tested with each family."""

from __future__ import annotations

import torch

from models.layers.autoencoding import Posterior, draw


def test_a_posterior_is_drawn_as_diffusers_draws_it():
    from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

    mean, logvar = torch.randn(2, 4, 2, 1, 1), torch.randn(2, 4, 2, 1, 1)
    theirs = DiagonalGaussianDistribution(torch.cat((mean, logvar), dim=1))
    ours = Posterior(mean, logvar)
    expected = theirs.sample(torch.Generator().manual_seed(3))
    torch.testing.assert_close(ours.sample(torch.Generator().manual_seed(3)), expected)
    assert torch.equal(ours.mode(), mean)


def test_noise_is_drawn_in_the_precision_of_what_it_is_for():
    like = torch.zeros(1, dtype=torch.float64)
    drawn = draw((2, 3), torch.Generator().manual_seed(5), like)
    assert drawn.dtype == torch.float64
    assert torch.equal(drawn, torch.randn(2, 3, generator=torch.Generator().manual_seed(5), dtype=torch.float64))
