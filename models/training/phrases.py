"""The phrases that captions are made of: nouns, sizes, verbs, motions, backdrops and sentence templates.

Words only, listed from common to rare; how they are put together is the business of `captions.py`.
"""

from __future__ import annotations

from .world import COLOURS


def _list(text: str) -> tuple[str, ...]:
    """The phrases of a text, parted by upright bars; nothing before the first bar is the empty phrase."""
    return tuple(phrase.strip() for phrase in text.split("|"))


NOUNS: dict[str, tuple[str, ...]] = {
    "circle": _list("circle | ball | disc | disk | dot | round shape | circular shape | filled circle | sphere"),
    "square": _list("square | box | block | square shape | cube | square block | tile"),
    "triangle": _list("triangle | triangle shape | triangular shape | three-sided shape | three sided shape"),
    "star": _list("star | five-pointed star | star shape | five pointed star | star-shaped object"),
    "heart": _list("heart | love heart | heart shape | heart-shaped object | heart symbol"),
    "ring": _list("ring | hoop | donut | circle outline | doughnut | hollow circle | ring shape | loop"),
}
SIZE_WORDS: dict[str, tuple[str, ...]] = {
    "small": _list("small | tiny | little | mini | small sized | miniature"),
    "large": _list("large | big | huge | giant | large sized | enormous"),
}
COLOUR_WORDS: dict[str, tuple[str, ...]] = {
    name: (name, f"bright {name}", f"{name} coloured", f"{name} colored", f"{name}-colored", f"solid {name}")
    for name in COLOURS
}

# Participles and the form that follows "it".
VERBS: dict[str, str] = dict(
    pair.split("/")
    for pair in _list(
        "moving/moves | going/goes | sliding/slides | drifting/drifts | gliding/glides | "
        "travelling/travels | traveling/travels | floating/floats | flying/flies | heading/heads | "
        "rolling/rolls | shifting/shifts | passing/passes | running/runs | sweeping/sweeps | "
        "sailing/sails | zooming/zooms | dashing/dashes | crossing/crosses | rising/rises | "
        "ascending/ascends | climbing/climbs | lifting/lifts | soaring/soars | falling/falls | "
        "sinking/sinks | dropping/drops | descending/descends | growing/grows | getting/gets | "
        "becoming/becomes | expanding/expands | increasing/increases | enlarging/enlarges | "
        "swelling/swells | inflating/inflates | scaling/scales | shrinking/shrinks | "
        "contracting/contracts | decreasing/decreases | reducing/reduces | diminishing/diminishes | "
        "dwindling/dwindles | bouncing/bounces | hopping/hops | jumping/jumps | bobbing/bobs | "
        "leaping/leaps | spinning/spins | rotating/rotates | turning/turns | twirling/twirls | "
        "whirling/whirls | revolving/revolves | standing/stands | staying/stays | remaining/remains | "
        "holding/holds | sitting/sits | keeping/keeps | resting/rests | hovering/hovers | not moving/does "
        "not move | motionless/is motionless | stationary/is stationary | static/is static | still/is "
        "still | unmoving/is unmoving | fixed/is fixed | at rest/is at rest"
    )
)
_WAYS = tuple(VERBS)[: tuple(VERBS).index("crossing")]
_SIDEWAYS = _list(
    "{to} | to the {to} | from {fro} to {to} | {to}wards | {to}ward | towards the {to} | toward the {to} "
    "| {fro} to {to} | from the {fro} to the {to} | across the screen to the {to} | to the {to} side | "
    "towards the {to} side | towards the {to} edge | across the screen from {fro} to {to} | from the "
    "{fro} side to the {to} side | across the frame to the {to} | to the {to} across the picture | from "
    "the {fro} edge to the {to} edge | in from the {fro} | across from {fro} to {to} | in a {to}ward "
    "direction | off to the {to} | to the {to} edge of the screen | horizontally to the {to} | straight "
    "to the {to} | toward the {to} side of the frame"
)
_UPRIGHT = _list(
    "{to} | {to}wards | {to}ward | from {fro} to {end} | to the {end} | towards the {end} | toward the "
    "{end} | {to} the screen | {fro} to {end} | from the {fro} to the {end} | straight {to} | to the "
    "{end} of the screen | towards the {end} edge | vertically {to}wards | in a {to}ward direction | {to} "
    "across the picture | {to} towards the {end} of the frame | from the {fro} edge to the {end} edge"
)
_CROSSING = _list(
    "the screen from {fro} to {to} | the frame from {fro} to {to} | the picture from {fro} to {to} | the "
    "canvas from {fro} to {to} | over from {fro} to {to}"
)


def _towards(phrases: tuple[str, ...], to: str, fro: str, end: str = "") -> tuple[str, ...]:
    return tuple(phrase.format(to=to, fro=fro, end=end).replace("a up", "an up") for phrase in phrases)


