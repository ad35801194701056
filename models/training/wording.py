"""The slots of a sentence, each filled with a phrase of its own choice; remembers what has been told.

Knows the phrases, not the sentences; which templates are filled for which scene is the business of `captions.py`.
"""

from __future__ import annotations

import random
import re
import zlib
from collections.abc import Callable, Sequence

from .phrases import (
    ADVERBS,
    ARTICLES,
    BEFORE_NOUN,
    COLOUR_WORDS,
    CONVERSES,
    EVEN,
    EVERYDAY,
    FOLLOWS,
    KIND_VERBS,
    MOTION_WORDS,
    NEARBY,
    NOUNS,
    PACE_VERBS,
    PACE_WORDS,
    RELATION_AFTER,
    RELATION_WORDS,
    SIZE_WORDS,
    STOPPING,
    VERBS,
    WAITING,
    WAYS,
)
from .setting_phrases import (
    BACKDROP_WORDS,
    CLAUSES,
    PREPOSITIONS,
    SETTING_CLAUSES,
    SETTING_NAMES,
    SETTING_PLACES,
)
from .templates import DO_JOINTS, DOES_JOINTS, ING_JOINTS, OPENERS
from .world import GROUNDED, SETTINGS, SHAPES, Scene, Subject

_IRREGULAR = {"is": "be", "does": "", "goes": "go", "flies": "fly"}
_VOWEL = re.compile(r"[aeio]|u(?!ni)")
_ALOFT = ("over", "above")
_SLOW_VERBS, _FAST_VERBS = PACE_VERBS["slow"][1:], PACE_VERBS["fast"][1:]
_DIRECTED = ("left", "right", "up", "down")


def common(rng: random.Random, options: Sequence[str]) -> str:
    """One of `options`, the first ones more often."""
    return options[int(len(options) * rng.random() ** 1.8)]


def reserved(first: str, second: str) -> bool:
    """Whether two phrases meet in held-out captions only: one pair in six, everyday phrases never."""
    if not second or first in EVERYDAY or second in EVERYDAY:
        return False
    return zlib.crc32(f"{first}|{second}".encode()) % 6 == 5


def plain_form(does: str) -> str:
    """The form after "will" of the form after "it": of "moves", "move"."""
    verb, _, rest = does.partition(" ")
    if verb in _IRREGULAR:
        return f"{_IRREGULAR[verb]} {rest}".strip()
    return f"{verb[: -2 if verb.endswith(('shes', 'sses')) else -1]} {rest}".strip()


def with_article(article: str, phrase: str) -> str:
    """A noun phrase after "a", "the" or another article; "a" becomes "an" where it must."""
    plural = phrase.endswith("stripes") and " with " not in phrase and not phrase.startswith("background")
    if not article or (plural and article != "the"):
        return phrase
    if article == "a" and _VOWEL.match(phrase):
        article = "an"
    return f"{article} {phrase}"


def with_adjective(adjective: str, phrase: str) -> str:
    """A noun phrase with a word between its article, if it has one, and the rest."""
    article, _, noun = phrase.partition(" ")
    if article in ("a", "an"):
        return with_article("a", f"{adjective} {noun}")
    return f"the {adjective} {noun}" if article == "the" else f"{adjective} {phrase}"


