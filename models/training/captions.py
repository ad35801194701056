"""A scene in words: many phrasings of plain English, some of them kept back for evaluation only.

Tables of phrases, listed from common to rare, and sentence templates with slots. Knows no pixels and no token ids;
`words()` is everything that a caption can contain, which is what the tokenizer is built from.
"""

from __future__ import annotations

import random
import re
import zlib
from collections.abc import Sequence

from .world import COLOURS, Scene

NOUNS: dict[str, tuple[str, ...]] = {
    "circle": (
        "circle",
        "ball",
        "disc",
        "disk",
        "dot",
        "round shape",
        "circular shape",
        "filled circle",
        "sphere",
    ),
    "square": ("square", "box", "block", "square shape", "cube", "square block", "tile"),
    "triangle": ("triangle", "triangle shape", "triangular shape", "three-sided shape", "three sided shape"),
    "star": ("star", "five-pointed star", "star shape", "five pointed star", "star-shaped object"),
    "heart": ("heart", "love heart", "heart shape", "heart-shaped object", "heart symbol"),
    "ring": ("ring", "hoop", "donut", "circle outline", "doughnut", "hollow circle", "ring shape", "loop"),
}
SIZE_WORDS: dict[str, tuple[str, ...]] = {
    "small": ("small", "tiny", "little", "mini", "small sized", "miniature"),
    "large": ("large", "big", "huge", "giant", "large sized", "enormous"),
}
COLOUR_WORDS: dict[str, tuple[str, ...]] = {
    name: (name, f"bright {name}", f"{name} coloured", f"{name} colored", f"{name}-colored", f"solid {name}")
    for name in COLOURS
}

# Participles and the form that follows "it".
VERBS: dict[str, str] = {
    "moving": "moves",
    "going": "goes",
    "sliding": "slides",
    "drifting": "drifts",
    "gliding": "glides",
    "travelling": "travels",
    "traveling": "travels",
    "floating": "floats",
    "flying": "flies",
    "heading": "heads",
    "rolling": "rolls",
    "shifting": "shifts",
    "passing": "passes",
    "running": "runs",
    "sweeping": "sweeps",
    "sailing": "sails",
    "crossing": "crosses",
    "zooming": "zooms",
    "dashing": "dashes",
    "rising": "rises",
    "ascending": "ascends",
    "climbing": "climbs",
    "lifting": "lifts",
    "soaring": "soars",
    "falling": "falls",
    "sinking": "sinks",
    "dropping": "drops",
    "descending": "descends",
    "growing": "grows",
    "getting": "gets",
    "becoming": "becomes",
    "expanding": "expands",
    "increasing": "increases",
    "enlarging": "enlarges",
    "swelling": "swells",
    "inflating": "inflates",
    "scaling": "scales",
    "shrinking": "shrinks",
    "contracting": "contracts",
    "decreasing": "decreases",
    "reducing": "reduces",
    "diminishing": "diminishes",
    "dwindling": "dwindles",
    "bouncing": "bounces",
    "hopping": "hops",
    "jumping": "jumps",
    "bobbing": "bobs",
    "leaping": "leaps",
    "spinning": "spins",
    "rotating": "rotates",
    "turning": "turns",
    "twirling": "twirls",
    "whirling": "whirls",
    "revolving": "revolves",
    "standing": "stands",
    "staying": "stays",
    "remaining": "remains",
    "holding": "holds",
    "sitting": "sits",
    "keeping": "keeps",
    "resting": "rests",
    "hovering": "hovers",
    "not moving": "does not move",
    "motionless": "is motionless",
    "stationary": "is stationary",
    "static": "is static",
    "still": "is still",
    "unmoving": "is unmoving",
    "fixed": "is fixed",
    "at rest": "is at rest",
}
_IRREGULAR = {"is": "be", "does": "", "goes": "go", "flies": "fly"}
_WAYS = tuple(verb for verb in tuple(VERBS)[:19] if verb != "crossing")


