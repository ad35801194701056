"""Prompts are mended as diffusers' Wan pipelines mend them."""

import pytest
from diffusers.pipelines.wan.pipeline_wan import prompt_clean

from models.text.cleaning import cleaned

PROMPTS = (
    "", " a  cat\n\ton   a mat ", "schÃ¶n âœ” No problems", "fish &amp;amp; chips &lt;3", "&amp;lt;b&amp;gt;",
    "“quotes” ﬁne…", "色调艳丽，过曝，静态", "a\u00a0b\u3000c\x1fd", "&nbsp;x&nbsp;", "100% <i>raw</i> &unknown;",
)  # fmt: skip


@pytest.mark.parametrize("prompt", PROMPTS)
def test_equal_to_diffusers(prompt):
    assert cleaned(prompt) == prompt_clean(prompt)
    assert cleaned(cleaned(prompt)) == prompt_clean(prompt_clean(prompt))


def test_what_it_is_for():
    assert cleaned(" schÃ¶n &amp;amp;\n fine ") == "schön & fine"
