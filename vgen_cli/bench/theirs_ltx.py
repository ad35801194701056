"""LTX-Video's networks beside those of diffusers, stage by stage. Knows how its classes are called."""

from __future__ import annotations

import importlib
from typing import Any

import torch
from einops import rearrange
from torch import Tensor

from models.catalog import BASE, SPATIAL, TEMPORAL, ModelCard
from models.ltx.transformer import TIMESTEPS, video_coordinates
from models.nano.maps import coordinate_maps

from ..estimate import decoded_at_once
from ..plan import StagePlan
from . import theirs
from .given import features
from .theirs import LEVEL, Run, Setting


def _transformer(network: Any, setting: Setting) -> tuple[str, Run, Run]:
    stage, plan, located, machine = setting
    card, cells = located.card, stage.cells
    text = features(card, network.config.context_dim, machine).positive
    maps = None
    if card.coordinate_maps:
        maps = coordinate_maps(cells, (), time=card.compression.time).to(machine.device)
    latents = setting.noise()
    bound = network.bind(
        text.context,
        text.mask,
        cells,
        fps=float(stage.fps),
        compression=card.compression,
        causal_time=card.causal_time,
        maps=maps,
    )
    other = _theirs(theirs.library().LTXVideoTransformer3DModel, network, machine.dtype)
    for block in other.transformer_blocks if plan.recipe.compile else ():
        block.compile()
    size: dict[str, Any] = {"num_frames": cells.frames, "height": cells.height, "width": cells.width}
    size |= _places(stage, card, machine.device)

    def step() -> Tensor:
        whole = latents if maps is None else torch.cat((latents, maps[None].to(latents)), 1)
        tokens = rearrange(whole, "B C T H W -> B (T H W) C").to(machine.dtype)
        level = torch.full((1,), TIMESTEPS * LEVEL, device=machine.device)
        made = other(tokens, text.context, level, text.mask, **size, return_dict=False)[0]
        places = {"T": cells.frames, "H": cells.height, "W": cells.width}
        return rearrange(made, "B (T H W) C -> B C T H W", **places).float()

    return "one step", lambda: bound(latents, LEVEL), step


def _places(stage: StagePlan, card: ModelCard, device: torch.device) -> dict[str, Any]:
    """Where the tokens are, as their transformer takes it."""
    if card.causal_time:
        places = video_coordinates(stage.cells, float(stage.fps), card.compression, True)
        return {"video_coords": places[None].to(device)}
    scale = card.compression.time / float(stage.fps)
    return {"rope_interpolation_scale": (scale, card.compression.space, card.compression.space)}


def _decoder(network: Any, setting: Setting) -> tuple[str, Run, Run]:
    stage, card, latents = setting.stage, setting.located.card, setting.noise()
    chunk = decoded_at_once(stage.pixels, card.compression.time)
    other = _theirs(theirs.library().AutoencoderKLLTXVideo, network, setting.machine.dtype)
    timestep = card.decode_timestep
    level = None if timestep is None else torch.full((1,), timestep, device=latents.device)

    def ours() -> Tensor:
        return torch.cat(list(network.decode_stream(latents, timestep, chunk=chunk)), 2)

    def whole() -> Tensor:
        raw = network.denormalise(latents).to(setting.machine.dtype)
        made: Tensor = other.decode(raw, level, return_dict=False)[0]
        return made

    return f"{stage.pixels.frames} frames decoded", ours, whole


def _upsampler(network: Any, setting: Setting) -> tuple[str, Run, Run]:
    stages = setting.plan.stages
    before = setting._replace(stage=stages[stages.index(setting.stage) - 1])
    latents = before.noise().to(setting.machine.dtype)
    room = importlib.import_module("diffusers.pipelines.ltx.modeling_latent_upsampler")
    other = _theirs(room.LTXLatentUpsamplerModel, network, setting.machine.dtype)
    return f"to {setting.stage.pixels}", lambda: network(latents), lambda: other(latents)


def _theirs(kind: Any, network: Any, dtype: torch.dtype) -> Any:
    values = {key: each for key, each in network.config.to_dict().items() if key not in network.config.EXTENSIONS}
    return theirs.network(kind, network, dtype, **values)


SIDES = {BASE: (_transformer,), TEMPORAL: (_upsampler,), SPATIAL: (_upsampler,), "decode": (_decoder,)}
"""Kind of a stage → what is compared of the network that runs in it."""
