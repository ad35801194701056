"""The shape of a CLIP image encoder as a frozen record, from a `config.json` or the shapes of a bare weight file.

And its tensors in files → ours, whose names are transformers'. Knows no tensors: importing it costs nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, NamedTuple

from ..errors import UnsupportedConfigError
from ..keymap import KeyMap, Shape, count

CLASSES = ("CLIPVisionModel", "CLIPVisionModelWithProjection")
"""`architectures` of a config.json whose vision tower this is."""

ORIGINAL_MAP = KeyMap(
    then=(
        ("^cls_embedding", "^embeddings.class_embedding"),
        ("^pos_embedding", "^embeddings.position_embedding.weight"),
        ("^patch_embedding", "^embeddings.patch_embedding"),
        ("^pre_norm", "^pre_layrnorm"),
        ("^post_norm", "^post_layernorm"),
        ("^transformer", "^encoder.layers"),
        ("norm1", "layer_norm1"),
        ("norm2", "layer_norm2"),
        ("attn.proj", "self_attn.out_proj"),
        ("attn.to_qkv", "self_attn.qkv_proj"),
        ("mlp.0", "mlp.fc1"),
        ("mlp.2", "mlp.fc2"),
    )
)
"""Names in the file of the encoder that Wan was published with; the three projections lie in one tensor there."""
_FUSED, _PROJECTIONS = ".qkv_proj.", (".q_proj.", ".k_proj.", ".v_proj.")

_PATHS = ("embeddings.", "pre_layrnorm.", "encoder.", "post_layernorm.")
_UNUSED = ("embeddings.position_ids",)
UNUSED = ("visual_projection.", "text_projection.", "text_model.", "textual.", "logit_scale", "log_scale")
"""Beginnings of names beside the tower in files of a whole CLIP; nothing here reads them."""
_FIRST, _FIRST_ORIGINAL = "embeddings.class_embedding", "cls_embedding"
HEADS = 16
"""Of the published encoders of every size, which no shape tells."""


PROCESSOR: Mapping[str, Any] = {
    "do_center_crop": True, "do_normalize": True, "do_rescale": True, "do_resize": True, "resample": 3,
    "image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711],
}  # fmt: skip
"""What the `preprocessor_config.json` beside an encoder says of how it is shown a picture, which is followed."""


@dataclass(frozen=True)
class ImageEncoderConfig:
    """A CLIP vision tower; the defaults are OpenCLIP's ViT-H/14. Field names are transformers' `CLIPVisionConfig`."""

    hidden_size: int = 1280
    intermediate_size: int = 5120
    num_hidden_layers: int = 32
    num_attention_heads: int = 16
    num_channels: int = 3
    image_size: int = 224
    patch_size: int = 14
    hidden_act: str = "gelu"
    layer_norm_eps: float = 1e-5

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name == "hidden_act":
                if value not in ("gelu", "quick_gelu"):
                    raise UnsupportedConfigError(f"hidden_act = {value!r} is not implemented")
            elif each.name == "layer_norm_eps":
                if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1:
                    raise UnsupportedConfigError(f"layer_norm_eps must be a small number, not {value!r}")
            elif type(value) is not int or value < 1:
                raise UnsupportedConfigError(f"{each.name} must be a whole number above zero, not {value!r}")
        if self.num_channels != 3 or self.hidden_size % self.num_attention_heads or self.patch_size > self.image_size:
            raise UnsupportedConfigError(
                f"num_channels = {self.num_channels}, hidden_size = {self.hidden_size} in {self.num_attention_heads} "
                f"heads, patches of {self.patch_size} in {self.image_size} pixels do not make an image encoder"
            )
        if self.num_hidden_layers < 2:
            raise UnsupportedConfigError(
                "num_hidden_layers must be 2 or more: what is read is what the last one is given"
            )

    @property
    def tokens(self) -> int:
        """Of one picture: its patches and one for the whole."""
        return (self.image_size // self.patch_size) ** 2 + 1

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ImageEncoderConfig:
        """The record of a parsed `config.json`, of the tower alone or of a whole CLIP.

        Raises:
            UnsupportedConfigError: another kind of model, or a value that is not implemented.
        """
        inner = data.get("vision_config")
        data = inner if isinstance(inner, Mapping) else data
        kind = data.get("model_type", "clip_vision_model")
        if kind != "clip_vision_model":
            raise UnsupportedConfigError(f"model_type is {kind!r}; the image encoder here is 'clip_vision_model'")
        # transformers' own defaults are those of its smallest CLIP, and configurations leave defaults out.
        plain = {
            "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12,
            "patch_size": 32, "hidden_act": "quick_gelu",
        }  # fmt: skip
        known = {each.name for each in fields(cls)}
        return cls(**{**plain, **{key: value for key, value in data.items() if key in known}})

    def to_dict(self) -> dict[str, Any]:
        """The record as transformers writes it."""
        return {"architectures": [CLASSES[0]], "model_type": "clip_vision_model", **asdict(self)}


def not_followed(processor: Mapping[str, Any], side: int) -> list[str]:
    """The keys of a parsed `preprocessor_config.json` that ask for what is not done to a picture here.

    Args:
        processor: parsed; a key that is missing asks for nothing.
        side: of the square that the encoder sees, in pixels.
    """
    square = {"height": side, "width": side}
    known = {**{key: [value] for key, value in PROCESSOR.items()}, "size": [{"shortest_edge": side}, side]}
    known["crop_size"] = [square, side]
    return [key for key, values in known.items() if processor.get(key, values[0]) not in values]


class Piece(NamedTuple):
    """Where a tensor of ours lies in a file: a run of the rows of a tensor there, seen in a shape of our own.

    Attributes:
        name: in the file.
        shape: ours.
        piece: which of how many equal runs it is; `(0, 1)` is all of it.
    """

    name: str
    shape: Shape
    piece: tuple[int, int] = (0, 1)


def encoder_prefix(names: Iterable[str]) -> str | None:
    """What stands in front of an image encoder's names in a file; None when the file holds none."""
    known = list(names)
    for first in (_FIRST, _FIRST_ORIGINAL):
        found = min((name for name in known if f".{name}".endswith(f".{first}")), key=len, default=None)
        if found is not None:
            return found.removesuffix(first)
    return None


