"""nano's tokenizer: one token a word, lower case, from the words that captions are made of.

Built with the `tokenizers` library, saved in the layout that transformers loads. Knows no scenes and no networks.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from .captions import words

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PAD, END, UNKNOWN = "<pad>", "</s>", "<unk>"
# Marks that prompts contain and no caption does.
_EXTRA = (";", "?", "'", '"', "(", ")", "/", "’", "“", "”")


def vocabulary() -> dict[str, int]:
    """Token to id: padding 0, end 1, unknown 2, then the words in alphabetical order."""
    return {token: i for i, token in enumerate((PAD, END, UNKNOWN, *sorted({*words(), *_EXTRA})))}


def build_tokenizer() -> Tokenizer:
    """The tokenizer: lower case, split at spaces and punctuation, `</s>` at the end."""
    from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors

    tokenizer = Tokenizer(models.WordLevel(vocabulary(), unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()])
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {END}", pair=f"$A {END} $B {END}", special_tokens=[(END, tokenizer.token_to_id(END))]
    )
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in (PAD, END, UNKNOWN)])
    return tokenizer


def save(folder: Path | str) -> None:
    """Write `tokenizer.json` and `tokenizer_config.json`, so that transformers' AutoTokenizer loads the folder."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.json").write_text(build_tokenizer().to_str(pretty=True), encoding="utf-8")
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "pad_token": PAD,
        "eos_token": END,
        "unk_token": UNKNOWN,
        "padding_side": "right",
        "truncation_side": "right",
        "model_max_length": 64,
        "clean_up_tokenization_spaces": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