def _sideways(to: str, fro: str) -> tuple[str, ...]:
    return (
        to,
        f"to the {to}",
        f"from {fro} to {to}",
        f"{to}wards",
        f"{to}ward",
        f"towards the {to}",
        f"toward the {to}",
        f"{fro} to {to}",
        f"from the {fro} to the {to}",
        f"across the screen to the {to}",
        f"to the {to} side",
        f"towards the {to} side",
        f"towards the {to} edge",
        f"across the screen from {fro} to {to}",
        f"from the {fro} side to the {to} side",
        f"across the frame to the {to}",
        f"to the {to} across the picture",
        f"from the {fro} edge to the {to} edge",
        f"in from the {fro}",
        f"across from {fro} to {to}",
        f"in a {to}ward direction",
        f"off to the {to}",
        f"to the {to} edge of the screen",
        f"horizontally to the {to}",
        f"straight to the {to}",
        f"toward the {to} side of the frame",
    )


def _upright(to: str, end: str, start: str) -> tuple[str, ...]:
    return (
        to,
        f"{to}wards",
        f"{to}ward",
        f"from {start} to {end}",
        f"to the {end}",
        f"towards the {end}",
        f"toward the {end}",
        f"{to} the screen",
        f"{start} to {end}",
        f"from the {start} to the {end}",
        f"straight {to}",
        f"to the {end} of the screen",
        f"towards the {end} edge",
        f"vertically {to}wards",
        f"in an {to}ward direction" if to == "up" else f"in a {to}ward direction",
        f"{to} across the picture",
        f"{to} towards the {end} of the frame",
        f"from the {start} edge to the {end} edge",
    )


def _crossing(start: str, end: str) -> tuple[str, ...]:
    return tuple(
        f"{what} from {start} to {end}"
        for what in ("the screen", "the frame", "the picture", "the canvas", "over")
    )


_ON_THE_SPOT = ("", "in place", "on the spot", "in the middle", "again and again", "without stopping")
# Each motion is one or more groups of (verbs, what may follow them).
MOTION_WORDS: dict[str, tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]] = {
    "left": ((_WAYS, _sideways("left", "right")), (("crossing",), _crossing("right", "left"))),
    "right": ((_WAYS, _sideways("right", "left")), (("crossing",), _crossing("left", "right"))),
    "up": (
        (_WAYS, _upright("up", "top", "bottom")),
        (
            ("rising", "ascending", "climbing", "lifting", "soaring"),
            (
                "",
                "up",
                "upwards",
                "upward",
                "to the top",
                "towards the top",
                "from the bottom",
                "into the air",
            ),
        ),
    ),
    "down": (
        (_WAYS, _upright("down", "bottom", "top")),
        (
            ("falling", "sinking", "dropping", "descending"),
            ("", "down", "downwards", "downward", "to the bottom", "towards the bottom", "from the top"),
        ),
    ),
    "growing": (
        (
            ("growing", "expanding", "enlarging", "swelling", "inflating"),
            (
                "",
                "in size",
                "over time",
                "outwards",
                "more and more",
                "from the middle",
                "from small to large",
                "from small to big",
                "until it is big",
            ),
        ),
        (("getting", "growing", "becoming"), ("bigger", "larger", "bigger and bigger", "larger and larger")),
        (("increasing", "scaling", "growing"), ("in size", "up in size")),
    ),
    "shrinking": (
        (
            ("shrinking", "contracting", "diminishing", "dwindling"),
            (
                "",
                "in size",
                "over time",
                "away",
                "more and more",
                "inwards",
                "down",
                "from large to small",
                "from big to small",
                "until it is tiny",
            ),
        ),
        (
            ("getting", "becoming", "shrinking"),
            ("smaller", "smaller and smaller", "tinier", "smaller in size"),
        ),
        (("decreasing", "reducing", "scaling"), ("in size", "down in size")),
    ),
    "bouncing": (
        (
            ("bouncing", "hopping", "jumping", "leaping"),
            ("", "up and down", *_ON_THE_SPOT[1:], "down and up", "around"),
        ),
        (
            ("moving", "bobbing", "going"),
            ("up and down", "up and down again", "up and down repeatedly", "down and up", "up then down"),
        ),
    ),
    "spinning": (
        (
            ("spinning", "rotating", "turning", "twirling", "whirling", "revolving"),
            (
                *_ON_THE_SPOT,
                "around",
                "round and round",
                "clockwise",
                "on its axis",
                "around itself",
                "around its center",
                "about its centre",
            ),
        ),
    ),
    "still": (
        (
            ("staying", "standing", "holding", "sitting", "remaining", "keeping"),
            ("still", "completely still"),
        ),
        (
            ("not moving", "motionless", "static", "stationary", "still"),
            ("", "in place", "at all", "on the spot"),
        ),
        (
            ("remaining", "staying", "resting", "hovering"),
            (
                "motionless",
                "in place",
                "static",
                "stationary",
                "put",
                "fixed",
                "in the center",
                "in the centre",
            ),
        ),
        (("still", "unmoving", "fixed", "at rest"), ("", "in the middle", "in one place", "in its place")),
    ),
}
BEFORE_NOUN: dict[str, tuple[str, ...]] = {
    "left": ("left moving", "leftward moving", "left-moving"),
    "right": ("right moving", "rightward moving", "right-moving"),
    "up": ("rising", "ascending", "upward moving", "climbing"),
    "down": ("falling", "sinking", "descending", "downward moving", "dropping"),
    "growing": ("growing", "expanding", "swelling", "enlarging"),
    "shrinking": ("shrinking", "contracting", "dwindling"),
    "bouncing": ("bouncing", "jumping", "hopping"),
    "spinning": ("spinning", "rotating", "turning", "twirling"),
    "still": ("still", "motionless", "static", "stationary", "unmoving"),
}