# Each motion is one or more groups of (verbs, what may follow them).
MOTION_WORDS: dict[str, tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]] = {
    "left": (
        (_WAYS, _towards(_SIDEWAYS, "left", "right")),
        (_list("crossing"), _towards(_CROSSING, "left", "right")),
    ),
    "right": (
        (_WAYS, _towards(_SIDEWAYS, "right", "left")),
        (_list("crossing"), _towards(_CROSSING, "right", "left")),
    ),
    "up": (
        (_WAYS, _towards(_UPRIGHT, "up", "bottom", "top")),
        (
            _list("rising | ascending | climbing | lifting | soaring"),
            _list(" | up | upwards | upward | to the top | towards the top | from the bottom | into the air"),
        ),
    ),
    "down": (
        (_WAYS, _towards(_UPRIGHT, "down", "top", "bottom")),
        (
            _list("falling | sinking | dropping | descending"),
            _list(" | down | downwards | downward | to the bottom | towards the bottom | from the top"),
        ),
    ),
    "growing": (
        (
            _list("growing | expanding | enlarging | swelling | inflating"),
            _list(
                " | in size | over time | outwards | more and more | from the middle | from small to "
                "large | from small to big | until it is big"
            ),
        ),
        (
            _list("getting | growing | becoming"),
            _list("bigger | larger | bigger and bigger | larger and larger"),
        ),
        (_list("increasing | scaling | growing"), _list("in size | up in size")),
    ),
    "shrinking": (
        (
            _list("shrinking | contracting | diminishing | dwindling"),
            _list(
                " | in size | over time | away | more and more | inwards | down | from large to small | "
                "from big to small | until it is tiny"
            ),
        ),
        (
            _list("getting | becoming | shrinking"),
            _list("smaller | smaller and smaller | tinier | smaller in size"),
        ),
        (_list("decreasing | reducing | scaling"), _list("in size | down in size")),
    ),
    "bouncing": (
        (
            _list("bouncing | hopping | jumping | leaping"),
            _list(
                " | up and down | in place | on the spot | in the middle | again and again | without "
                "stopping | down and up | around"
            ),
        ),
        (
            _list("moving | bobbing | going"),
            _list("up and down | up and down again | up and down repeatedly | down and up | up then down"),
        ),
    ),
    "spinning": (
        (
            _list("spinning | rotating | turning | twirling | whirling | revolving"),
            _list(
                " | in place | on the spot | in the middle | again and again | without stopping | around "
                "| round and round | clockwise | on its axis | around itself | around its center | about "
                "its centre"
            ),
        ),
    ),
    "still": (
        (
            _list("staying | standing | holding | sitting | remaining | keeping"),
            _list("still | completely still"),
        ),
        (
            _list("not moving | motionless | static | stationary | still"),
            _list(" | in place | at all | on the spot"),
        ),
        (
            _list("remaining | staying | resting | hovering"),
            _list("motionless | in place | static | stationary | put | fixed | in the center | in the centre"),
        ),
        (
            _list("still | unmoving | fixed | at rest"),
            _list(" | in the middle | in one place | in its place"),
        ),
    ),
}
BEFORE_NOUN: dict[str, tuple[str, ...]] = {
    "left": _list("left moving | leftward moving | left-moving"),
    "right": _list("right moving | rightward moving | right-moving"),
    "up": _list("rising | ascending | upward moving | climbing"),
    "down": _list("falling | sinking | descending | downward moving | dropping"),
    "growing": _list("growing | expanding | swelling | enlarging"),
    "shrinking": _list("shrinking | contracting | dwindling"),
    "bouncing": _list("bouncing | jumping | hopping"),
    "spinning": _list("spinning | rotating | turning | twirling"),
    "still": _list("still | motionless | static | stationary | unmoving"),
}

