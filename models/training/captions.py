"""A scene in words: many phrasings of plain English, some of them kept back for evaluation only.

Fills the templates of `phrases.py`. Knows no pixels and no token ids; `words()` is everything that a caption can
contain, which is what the tokenizer is built from.
"""

from __future__ import annotations

import random
import re
import zlib
from collections.abc import Sequence

from .phrases import (
    ADVERBS,
    ARTICLES,
    BACKDROP_WORDS,
    BEFORE_NOUN,
    CLAUSES,
    COLOUR_WORDS,
    EVERYDAY,
    FILLERS,
    HELD_OUT_TEMPLATES,
    MOTION_WORDS,
    NOUNS,
    OBJECT_ALONE,
    OPENERS,
    PREPOSITIONS,
    SIZE_WORDS,
    TEMPLATES,
    VERBS,
    WITHOUT_BACKDROP,
    WITHOUT_MOTION,
)
from .world import COLOURS, Scene

_WORD = re.compile(r"\w+|[^\w\s]")
_IRREGULAR = {"is": "be", "does": "", "goes": "go", "flies": "fly"}
_VOWEL = re.compile(r"[aeio]|u(?!ni)")


def _common(rng: random.Random, options: Sequence[str]) -> str:
    """One of `options`, the first ones more often."""
    return options[int(len(options) * rng.random() ** 1.8)]


def reserved(first: str, second: str) -> bool:
    """Whether two phrases meet in held-out captions only: one pair in six, everyday phrases never."""
    if not second or first in EVERYDAY or second in EVERYDAY:
        return False
    return zlib.crc32(f"{first}|{second}".encode()) % 6 == 5


def _plain_form(does: str) -> str:
    """The form after "will" of the form after "it": of "moves", "move"."""
    verb, _, rest = does.partition(" ")
    if verb in _IRREGULAR:
        return f"{_IRREGULAR[verb]} {rest}".strip()
    return f"{verb[: -2 if verb.endswith(('shes', 'sses')) else -1]} {rest}".strip()


def _with_article(article: str, phrase: str, rng: random.Random) -> str:
    plural = phrase.endswith("stripes") and " with " not in phrase and not phrase.startswith("background")
    if not article or (plural and article != "the"):
        return phrase
    if article == "a" and _VOWEL.match(phrase) and rng.random() > 0.12:
        article = "an"
    return f"{article} {phrase}"


class _Slots:
    """The slots of a template, each phrased when a template asks for it."""

    def __init__(self, scene: Scene, rng: random.Random, held_out: bool) -> None:
        self.scene, self.rng, self.held_out = scene, rng, held_out

    def __getitem__(self, slot: str) -> str:
        return str(getattr(self, slot)())

    def of(self) -> str:
        return _common(self.rng, OPENERS)

    def bare(self, *before: str) -> str:
        """The object: size, colour and noun, after whatever comes `before` them."""
        rng, scene = self.rng, self.scene
        noun = _common(rng, NOUNS[scene.shape]) if rng.random() < 0.6 else scene.shape
        colour = scene.colour if rng.random() < 0.85 else _common(rng, COLOUR_WORDS[scene.colour])
        size = _common(rng, SIZE_WORDS[scene.size]) if rng.random() < 0.6 else ""
        order = rng.random()
        if order < 0.03:
            words = (*before, size, noun, rng.choice(("that is", "in", "colored", "coloured")), scene.colour)
        elif order < 0.05 and not self.held_out:
            words = (*before, size, noun)
        elif order < 0.12:
            words = (*before, colour, size, noun)
        elif order < 0.16:
            words = (size, colour, *before, noun)
        else:
            words = (*before, size, colour, noun)
        return " ".join(filter(None, words))

    def being(self) -> str:
        """The object as a sentence about its colour."""
        size = f"{_common(self.rng, SIZE_WORDS[self.scene.size])} " if self.rng.random() < 0.4 else ""
        return f"the {size}{_common(self.rng, NOUNS[self.scene.shape])} is {self.scene.colour}"

    def a(self) -> str:
        return _with_article(self.rng.choice(ARTICLES), self.bare(), self.rng)

    def moving(self) -> str:
        word = _common(self.rng, BEFORE_NOUN[self.scene.motion])
        return _with_article(self.rng.choice(ARTICLES), self.bare(word), self.rng)

    def _motion(self) -> tuple[str, str]:
        """A verb and what follows it."""
        rng, groups = self.rng, MOTION_WORDS[self.scene.motion]
        while True:
            verbs, rest = groups[int(len(groups) * rng.random() ** 1.4)]
            verb, after = _common(rng, verbs), _common(rng, rest)
            if reserved(verb, after) == self.held_out:
                return verb, after

    def _phrase(self, verb: str, after: str) -> str:
        rng = self.rng
        phrase = f"{verb} {after}".rstrip()
        if self.scene.motion == "still" or rng.random() > 0.08:
            return phrase
        adverb = _common(rng, ADVERBS)
        return f"{adverb} {phrase}" if rng.random() < 0.5 else f"{phrase} {adverb}"

    def ing(self) -> str:
        return self._phrase(*self._motion())

    def does(self) -> str:
        verb, after = self._motion()
        return self._phrase(VERBS[verb], after)

    def do(self) -> str:
        verb, after = self._motion()
        return self._phrase(_plain_form(VERBS[verb]), after)

    def _tones(self, phrase: str) -> str:
        colour = self.scene.backdrop_colour
        grey = "gray" if self.rng.random() < 0.5 else "grey"
        return phrase.format(c=colour, d=grey if colour in ("black", "white") else f"dark {colour}")

    def bg(self) -> str:
        return self._tones(_common(self.rng, BACKDROP_WORDS[self.scene.backdrop]))

    def a_bg(self) -> str:
        return _with_article(self.rng.choice(("a", "a", "the")), self.bg(), self.rng)

    def clause(self) -> str:
        return self._tones(_common(self.rng, CLAUSES[self.scene.backdrop]))

    def on(self) -> str:
        rng, scene = self.rng, self.scene
        if scene.backdrop == "plain" and not self.held_out and rng.random() < 0.1:
            return f"{rng.choice(('on', 'on', 'over', 'against', 'on plain'))} {scene.backdrop_colour}"
        while True:
            before, phrase = _common(rng, PREPOSITIONS), _common(rng, BACKDROP_WORDS[scene.backdrop])
            fits = before != "across" or scene.motion in ("left", "right", "up", "down")
            if fits and reserved(before, phrase) == self.held_out:
                break
        article = rng.choice(("a", "a", "a", "the", "the", ""))
        return f"{before} {_with_article(article, self._tones(phrase), rng)}"


