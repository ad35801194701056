"""A line of a .txt prompt file: a prompt, then options in the common form `--w 832 --h 480 --n blurry`.

Knows how such a line is written, and not what an option means.
"""

from __future__ import annotations

import re

SHORT = {
    "w": "width",
    "h": "height",
    "f": "num_frames",
    "d": "seed",
    "s": "steps",
    "g": "guidance_scale",
    "n": "negative_prompt",
    "i": "image",
}
"""The one-letter options that prompt files of other tools share."""

_LETTER = r"[^\W\d_]"
# Two dashes after a blank and before a letter; "a man -- tall", "well--known" and "--5" are words of a prompt.
_OPTION = re.compile(rf"(?:^|(?<=\s))--({_LETTER}[\w-]*)=?")
_IN_QUOTES = re.compile(rf"""\s*(["'])((?:(?!\1).)*)\1(?:\s+(?=--{_LETTER})|\s*$)""", re.DOTALL)


def split(line: str) -> dict[str, str | bool | list[str | bool]]:
    """The prompt and the options of a line: name → text, True where nothing follows, a list where it is repeated.

    A text runs to the next option; one that stands in quotes from end to end loses them and may hold anything.
    """
    found: dict[str, list[str | bool]] = {}
    name, place = "prompt", 0
    while True:
        quoted = _IN_QUOTES.match(line, place)
        option = _OPTION.search(line, quoted.end() if quoted else place)
        said = quoted[2] if quoted else line[place : option.start() if option else None].strip()
        if said or quoted or name != "prompt" or place:
            found.setdefault(name, []).append(said if said or quoted else True)
        if option is None:
            return {each: values[0] if len(values) == 1 else values for each, values in found.items()}
        name, place = SHORT.get(option[1].lower(), option[1]), option.end()
