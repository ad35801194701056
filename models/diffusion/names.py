"""The names of the samplers, for checking an option without torch. Knows nothing of how they work."""

from __future__ import annotations

SAMPLER_NAMES: tuple[str, ...] = (
    "euler",
    "euler_ancestral",
    "euler_stochastic",
    "ddim",
    "ddpm",
    "heun",
    "dpmpp_2m",
    "unipc",
)
"""Keys of `models.diffusion.samplers.SAMPLERS`, in the order in which help lists them."""
