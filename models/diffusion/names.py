"""The names of samplers and perturbations, for checking an option without torch. Knows nothing of how they work."""

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

STG_MODES: tuple[str, ...] = ("attention_values", "attention_skip", "residual", "transformer_block")
"""What spatio-temporal guidance leaves out of a block of the network.

attention_values: of self-attention, all but the values. attention_skip: self-attention, its input passing through.
residual: self-attention's own residual; LTX has none, so nothing is left out. transformer_block: the whole block.
"""