# {c} is the colour and {d} its darker shade.
BACKDROP_WORDS: dict[str, tuple[str, ...]] = {
    "plain": (
        "{c} background",
        "{c} backdrop",
        "plain {c} background",
        "solid {c} background",
        "{c} canvas",
        "{c} screen",
        "{c} wall",
        "{c} plain background",
        "plain {c} backdrop",
        "uniform {c} background",
        "flat {c} background",
        "{c} surface",
        "simple {c} background",
        "{c} colored background",
        "{c} coloured backdrop",
        "solid {c} backdrop",
        "empty {c} background",
        "background of {c}",
        "background that is {c}",
        "completely {c} background",
        "{c} page",
        "{c} field",
    ),
    "gradient": (
        "{c} gradient",
        "{c} gradient background",
        "gradient {c} background",
        "{c} background fading to {d}",
        "background fading from {c} to {d}",
        "{c} gradient backdrop",
        "{c} background with a gradient",
        "background that fades from {c} to {d}",
        "background with a {c} gradient",
        "smooth {c} gradient",
        "{c} shaded background",
        "gradient from {c} to {d}",
        "{c} to {d} gradient",
    ),
    "stripes": (
        "{c} striped background",
        "striped {c} background",
        "background with {c} stripes",
        "{c} background with stripes",
        "{c} stripes",
        "{c} striped backdrop",
        "striped {c} wall",
        "{c} stripe pattern",
        "background of {c} stripes",
        "{c} vertical stripes",
        "{c} striped pattern",
        "{c} and {d} stripes",
    ),
    "checkerboard": (
        "{c} checkerboard",
        "{c} checkered background",
        "{c} checkerboard background",
        "checkered {c} background",
        "{c} chequered background",
        "{c} checkerboard pattern",
        "chequered {c} backdrop",
        "{c} background with a checkerboard pattern",
        "{c} checked background",
        "{c} chessboard",
        "background with {c} checks",
        "{c} and {d} checkerboard",
    ),
    "stars": (
        "{c} starry sky",
        "starry {c} background",
        "{c} sky with stars",
        "{c} background with stars",
        "starry {c} sky",
        "{c} night sky with stars",
        "{c} starry background",
        "{c} starry night sky",
        "{c} sky full of stars",
        "{c} night sky",
        "{c} background full of stars",
        "{c} background with white stars",
        "{c} space with stars",
        "{c} background dotted with stars",
    ),
}
CLAUSES: dict[str, tuple[str, ...]] = {
    "plain": (
        "the background is {c}",
        "background is {c}",
        "the background color is {c}",
        "with {c} behind it",
        "the backdrop is {c}",
        "{c} behind it",
        "background: {c}",
        "the background colour is {c}",
        "background {c}",
        "everything behind it is {c}",
        "the wall behind it is {c}",
        "on {c}",
    ),
    "gradient": ("the background is a {c} gradient", "background: {c} gradient", "a {c} gradient behind it"),
    "stripes": ("the background is striped {c}", "the background has {c} stripes", "{c} stripes behind it"),
    "checkerboard": (
        "the background is a {c} checkerboard",
        "the background is checkered {c}",
        "a {c} checkerboard behind it",
    ),
    "stars": (
        "the background is a starry {c} sky",
        "behind it is a {c} sky with stars",
        "{c} sky with stars behind",
    ),
}
PREPOSITIONS = (
    "on",
    "against",
    "over",
    "with",
    "in front of",
    "upon",
    "on top of",
    "across",
    "in",
    "within",
    "before",
)