def _plainest(scene: Scene, rng: random.Random) -> str:
    """The sentence that everybody would type first."""
    size = f"{scene.size} " if rng.random() < 0.5 else ""
    verbs, rest = MOTION_WORDS[scene.motion][0]
    colour = scene.backdrop_colour
    dark = "gray" if colour in ("black", "white") else f"dark {colour}"
    backdrop = BACKDROP_WORDS[scene.backdrop][0].format(c=colour, d=dark)
    subject = _with_article("a", f"{size}{scene.colour} {scene.shape}", rng)
    return f"{subject} {verbs[0]} {rest[0]}".rstrip() + f" on {_with_article('a', backdrop, rng)}"


def _template(scene: Scene, rng: random.Random) -> str:
    """A training template; now and then one that leaves something to chance."""
    without_motion = rng.random() < (0.2 if scene.motion == "still" else 0.04)
    without_backdrop = rng.random() < 0.05
    if without_motion:
        return _common(rng, OBJECT_ALONE if without_backdrop else WITHOUT_MOTION)
    return _common(rng, WITHOUT_BACKDROP if without_backdrop else TEMPLATES)


def _dress(text: str, rng: random.Random) -> str:
    """Punctuation, capitals and stray words, as people type them."""
    style = rng.random()
    if style < 0.12:
        text = text.replace(",", "").replace(".", "").replace(":", "")
    elif style < 0.17:
        words = text.split(" ")
        words.insert(rng.randrange(len(words) + 1), rng.choice(FILLERS))
        text = " ".join(words)
    elif style < 0.19:
        text = f"{text}, {rng.choice(FILLERS)} {rng.choice(FILLERS)}"
    if rng.random() < 0.4:
        text = text[0].upper() + text[1:]
    if rng.random() < 0.4:
        text += "!" if rng.random() < 0.05 else "."
    return text


def caption(scene: Scene, rng: random.Random, *, held_out: bool = False) -> str:
    """Describe a scene.

    Args:
        scene: what to describe.
        rng: decides the phrasing; the same state gives the same caption.
        held_out: use sentence templates and pairs of phrases that training never meets; motion and backdrop are
            then always told. Training captions leave either of them out now and then, and the size more often.

    Returns:
        one sentence or a few, in mixed case; every word is in `words()`.
    """
    slots = _Slots(scene, rng, held_out)
    if held_out:
        return _dress(rng.choice(HELD_OUT_TEMPLATES).format_map(slots), rng)
    if rng.random() < 0.08:
        return _dress(_plainest(scene, rng), rng)
    return _dress(_template(scene, rng).format_map(slots), rng)


def words() -> tuple[str, ...]:
    """Every word and punctuation mark a caption can contain, lower case, sorted."""
    templates = (*TEMPLATES, *HELD_OUT_TEMPLATES, *WITHOUT_BACKDROP, *WITHOUT_MOTION, *OBJECT_ALONE)
    phrases = [re.sub(r"{\w+}", "", text) for text in templates]
    phrases += [
        *VERBS,
        *VERBS.values(),
        *(_plain_form(verb) for verb in VERBS.values()),
        *PREPOSITIONS,
        *OPENERS,
        *ARTICLES,
        *ADVERBS,
        *FILLERS,
        *COLOURS,
    ]
    for table in (NOUNS, SIZE_WORDS, COLOUR_WORDS, BEFORE_NOUN, BACKDROP_WORDS, CLAUSES):
        phrases += [re.sub(r"{\w+}", "", text) for row in table.values() for text in row]
    phrases += [after for groups in MOTION_WORDS.values() for _, rest in groups for after in rest]
    phrases.append("an that is in plain dark gray grey . , : !")
    return tuple(sorted({word for text in phrases for word in _WORD.findall(text.lower())}))
