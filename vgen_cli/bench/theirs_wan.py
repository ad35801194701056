"""Wan's networks beside those of diffusers, stage by stage. Knows how its classes are called."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from models.catalog import BASE
from models.wan.transformer_blocks import TIMESTEPS

from ..estimate import decoded_at_once
from . import theirs
from .given import features
from .theirs import LEVEL, Run, Setting, drawn

PICTURE_TOKENS = 257
"""Of one picture, through the published image encoder."""


def _transformer(network: Any, setting: Setting) -> tuple[str, Run, Run]:
    stage, plan, located, machine = setting
    device, dtype = machine.device, machine.dtype
    config, (channels, *size) = network.config, stage.cells.as_tuple()
    text, latents = features(located.card, config.context_dim, machine).positive.context, setting.noise()
    given: dict[str, Any] = {}
    behind = config.in_channels - channels
    if behind:
        given["maps"] = drawn(device, behind, *size).to(dtype)
    if config.image_dim is not None:
        given["image"] = drawn(device, 1, config.pos_embed_seq_len or PICTURE_TOKENS, config.image_dim).to(dtype)
    if config.vace_layers:
        given["control"] = drawn(device, config.vace_in_channels, *size).to(dtype)
    bound = network.bind(
        text,
        None,
        stage.cells,
        fps=float(stage.fps),
        compression=located.card.compression,
        causal_time=located.card.causal_time,
        **given,
    )
    other = _theirs(network, dtype)
    other.rope = type(other.rope)(config.attention_head_dim, config.patch_size, config.rope_max_seq_len).to(device)
    for block in (*other.blocks, *getattr(other, "vace_blocks", ())) if plan.recipe.compile else ():
        block.compile()
    more: dict[str, Any] = {}
    if "image" in given:
        pictures = 1 if config.pos_embed_seq_len is None else 2
        more["encoder_hidden_states_image"] = given["image"].unflatten(1, (pictures, -1)).flatten(0, 1)
    if "control" in given:
        more["control_hidden_states"] = given["control"][None]
    level = torch.full((1,), TIMESTEPS * LEVEL, device=device)

    def step() -> Tensor:
        clips = latents.to(dtype)
        clips = torch.cat((clips, given["maps"][None]), 1) if behind else clips
        made: Tensor = other(clips, level, text, **more, return_dict=False)[0]
        return made.float()

    return "one step", lambda: bound(latents, LEVEL), step


def _encoder(network: Any, setting: Setting) -> tuple[str, Run, Run]:
    device, dtype = setting.machine.device, setting.machine.dtype
    pixels = setting.located.card.compression.pixels(setting.stage.cells)
    clip = drawn(device, 1, 3, pixels.frames, pixels.height, pixels.width).clamp(-1, 1)
    other = _theirs(network, dtype)

    def whole() -> Tensor:
        made: Tensor = other.encode(clip.to(dtype)).latent_dist.mode()
        return made

    return f"{pixels.frames} frames encoded", lambda: network.encode(clip).mode(), whole


def _decoder(network: Any, setting: Setting) -> tuple[str, Run, Run]:
    stage, latents = setting.stage, setting.noise()
    chunk = decoded_at_once(stage.pixels, setting.located.card.compression.time)
    other = _theirs(network, setting.machine.dtype)

    def ours() -> Tensor:
        return torch.cat(list(network.decode_stream(latents, chunk=chunk)), 2)

    def whole() -> Tensor:
        raw = network.denormalise(latents).to(setting.machine.dtype)
        made: Tensor = other.decode(raw, return_dict=False)[0]
        return made

    return f"{stage.pixels.frames} frames decoded", ours, whole


def _theirs(network: Any, dtype: torch.dtype) -> Any:
    values = network.config.to_dict()
    return theirs.network(getattr(theirs.library(), values["_class_name"]), network, dtype, **values)


SIDES = {BASE: (_transformer,), "decode": (_encoder, _decoder)}
"""Kind of a stage → what is compared of the network that runs in it."""