class Slots:
    """The slots of a template about a scene, each phrased when a template asks for it.

    Attributes:
        named: what has been told so far, in the words of `captions.NAMES`.
        place: what is said right after the place, and `adjective` what stands before its noun: of the time of day
            and the weather. A slot that tells the place takes them and leaves "".
    """

    def __init__(self, scene: Scene, rng: random.Random, held_out: bool) -> None:
        self.scene, self.rng, self.held_out = scene, rng, held_out
        self.named: set[str] = set()
        self.place = self.adjective = self.related = ""
        subject = scene.subject
        self.paced = bool(subject.pace) and (held_out or rng.random() < 0.85)
        # The size of two subjects is the same and says little.
        self.sized = 0.6 if len(scene.subjects) == 1 else 0.15

    def __getitem__(self, slot: str) -> str:
        return str(getattr(self, slot)())

    def of(self) -> str:
        return common(self.rng, OPENERS)

    # Subjects

    def _noun(self, subject: Subject) -> str:
        self.named.add("kind" if subject is self.scene.subject else "second kind")
        return common(self.rng, NOUNS[subject.kind])

    def bare(self, *before: str, subject: Subject | None = None) -> str:
        """A subject: size, colour and noun, after whatever comes `before` them."""
        rng, subject = self.rng, subject or self.scene.subject
        first = subject is self.scene.subject
        noun = self._noun(subject) if rng.random() < 0.6 else subject.kind
        colour = subject.colour if rng.random() < 0.85 else common(rng, COLOUR_WORDS[subject.colour])
        size = common(rng, SIZE_WORDS[subject.size]) if rng.random() < self.sized else ""
        order = rng.random()
        coloured = True
        if order < 0.03:
            words = (*before, size, noun, rng.choice(("that is", "in", "colored", "coloured")), subject.colour)
        elif order < 0.05 and not self.held_out:
            words, coloured = (*before, size, noun), False
        elif order < 0.12:
            words = (*before, colour, size, noun)
        elif order < 0.16:
            words = (size, colour, *before, noun)
        else:
            words = (*before, size, colour, noun)
        self.named.add("kind" if first else "second kind")
        if coloured:
            self.named.add("colour" if first else "second colour")
        if size and first:
            self.named.add("size")
        return " ".join(filter(None, words))

    def being(self) -> str:
        """The subject as a sentence about its colour."""
        subject = self.scene.subject
        size = ""
        if self.rng.random() < 0.4:
            size = f"{common(self.rng, SIZE_WORDS[subject.size])} "
            self.named.add("size")
        self.named.add("colour")
        return f"the {size}{self._noun(subject)} is {subject.colour}"

    def a(self) -> str:
        return with_article(self.rng.choice(ARTICLES), self.bare())

    def b(self) -> str:
        return with_article(self.rng.choice(ARTICLES), self.bare(subject=self.scene.subjects[1]))

    def it(self) -> str:
        return f"the {self._noun(self.scene.subject)}"

    def other(self) -> str:
        return f"the {self._noun(self.scene.subjects[1])}"

    def moving(self) -> str:
        self.named.add("motion")
        word = common(self.rng, BEFORE_NOUN[self.scene.subject.motion])
        return with_article(self.rng.choice(ARTICLES), self.bare(word))

    # Motions

    def _motion(self, motion: str) -> tuple[str, str]:
        """A verb and what follows it."""
        rng, subject, groups = self.rng, self.scene.subject, MOTION_WORDS[motion]
        while True:
            verbs, rest = groups[int(len(groups) * rng.random() ** 1.4)]
            first_group = verbs is groups[0][0] and motion in _DIRECTED
            if first_group and subject.pace and rng.random() < 0.5:
                verbs = PACE_VERBS[subject.pace]
            elif first_group and subject.kind in KIND_VERBS and rng.random() < 0.35:
                verbs = KIND_VERBS[subject.kind]
            verb, after = common(rng, verbs), common(rng, rest)
            contrary = {"slow": _FAST_VERBS, "fast": _SLOW_VERBS, "": ()}[subject.pace]
            if verb not in contrary and reserved(verb, after) == self.held_out:
                return verb, after

    def _adverb(self, motion: str) -> str:
        rng, subject = self.rng, self.scene.subject
        if self.paced:
            self.named.add("pace")
            return common(rng, PACE_WORDS[subject.pace])
        if motion == "still" or rng.random() > 0.08:
            return ""
        # "slowly" and "quickly" are kept for what can be slow and quick.
        return common(rng, EVEN if motion in _DIRECTED else ADVERBS)

    def _phrase(self, motion: str, verb: str, after: str) -> str:
        adverb = self._adverb(motion)
        place = self.rng.random()
        words: tuple[str, ...]
        if place < 0.45 and " " not in adverb:
            words = (adverb, verb, after)
        elif place < 0.65 and self.paced and " " not in adverb:
            words = (verb, adverb, after)
        else:
            words = (verb, after, adverb)
        return " ".join(filter(None, words))

    def _told(self, index: int, form: Callable[[str], str]) -> str:
        """The motion of that index, its verb in some form."""
        self.named.add("motion")
        motions = self.scene.subject.motions
        motion = motions[index]
        if motion == "still" and len(motions) > 1 and not self.held_out and self.rng.random() < 0.4:
            verb, _, after = common(self.rng, STOPPING if index else WAITING).partition(" ")
            return f"{form(verb)} {after}".rstrip()
        verb, after = self._motion(motion)
        return self._phrase(motion, form(verb), after)

    def _joined(self, form: Callable[[str], str], joints: Sequence[str]) -> str:
        phrases = [self._told(index, form) for index in range(len(self.scene.subject.motions))]
        return phrases[0] if len(phrases) == 1 else common(self.rng, joints).format(*phrases)

    def ing(self) -> str:
        return self._joined(str, ING_JOINTS)

    def does(self) -> str:
        return self._joined(VERBS.__getitem__, DOES_JOINTS)

    def do(self) -> str:
        return self._joined(lambda verb: plain_form(VERBS[verb]), DO_JOINTS)

    def ing1(self) -> str:
        return self._told(0, str)

    def ing2(self) -> str:
        return self._told(1, str)

    def does1(self) -> str:
        return self._told(0, VERBS.__getitem__)

    def does2(self) -> str:
        return self._told(1, VERBS.__getitem__)

    # How two subjects stand to each other

    def _related(self, options: Sequence[str]) -> str:
        self.named.add("relation")
        self.related = common(self.rng, options)
        return self.related

    def rel(self) -> str:
        options = RELATION_WORDS[self.scene.relation]
        if self.held_out and self.scene.relation == "following":
            options = tuple(verb for verb in options if any(reserved(verb, way) for way in self._ways))
        return self._related(options)

    def conv(self) -> str:
        return self._related(CONVERSES[self.scene.relation])

    def back(self) -> str:
        return self._related(RELATION_AFTER[self.scene.relation])

    def near(self) -> str:
        return common(self.rng, NEARBY)

    def follows(self) -> str:
        return FOLLOWS[self.rel()]

    def follow(self) -> str:
        return plain_form(self.follows())

    @property
    def _ways(self) -> tuple[str, ...]:
        return WAYS[self.scene.subject.motion]

    def way(self) -> str:
        self.named.add("motion")
        return common(self.rng, [way for way in self._ways if reserved(self.related, way) == self.held_out])

    # What is behind

    def _tones(self, phrase: str) -> str:
        self.named.update(("backdrop", "backdrop_colour"))
        colour = self.scene.backdrop_colour
        grey = "gray" if self.rng.random() < 0.5 else "grey"
        toned = phrase.format(c=colour, d=grey if colour in ("black", "white") else f"dark {colour}")
        return re.sub(r"\ba (?=orange)", "an ", toned)

    @property
    def _setting(self) -> bool:
        return self.scene.backdrop in SETTINGS

    def _placed(self, phrase: str) -> str:
        """The place, after an adjective and before a remark that waited for it."""
        self.named.add("backdrop")
        if self.adjective:
            phrase, self.adjective = with_adjective(self.adjective, phrase), ""
        if self.place:
            phrase, self.place = f"{phrase} {self.place}", ""
        return phrase

    def bg(self) -> str:
        if self._setting:
            return self._placed(common(self.rng, SETTING_NAMES[self.scene.backdrop]))
        return self._tones(common(self.rng, BACKDROP_WORDS[self.scene.backdrop]))

    def a_bg(self) -> str:
        article = self.rng.choice(("a", "a", "the"))
        if self._setting:
            return self._placed(with_article(article, common(self.rng, SETTING_NAMES[self.scene.backdrop])))
        return with_article(article, self.bg())

    def clause(self) -> str:
        if self._setting:
            return common(self.rng, SETTING_CLAUSES).format(p=self.a_bg())
        return self._tones(common(self.rng, CLAUSES[self.scene.backdrop]))

    def on(self) -> str:
        if self._setting:
            return self._in_setting()
        rng, scene = self.rng, self.scene
        if scene.backdrop == "plain" and not self.held_out and rng.random() < 0.1:
            return self._tones(f"{rng.choice(('on', 'on', 'over', 'against', 'on plain'))} {{c}}")
        while True:
            before, phrase = common(rng, PREPOSITIONS), common(rng, BACKDROP_WORDS[scene.backdrop])
            fits = before != "across" or scene.subject.motion in _DIRECTED
            if fits and reserved(before, phrase) == self.held_out:
                break
        article = rng.choice(("a", "a", "a", "the", "the", ""))
        return f"{before} {with_article(article, self._tones(phrase))}"

    def _in_setting(self) -> str:
        rng, scene = self.rng, self.scene
        if not self.held_out and rng.random() < 0.08:
            return f"with {self.a_bg()} {rng.choice(('behind', 'in the background', 'in the back'))}"
        kind, still = scene.subject.kind, scene.subject.motions == ("still",)
        while True:
            before, rest = rng.choice(SETTING_PLACES[scene.backdrop])
            preposition, phrase = common(rng, before), common(rng, rest)
            aloft = kind not in (*GROUNDED, *SHAPES) and scene.backdrop != "space" and rng.random() < 0.4
            if aloft and any(over in before for over in _ALOFT):
                preposition = rng.choice([over for over in _ALOFT if over in before])
            elif kind in GROUNDED and preposition in _ALOFT and rng.random() < 0.7:
                continue
            if still and preposition in ("across", "through"):
                continue
            if reserved(preposition, phrase) == self.held_out:
                return f"{preposition} {self._placed(phrase)}"
