"""Whole tiny Wan models as diffusers folders, made with diffusers itself, and what its pipelines make of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.vgen_cli.cascade.conftest import Clip, _spread, _tokenizer

TRANSFORMER = {
    "num_attention_heads": 2, "attention_head_dim": 12, "in_channels": 16, "out_channels": 16, "text_dim": 16,
    "freq_dim": 64, "ffn_dim": 48, "num_layers": 2, "cross_attn_norm": True,
}  # fmt: skip
IMAGE = 24
TOKENS = 17
"""Of a picture of 56 x 56 pixels in patches of 14, and one for all of it."""
KINDS: dict[str, dict[str, Any]] = {
    "t2v": {},
    "i2v": {"in_channels": 36, "image_dim": IMAGE, "added_kv_proj_dim": 24},
    "flf2v": {"in_channels": 36, "image_dim": IMAGE, "added_kv_proj_dim": 24, "pos_embed_seq_len": 2 * TOKENS},
    "i2v-a14b": {"in_channels": 36},
    "ti2v": {"in_channels": 48, "out_channels": 48},
    "vace": {"vace_layers": [0, 1], "vace_in_channels": 96},
}
SCHEDULERS: dict[str, tuple[str, dict[str, Any]]] = {
    "unipc 3": ("UniPCMultistepScheduler", {"flow_shift": 3.0}),
    "unipc 5": ("UniPCMultistepScheduler", {"flow_shift": 5.0}),
    "dpm++": ("DPMSolverMultistepScheduler", {"flow_shift": 5.0}),
    "euler": ("FlowMatchEulerDiscreteScheduler", {"shift": 3.0}),
}
PIPELINES = {
    "t2v": "WanPipeline", "i2v": "WanImageToVideoPipeline", "flf2v": "WanImageToVideoPipeline",
    "i2v-a14b": "WanImageToVideoPipeline", "ti2v": "WanPipeline", "vace": "WanVACEPipeline",
}  # fmt: skip


@dataclass
class WanModel:
    """A tiny pipeline of diffusers and the folder that holds it."""

    pipeline: Any
    folder: Path
    space: int

    def as_pipeline(self, name: str, **settings: Any) -> WanModel:
        """The same weights in another pipeline class, such as the one from video to video."""
        import diffusers

        parts = {
            key: value
            for key, value in self.pipeline.components.items()
            if not key.startswith(("image_", "transformer_2"))
        }
        return WanModel(getattr(diffusers, name)(**parts, **settings), self.folder, self.space)

    def render(self, prompt: str, *, seed: int, width: int, height: int, **call: Any) -> Clip:
        """What diffusers makes, and its latents before they are decoded."""
        kept: dict[str, torch.Tensor] = {}

        def step(pipeline: Any, index: int, timestep: Any, values: dict[str, Any]) -> dict[str, Any]:
            kept.update(values)
            return {}

        frames = self.pipeline(
            prompt=prompt, width=width, height=height, generator=torch.Generator().manual_seed(seed),
            output_type="np", callback_on_step_end=step, **call,
        ).frames[0]  # fmt: skip
        length = (len(frames) - 1) // 4 + 1
        return Clip((frames * 255).round().astype(np.uint8), kept["latents"][:, :, -length:])


def _text_encoder() -> Any:
    from transformers import UMT5Config, UMT5EncoderModel

    config = UMT5Config(
        vocab_size=48, d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2, feed_forward_proj="gated-gelu",
        dropout_rate=0.0, initializer_factor=1.0,
    )  # fmt: skip
    return UMT5EncoderModel(config).eval()


def _autoencoder(kind: str) -> Any:
    import diffusers

    if kind != "ti2v":
        return diffusers.AutoencoderKLWan(base_dim=6, num_res_blocks=1)
    return diffusers.AutoencoderKLWan(
        base_dim=8, decoder_base_dim=8, z_dim=48, num_res_blocks=1, temperal_downsample=[False, True, True],
        is_residual=True, in_channels=12, out_channels=12, patch_size=2, scale_factor_spatial=16,
        latents_mean=[0.1 * (index % 7 - 3) for index in range(48)],
        latents_std=[0.5 + 0.05 * (index % 11) for index in range(48)],
    )  # fmt: skip


def _image_encoder() -> dict[str, Any]:
    from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModel

    config = CLIPVisionConfig(
        hidden_size=IMAGE, intermediate_size=48, num_hidden_layers=3, num_attention_heads=2, image_size=56,
        patch_size=14, hidden_act="gelu", projection_dim=16,
    )  # fmt: skip
    processor = CLIPImageProcessor(size={"shortest_edge": 56}, crop_size={"height": 56, "width": 56})
    return {"image_encoder": CLIPVisionModel(config).eval(), "image_processor": processor}


def make_wan(folder: Path, kind: str, scheduler: str = "unipc 3", boundary: float | None = None) -> WanModel:
    """A tiny random pipeline, saved as a folder; with a boundary it has two experts."""
    import diffusers

    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = diffusers.WanVACETransformer3DModel if kind == "vace" else diffusers.WanTransformer3DModel
        experts = [network(**{**TRANSFORMER, **KINDS[kind]}) for _ in range(2 if boundary else 1)]
        parts: dict[str, Any] = {"text_encoder": _text_encoder(), "vae": _autoencoder(kind)}
        if "image_dim" in KINDS[kind]:
            parts |= _image_encoder()
    experts = [_spread(each, generator) for each in experts]
    parts["vae"] = _spread(parts["vae"], generator)
    name, settings = SCHEDULERS[scheduler]
    plain = {} if name.startswith("Flow") else {"prediction_type": "flow_prediction", "use_flow_sigmas": True}
    extra: dict[str, Any] = {}
    if boundary:
        extra = {"transformer_2": experts[1], "boundary_ratio": boundary}
    elif kind == "ti2v":
        extra = {"expand_timesteps": True}
    made = getattr(diffusers, PIPELINES[kind])(
        tokenizer=_tokenizer(),
        scheduler=getattr(diffusers, name)(**plain, **settings),
        transformer=experts[0],
        **parts,
        **extra,
    )
    made.save_pretrained(folder)
    made.set_progress_bar_config(disable=True)
    return WanModel(made, folder, 16 if kind == "ti2v" else 8)
