"""The shape of a T5 or umT5 encoder as a frozen record, from a `config.json` or the shapes of a bare weight file.

And the names of its tensors in files → ours, which are transformers'. Knows no tensors: importing it costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from ..errors import UnsupportedConfigError
from ..keymap import KeyMap

Shape = tuple[int, ...]

ARCHITECTURES = {"t5": "T5EncoderModel", "umt5": "UMT5EncoderModel"}
"""Kind of encoder, which is also its family → transformers' class. An umT5 has a table of positions in every layer."""

SPIECE = "spiece_model"
"""The tensor of bytes in which some files of an encoder carry the sentencepiece model of its tokenizer."""
UNUSED = ("decoder.", "lm_head.", "logit_scale", SPIECE)
"""Tensors of a whole T5, or of a file of parts, that its encoder alone does not have."""
EMBEDDINGS = ("shared.weight", "encoder.embed_tokens.weight")
"""The two names that files give to the one table of token embeddings; ours is the first."""

TOKENIZER_FILES = ("tokenizer.json", "spiece.model")
"""What a tokenizer's folder must hold one of."""

ORIGINAL_MAP = KeyMap(
    then=(
        ("^token_embedding", "^shared"),
        ("^norm", "^encoder.final_layer_norm"),
        ("^blocks", "^encoder.block"),
        ("norm1", "layer.0.layer_norm"),
        ("norm2", "layer.1.layer_norm"),
        ("pos_embedding.embedding", "layer.0.SelfAttention.relative_attention_bias"),
        ("attn", "layer.0.SelfAttention"),
        ("ffn.gate.0", "layer.1.DenseReluDense.wi_0"),
        ("ffn.fc1", "layer.1.DenseReluDense.wi_1"),
        ("ffn.fc2", "layer.1.DenseReluDense.wo"),
    )
)
"""Names in the files of the umT5 encoder that Wan was published with."""

_FIRST = "encoder.block.0.layer.0.SelfAttention"
_SECOND = "encoder.block.1.layer.0.SelfAttention.relative_attention_bias.weight"
_FIRST_ORIGINAL = ORIGINAL_MAP.original(f"{_FIRST}.relative_attention_bias.weight")
_WORDS = {"feed_forward_proj": ("relu", "gated-gelu"), "model_type": tuple(ARCHITECTURES)}


@dataclass(frozen=True)
class TextEncoderConfig:
    """A T5 or umT5 encoder; the defaults are T5 v1.1 XXL. Field names are those of transformers' `T5Config`."""

    vocab_size: int = 32128
    d_model: int = 4096
    d_kv: int = 64
    d_ff: int = 10240
    num_layers: int = 24
    num_heads: int = 64
    relative_attention_num_buckets: int = 32
    relative_attention_max_distance: int = 128
    layer_norm_epsilon: float = 1e-6
    feed_forward_proj: str = "gated-gelu"
    model_type: str = "t5"

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name in _WORDS:
                if value not in _WORDS[each.name]:
                    raise UnsupportedConfigError(f"{each.name} = {value!r} is not implemented")
            elif isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
                raise UnsupportedConfigError(f"{each.name} must be a number above zero, not {value!r}")
            elif each.name != "layer_norm_epsilon" and not isinstance(value, int):
                raise UnsupportedConfigError(f"{each.name} must be a whole number, not {value!r}")
        object.__setattr__(self, "layer_norm_epsilon", float(self.layer_norm_epsilon))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TextEncoderConfig:
        """The record of a parsed `config.json`; what only concerns generation and training is ignored.

        Raises:
            UnsupportedConfigError: another kind of model, or a value that is not implemented.
        """
        kind = data.get("model_type", "t5")
        if kind not in ARCHITECTURES:
            raise UnsupportedConfigError(f"model_type is {kind!r}; known: {', '.join(ARCHITECTURES)}")
        if "d_model" not in data:
            raise UnsupportedConfigError("d_model is missing, so this is no T5 configuration")
        # Older files say only `relu` or nothing; transformers' own defaults are the small T5's, or the small umT5's.
        plain = {"vocab_size": 32128, "d_ff": 2048, "num_layers": 6, "num_heads": 8, "feed_forward_proj": "relu"}
        if kind == "umt5":
            plain = {
                "vocab_size": 250112, "d_ff": 1024, "num_layers": 8, "num_heads": 6, "feed_forward_proj": "gated-gelu",
            }  # fmt: skip
        known = {each.name for each in fields(cls)}
        return cls(**{**plain, **{key: value for key, value in data.items() if key in known}})

    def to_dict(self) -> dict[str, Any]:
        """The record as transformers writes it."""
        return {"architectures": [ARCHITECTURES[self.model_type]], **asdict(self)}


def encoder_prefix(names: Iterable[str]) -> str | None:
    """What stands in front of an encoder's names in a file, mostly nothing; None when the file holds none."""
    for first in (f".{_FIRST}.q.weight", f".{_FIRST_ORIGINAL}"):
        found = min((name for name in names if f".{name}".endswith(first)), key=len, default=None)
        if found is not None:
            return found.removesuffix(first[1:])
    return None


def encoder_names(names: Iterable[str], prefix: str = "") -> dict[str, str]:
    """Our name → name in the file for the tensors of an encoder that have this prefix; of transformers' or Wan's."""
    cut = {name[len(prefix) :]: name for name in names if name.startswith(prefix)}
    if _FIRST_ORIGINAL in cut:
        return {ORIGINAL_MAP.ours(short) or "": name for short, name in cut.items() if not short.startswith(UNUSED)}
    chosen = {short: name for short, name in cut.items() if not short.startswith(UNUSED)}
    stored = [chosen.pop(name) for name in EMBEDDINGS if name in chosen]
    return {EMBEDDINGS[0]: stored[0], **chosen} if stored else chosen


def shapes_config(shapes: Mapping[str, Shape]) -> TextEncoderConfig:
    """The configuration that the shapes of a bare weight file imply, under our names.

    Raises:
        UnsupportedConfigError: a tensor that settles it is missing.
    """
    start = "encoder.block."
    try:
        buckets, heads = shapes[f"{_FIRST}.relative_attention_bias.weight"]
        gated = "encoder.block.0.layer.1.DenseReluDense.wi_0.weight" in shapes
        leaf = "wi_0" if gated else "wi"
        return TextEncoderConfig(
            vocab_size=shapes[EMBEDDINGS[0]][0],
            d_model=shapes[EMBEDDINGS[0]][1],
            d_kv=shapes[f"{_FIRST}.q.weight"][0] // heads,
            d_ff=shapes[f"encoder.block.0.layer.1.DenseReluDense.{leaf}.weight"][0],
            num_layers=1 + max(int(name[len(start) :].split(".")[0]) for name in shapes if name.startswith(start)),
            num_heads=heads,
            relative_attention_num_buckets=buckets,
            feed_forward_proj="gated-gelu" if gated else "relu",
            model_type="umt5" if _SECOND in shapes else "t5",
        )
    except (KeyError, IndexError, ValueError, ZeroDivisionError) as error:
        raise UnsupportedConfigError(f"the text encoder lacks tensors that tell its shape ({error})") from error
