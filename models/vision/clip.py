"""CLIP as an image encoder: pictures → the tokens (n, L, D) that image-to-video networks read, on transformers' tower.

What is read is what its last layer is given, so that layer and the norm behind it are never run. Its weights come
through our own strict loader. Knows nothing of video.
"""

from __future__ import annotations

import sys
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import ModelError
from .config import ImageEncoderConfig

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
"""Of the colours of the pictures that CLIP was trained on, red, green, blue in [0, 1]."""

LAYERS = ("encoder.layers",)
"""Where nearly all of its weights are."""


def network(config: ImageEncoderConfig) -> nn.Module:
    """The whole tower, without weights of its own choosing; build it under `torch.device("meta")` to load into it.

    Raises:
        ModelError: this Python has dropped the docstrings that transformers reads when it is imported.
    """
    if sys.flags.optimize > 1:
        raise ModelError("Python runs without docstrings (-OO, PYTHONOPTIMIZE=2), which transformers needs; use -O")
    from transformers.models.clip.configuration_clip import CLIPVisionConfig
    from transformers.models.clip.modeling_clip import CLIPVisionModel

    values = config.to_dict()
    del values["architectures"], values["model_type"]
    model: Any = CLIPVisionModel(CLIPVisionConfig(**values))
    tower: Any = getattr(model, "vision_model", model)  # older releases have the tower inside
    tower.embeddings.position_ids = torch.arange(config.tokens, device="cpu")[None]  # it is not in files
    tower.LAYERS = LAYERS
    return tower


def drop_unread(tower: Any) -> None:
    """Take the last layer, and the norm behind it, out of a tower."""
    tower.encoder.layers = tower.encoder.layers[:-1]
    tower.post_layernorm = nn.Identity()


def cropped(pictures: Tensor, side: int) -> Tensor:
    """Pictures resized to a short side, cut to the square in their middle: `(n, 3, side, side)` float32 in [0, 1].

    Through 8 bits and Pillow's bicubic filter, as transformers' `CLIPImageProcessor` has it.

    Args:
        pictures: `(n, 3, H, W)` in [-1, 1].
    """
    from PIL import Image

    height, width = pictures.shape[-2:]
    short, long = side, int(side * max(height, width) / min(height, width))
    size = (short, long) if width <= height else (long, short)
    left, top = (size[0] - side) // 2, (size[1] - side) // 2
    made = []
    for picture in (pictures.float() * 127.5 + 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu():
        small = Image.fromarray(picture.contiguous().numpy()).resize(size, Image.Resampling.BICUBIC)
        cut = small.crop((left, top, left + side, top + side))
        made.append(torch.frombuffer(bytearray(cut.tobytes()), dtype=torch.uint8).view(side, side, 3).permute(2, 0, 1))
    return torch.stack(made).float() / 255


def squashed(pictures: Tensor, side: int) -> Tensor:
    """All of each picture in a square, its proportions given up: `(n, 3, side, side)` float32, about [0, 1].

    Source: Wan 2.1, `modules/clip.py`: bicubic without a filter against aliasing.
    """
    small = F.interpolate(pictures.float(), (side, side), mode="bicubic", align_corners=False)
    return small * 0.5 + 0.5


class ImageEncoder:
    """A CLIP vision tower that ends before its last layer.

    Args:
        network: the tower, weights in place, its unread layer dropped.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network

    def encode(self, pictures: Tensor, *, squash: bool) -> Tensor:
        """Tokens of pictures: one for the whole, then one for each patch.

        Args:
            pictures: `(n, 3, H, W)` in [-1, 1], on any device.
            squash: give the encoder all of each picture, squeezed into its square; else the square in its middle.

        Returns:
            `(n, 1 + patches, D)` in the type and on the device of the network: 257 tokens for ViT-H.
        """
        tower: Any = self.network
        side = tower.config.image_size
        weight = tower.embeddings.class_embedding
        colours = (squashed if squash else cropped)(pictures, side).to(weight.device)
        mean, std = (colours.new_tensor(each).view(3, 1, 1) for each in (MEAN, STD))
        made: Tensor = tower(pixel_values=((colours - mean) / std).to(weight.dtype)).last_hidden_state
        return made