def encoder_names(shapes: Mapping[str, Shape], prefix: str) -> dict[str, Piece]:
    """Our name → where it lies, for the tensors of an image encoder that have this prefix.

    Takes transformers' names (`vision_model.` is part of the prefix) and those of Wan's own file (`visual.`). All of
    the tower is taken, its last layer and its last norm too, though they are never run: a file without them is cut
    short. What is behind the tower (a projection, a text tower) is left out.
    """
    cut = {name[len(prefix) :]: shape for name, shape in shapes.items() if name.startswith(prefix)}
    original = _FIRST_ORIGINAL in cut
    found: dict[str, Piece] = {}
    for name, shape in cut.items():
        ours = (ORIGINAL_MAP.ours(name) or "") if original else name
        if not ours.startswith(_PATHS) or ours.startswith(_UNUSED):
            continue
        if _FUSED in ours:
            for index, own in enumerate(_PROJECTIONS):
                third = Piece(prefix + name, (shape[0] // 3, *shape[1:]), (index, 3))
                found[ours.replace(_FUSED, own)] = third
        elif original and ours.startswith(("embeddings.class", "embeddings.position")):
            found[ours] = Piece(prefix + name, tuple(side for side in shape if side != 1))
        else:
            found[ours] = Piece(prefix + name, shape)
    return found


def shapes_config(shapes: Mapping[str, Shape]) -> ImageEncoderConfig:
    """The configuration that the shapes of a bare weight file imply, under our names.

    Raises:
        UnsupportedConfigError: a tensor that settles it is missing, or shapes that fit no encoder.
    """
    try:
        width, _, patch = shapes["embeddings.patch_embedding.weight"][:3]
        positions = shapes["embeddings.position_embedding.weight"][0]
        return ImageEncoderConfig(
            hidden_size=width,
            intermediate_size=shapes["encoder.layers.0.mlp.fc1.weight"][0],
            num_hidden_layers=count(shapes, "encoder.layers"),
            num_attention_heads=HEADS,
            image_size=patch * math.isqrt(positions - 1),
            patch_size=patch,
        )
    except (KeyError, IndexError, ValueError) as error:
        raise UnsupportedConfigError(f"the image encoder lacks tensors that tell its shape ({error})") from error
