"""T5 and umT5 as text encoders: prompts → features (B, L, D) and mask (B, L), on the network that transformers defines.

Its weights come through our own strict loader, so no hub and no pickle is ever touched. Knows nothing of video.
transformers is slow to import (about as slow as torch again), so only the modules of that one are, and only on use.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..errors import CheckpointError, ModelError
from .config import TOKENIZER_FILES, TextEncoderConfig

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PAD_ID, END_ID = 0, 1
"""T5's fixed ids of the padding and the end of a text."""

KEPT_FLOAT32 = ".wo."
"""Part of the names of weights that overflow in float16."""


LAYERS = ("encoder.block",)
"""Where nearly all of its weights are."""


def network(config: TextEncoderConfig) -> nn.Module:
    """An encoder without weights of its own choosing; build it under `torch.device("meta")` to load into it.

    Raises:
        ModelError: this Python has dropped the docstrings that transformers reads when it is imported.
    """
    if sys.flags.optimize > 1:
        raise ModelError("Python runs without docstrings (-OO, PYTHONOPTIMIZE=2), which transformers needs; use -O")
    values: dict[str, Any] = config.to_dict()
    del values["architectures"], values["model_type"]
    values |= {"dropout_rate": 0.0, "pad_token_id": PAD_ID, "eos_token_id": END_ID}
    module: Any = _made(config.model_type, values)
    module.encoder.embed_tokens = module.shared  # one table: some releases of transformers left two
    module.LAYERS = LAYERS
    return module


def _made(kind: str, values: dict[str, Any]) -> Any:
    if kind == "umt5":
        from transformers.models.umt5.configuration_umt5 import UMT5Config
        from transformers.models.umt5.modeling_umt5 import UMT5EncoderModel

        return UMT5EncoderModel(UMT5Config(**values))
    from transformers.models.t5.configuration_t5 import T5Config
    from transformers.models.t5.modeling_t5 import T5EncoderModel

    return T5EncoderModel(T5Config(**values))


def load_tokenizer(place: Path, spiece: bytes | None = None) -> Tokenizer:
    """A tokenizer, from a `tokenizer.json` or from T5's `spiece.model`.

    Args:
        place: one of these files, or a folder that holds one.
        spiece: the content of a `spiece.model` that was found at `place`, in place of reading it from there.

    Raises:
        CheckpointError: neither is there, or it cannot be read, or its special tokens are not T5's.
    """
    from tokenizers import Tokenizer

    from .sentencepiece import read_unigram

    path = place
    if place.is_dir():
        found = next((place / name for name in TOKENIZER_FILES if (place / name).is_file()), None)
        if found is None:
            raise CheckpointError(f"{place} holds no tokenizer: neither {' nor '.join(TOKENIZER_FILES)} is in it")
        path = found
    if spiece is not None or path.suffix == ".model":
        tokenizer = read_unigram(path.read_bytes() if spiece is None else spiece, path)
    else:
        try:
            tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises bare Exception
            raise CheckpointError(f"{path} is not a tokenizer ({error})") from error
    if (tokenizer.token_to_id("<pad>"), tokenizer.token_to_id("</s>")) != (PAD_ID, END_ID):
        raise CheckpointError(f"{path} is not a T5 tokenizer: <pad> and </s> are not its tokens {PAD_ID} and {END_ID}")
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


class TextEncoder:
    """A tokenizer and a T5 encoder.

    Args:
        network: the T5 encoder, weights in place.
        tokenizer: its tokenizer; end of text is id 1, padding id 0.
    """

    def __init__(self, network: nn.Module, tokenizer: Tokenizer) -> None:
        self.network = network
        self.tokenizer = tokenizer

    def tokens(self, prompts: Sequence[str], *, max_tokens: int, pad: bool = True) -> tuple[Tensor, Tensor]:
        """Token ids and mask.

        Args:
            prompts: texts; blanks around them do not count. An empty one is the end token alone.
            max_tokens: longer texts are cut, their last token staying the end token.
            pad: fill up to `max_tokens`; else only to the longest prompt.

        Returns:
            ids (B, L) int64 and mask (B, L) int64, 1 for tokens and 0 for padding; both on the CPU.
        """
        rows = []
        for prompt in prompts:
            ids = self.tokenizer.encode(prompt.strip(), add_special_tokens=False).ids
            rows.append([*ids[: max_tokens - 1], END_ID])
        length = max_tokens if pad else max(len(row) for row in rows)
        filled = [row + [PAD_ID] * (length - len(row)) for row in rows]
        mask = [[1] * len(row) + [0] * (length - len(row)) for row in rows]
        return torch.tensor(filled), torch.tensor(mask)

    def encode(
        self, prompts: Sequence[str], *, max_tokens: int, masked: bool = True, pad: bool = True
    ) -> tuple[Tensor, Tensor]:
        """Features of prompts.

        Args:
            prompts: B texts.
            max_tokens: L where `pad`; longer texts are cut.
            masked: hide the padding from the encoder itself; some pipelines do not, which changes every feature.
            pad: fill up to `max_tokens`; else only to the longest prompt.

        Returns:
            context (B, L, D) after the last norm, and mask (B, L), 1 for tokens and 0 for padding; both in the
            type and on the device of the network.
        """
        ids, mask = self.tokens(prompts, max_tokens=max_tokens, pad=pad)
        device = next(self.network.parameters()).device
        ids, mask = ids.to(device), mask.to(device)
        context: Tensor = self.network(
            input_ids=ids, attention_mask=mask if masked else torch.ones_like(mask)
        ).last_hidden_state
        return context, mask.to(context.dtype)