OPENERS = (
    "a video of",
    "an animation of",
    "a clip of",
    "video of",
    "animation of",
    "a short video of",
    "a clip showing",
    "clip showing",
    "a video showing",
    "animation showing",
    "a simple animation of",
    "a short clip of",
    "footage of",
    "an image of",
    "a picture of",
    "a scene with",
    "a movie of",
    "please make a video of",
    "show",
    "draw",
    "generate",
    "create an animation of",
    "watch",
)
# Slots: {a} and {bare} the object, with and without an article; {ing}, {does} and {do} its motion; {moving} both at once;
# {on} the backdrop after a preposition; {bg} and {a_bg} the backdrop alone; {clause} a remark about it.
TEMPLATES = (
    "{a} {ing} {on}",
    "{a} {does} {on}",
    "{of} {a} {ing} {on}",
    "{on}, {a} {does}",
    "{a} {on} {ing}",
    "{a} is {ing} {on}",
    "{bare} {ing}, {bg}",
    "{bare}, {bg}, {ing}",
    "{a_bg} with {a} {ing}",
    "{a} {ing}, {clause}",
    "{moving} {on}",
    "{a} {does}, {clause}",
    "there is {a} {ing} {on}",
    "{on}, {a} is {ing}",
    "{a} that {does} {on}",
    "{on} {a} {ing}",
    "{a_bg} and {a} {ing}",
    "{a} {on}, {ing}",
    "{bare}, {ing}, {bg}",
    "{bg}, {bare}, {ing}",
    "{of} {a} that is {ing} {on}",
    "{a} which is {ing} {on}",
    "{of} {moving} {on}",
    "{a} {on}. it {does}",
    "{moving}, {bg}",
    "{bg}, {bare} {ing}",
    "{on} there is {a} {ing}",
    "{a} {on} that {does}",
    "{of} {a} {on}, {ing}",
    "{a} {on}, it is {ing}",
    "{clause}. {a} {does}",
    "we see {a} {ing} {on}",
    "{of} {a_bg} with {a} {ing}",
    "{clause}, {a} {does}",
    "{a} can be seen {ing} {on}",
    "{a_bg}, where {a} {does}",
    "{a_bg} where {a} is {ing}",
    "{does}: {a} {on}",
    "{a} as it {does} {on}",
    "watch {a} {do} {on}",
    "{a} will {do} {on}",
    "make {a} {do} {on}",
    "{of} {a}. it {does}. {clause}",
    "let {a} {do} {on}",
    "while {a} {does}, {clause}",
    "in this video {a} {does} {on}",
)
HELD_OUT_TEMPLATES = (
    "{on} you can see {a} {ing}",
    "{of} {a} while it is {ing} {on}",
    "{clause} and {a} {does}",
    "in front of us {a} {does} {on}",
    "there is {a_bg}, and {a} that {does}",
    "{a}, which {does}, {on}",
    "{a} {does} and {clause}",
    "we watch {a} as it {does} {on}",
    "this is {a} {ing} {on}",
    "in this clip there is {a} {on} and it {does}",
)
_WITHOUT_BACKDROP = (
    "{a} {ing}",
    "{a} {does}",
    "{bare} {ing}",
    "{of} {a} {ing}",
    "{moving}",
    "{a} is {ing}",
    "there is {a} {ing}",
    "{a} that {does}",
)
_WITHOUT_MOTION = (
    "{a} {on}",
    "{bare}, {bg}",
    "{of} {a} {on}",
    "{a_bg} with {a}",
    "{bare} {on}",
    "there is {a} {on}",
    "{on}, {a}",
    "{a}, {clause}",
    "{bg}, {bare}",
)
_OBJECT_ALONE = ("{a}", "{bare}", "{of} {a}", "there is {a}")