# {c} is the colour and {d} its darker shade.
BACKDROP_WORDS: dict[str, tuple[str, ...]] = {
    "plain": _list(
        "{c} background | {c} backdrop | plain {c} background | solid {c} background | {c} canvas | {c} "
        "screen | {c} wall | {c} plain background | plain {c} backdrop | uniform {c} background | flat "
        "{c} background | {c} surface | simple {c} background | {c} colored background | {c} coloured "
        "backdrop | solid {c} backdrop | empty {c} background | background of {c} | background that is "
        "{c} | completely {c} background | {c} page | {c} field"
    ),
    "gradient": _list(
        "{c} gradient | {c} gradient background | gradient {c} background | {c} background fading to {d} "
        "| background fading from {c} to {d} | {c} gradient backdrop | {c} background with a gradient | "
        "background that fades from {c} to {d} | background with a {c} gradient | smooth {c} gradient | "
        "{c} shaded background | gradient from {c} to {d} | {c} to {d} gradient"
    ),
    "stripes": _list(
        "{c} striped background | striped {c} background | background with {c} stripes | {c} background "
        "with stripes | {c} stripes | {c} striped backdrop | striped {c} wall | {c} stripe pattern | "
        "background of {c} stripes | {c} vertical stripes | {c} striped pattern | {c} and {d} stripes"
    ),
    "checkerboard": _list(
        "{c} checkerboard | {c} checkered background | {c} checkerboard background | checkered {c} "
        "background | {c} chequered background | {c} checkerboard pattern | chequered {c} backdrop | {c} "
        "background with a checkerboard pattern | {c} checked background | {c} chessboard | background "
        "with {c} checks | {c} and {d} checkerboard"
    ),
    "stars": _list(
        "{c} starry sky | starry {c} background | {c} sky with stars | {c} background with stars | starry "
        "{c} sky | {c} night sky with stars | {c} starry background | {c} starry night sky | {c} sky full "
        "of stars | {c} night sky | {c} background full of stars | {c} background with white stars | {c} "
        "space with stars | {c} background dotted with stars"
    ),
}
CLAUSES: dict[str, tuple[str, ...]] = {
    "plain": _list(
        "the background is {c} | background is {c} | the background color is {c} | with {c} behind it | "
        "the backdrop is {c} | {c} behind it | background: {c} | the background colour is {c} | "
        "background {c} | everything behind it is {c} | the wall behind it is {c} | on {c}"
    ),
    "gradient": _list("the background is a {c} gradient | background: {c} gradient | a {c} gradient behind it"),
    "stripes": _list("the background is striped {c} | the background has {c} stripes | {c} stripes behind it"),
    "checkerboard": _list(
        "the background is a {c} checkerboard | the background is checkered {c} | a {c} checkerboard behind it"
    ),
    "stars": _list(
        "the background is a starry {c} sky | behind it is a {c} sky with stars | {c} sky with stars behind"
    ),
}
PREPOSITIONS = _list("on | against | over | with | in front of | upon | on top of | across | in | within | before")
OPENERS = _list(
    "a video of | an animation of | a clip of | video of | animation of | a short video of | a clip "
    "showing | clip showing | a video showing | animation showing | a simple animation of | a short clip "
    "of | footage of | an image of | a picture of | a scene with | a movie of | please make a video of | "
    "show | draw | generate | create an animation of | watch"
)
# What everybody says: training meets these phrases in every company.
EVERYDAY = frozenset(
    _list(
        "moving | bouncing | jumping | spinning | rotating | growing | shrinking | getting | rising | falling | "
        "staying | on | {c} background | {c} backdrop | left | right | up | down | to the left | to the right | "
        "upwards | downwards"
    )
)

# Slots: {a} and {bare} the object, with and without an article; {ing}, {does} and {do} its motion; {moving} both at
# once; {being} its colour as a sentence; {on} the backdrop after a preposition; {bg} and {a_bg} the backdrop alone;
# {clause} a remark about it; {of} "a video of" and the like.
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
    "{being} and {does}, {clause}",
    "{being}, {clause}, it is {ing}",
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
WITHOUT_BACKDROP = (
    "{a} {ing}",
    "{a} {does}",
    "{bare} {ing}",
    "{of} {a} {ing}",
    "{moving}",
    "{a} is {ing}",
    "there is {a} {ing}",
    "{a} that {does}",
)
WITHOUT_MOTION = (
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
OBJECT_ALONE = ("{a}", "{bare}", "{of} {a}", "there is {a}")

ARTICLES = _list("a | a | a | the |  | one | a single")
ADVERBS = _list("slowly | smoothly | quickly | steadily | gently | gradually | calmly | constantly | fast")
# Words without a meaning in this world, sprinkled in so that prompts may contain them.
FILLERS = _list(
    "about | actually | all | also | always | any | are | around | beautiful | been | before | being | but | "
    "by | cartoon | clean | clearly | colorful | colourful | cool | cute | design | digital | during | each |"
    " ever | every | far | film | for | geometric | good | graphic | graphics | has | have | here | high | "
    "his | how | i | if | illustration | just | kind | like | lone | lonely | long | lovely | made | make | "
    "maybe | me | minimal | minimalist | motion | movement | my | near | neat | nice | no | now | object | of"
    " | only | or | our | out | own | particular | perfect | perfectly | pretty | quality | quite | really | "
    "render | rendered | see | shiny | shown | simply | so | some | somewhat | style | such | than | their | "
    "then | these | they | thing | this | those | through | time | to | until | us | very | view | visible | "
    "want | was | we | well | were | what | when | who | will | would | you | your | 2d | 4k | hd"
)
