"""Prompts mended before they are tokens. Knows no tokenizer."""

from __future__ import annotations

import html


def cleaned(prompt: str) -> str:
    """Broken letters put right, HTML entities as what they stand for, and every run of blanks as one.

    Source: Wan 2.1, its tokenizer's cleaning `whitespace`.
    """
    import ftfy

    return " ".join(html.unescape(html.unescape(ftfy.fix_text(prompt))).split())