_ARTICLES = ("a", "a", "a", "the", "", "one", "a single")
_ADVERBS = (
    "slowly",
    "smoothly",
    "quickly",
    "steadily",
    "gently",
    "gradually",
    "calmly",
    "constantly",
    "fast",
)
# Words without a meaning in this world, sprinkled in so that prompts may contain them.
FILLERS = tuple(
    "about actually all also always any are around beautiful been before being but by cartoon clean clearly"
    " colorful colourful cool cute design digital during each ever every far film for geometric good graphic"
    " graphics has have here high his how i if illustration just kind like lone lonely long lovely made make"
    " maybe me minimal minimalist motion movement my near neat nice no now object of only or our out own particular"
    " perfect perfectly pretty quality quite really render rendered see shiny shown simply so some somewhat style"
    " such than their then these they thing this those through time to until us very view visible want was we well"
    " were what when who will would you your 2d 4k hd".split()
)

_WORD = re.compile(r"\w+|[^\w\s]")
_VOWEL = re.compile(r"[aeio]|u(?!ni)")


def _common(rng: random.Random, options: Sequence[str]) -> str:
    """One of `options`, the first ones more often."""
    return options[int(len(options) * rng.random() ** 1.8)]


def reserved(first: str, second: str) -> bool:
    """Whether two phrases meet in held-out captions only (about one pair in six)."""
    return bool(second) and zlib.crc32(f"{first}|{second}".encode()) % 6 == 5


def _plain_form(does: str) -> str:
    """ "moves" as it stands after "will": "move"."""
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

    def a(self) -> str:
        return _with_article(self.rng.choice(_ARTICLES), self.bare(), self.rng)

    def moving(self) -> str:
        word = _common(self.rng, BEFORE_NOUN[self.scene.motion])
        return _with_article(self.rng.choice(_ARTICLES), self.bare(word), self.rng)

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
        adverb = _common(rng, _ADVERBS)
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
        return _common(rng, _OBJECT_ALONE if without_backdrop else _WITHOUT_MOTION)
    return _common(rng, _WITHOUT_BACKDROP if without_backdrop else TEMPLATES)


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
    templates = (*TEMPLATES, *HELD_OUT_TEMPLATES, *_WITHOUT_BACKDROP, *_WITHOUT_MOTION, *_OBJECT_ALONE)
    phrases = [re.sub(r"{\w+}", "", text) for text in templates]
    phrases += [
        *VERBS,
        *VERBS.values(),
        *(_plain_form(verb) for verb in VERBS.values()),
        *PREPOSITIONS,
        *OPENERS,
        *_ARTICLES,
        *_ADVERBS,
        *FILLERS,
        *COLOURS,
    ]
    for table in (NOUNS, SIZE_WORDS, COLOUR_WORDS, BEFORE_NOUN, BACKDROP_WORDS, CLAUSES):
        phrases += [re.sub(r"{\w+}", "", text) for row in table.values() for text in row]
    phrases += [after for groups in MOTION_WORDS.values() for _, rest in groups for after in rest]
    phrases.append("an that is in plain dark gray grey . , : !")
    return tuple(sorted({word for text in phrases for word in _WORD.findall(text.lower())}))
