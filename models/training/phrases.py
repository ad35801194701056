"""Subjects and what they do, in words: nouns, sizes, colours, verbs, motions, paces and relations.

Words only, listed from common to rare; how they are put together is the business of `wording.py`.
"""

from __future__ import annotations

from .world import COLOURS


def options(text: str) -> tuple[str, ...]:
    """The phrases of a text, parted by upright bars; nothing before the first bar is the empty phrase."""
    return tuple(phrase.strip() for phrase in text.split("|"))


NOUNS: dict[str, tuple[str, ...]] = {
    "circle": options("circle | ball | disc | disk | dot | round shape | circular shape | filled circle | sphere"),
    "square": options("square | box | block | square shape | cube | square block | tile"),
    "triangle": options("triangle | triangle shape | triangular shape | three-sided shape | three sided shape"),
    "star": options("star | five-pointed star | star shape | five pointed star | star-shaped object"),
    "heart": options("heart | love heart | heart shape | heart-shaped object | heart symbol"),
    "ring": options("ring | hoop | donut | circle outline | doughnut | hollow circle | ring shape | loop"),
    "boat": options(
        "boat | sailing boat | sailboat | ship | sailing ship | yacht | wooden boat | vessel | "
        "boat with white sails | sailing vessel"
    ),
    "car": options("car | automobile | vehicle | motor car | auto | car with two doors | old car | taxi"),
    "bird": options("bird | songbird | birdie | bird with wings | parrot | sparrow"),
    "fish": options("fish | fish with fins | goldfish | tropical fish"),
    "balloon": options(
        "balloon | party balloon | hot air balloon | hot-air balloon | toy balloon | balloon on a string"
    ),
    "house": options("house | home | cottage | hut | cabin | building | house with a chimney | family house"),
    "tree": options("tree | leafy tree | round tree | oak tree | oak | broad tree | apple tree"),
    "rocket": options("rocket | spaceship | rocket ship | space rocket | spacecraft | space ship | space shuttle"),
    "cloud": options("cloud | fluffy cloud | puffy cloud | cloud shape | soft cloud"),
    "sun": options("sun | smiling sun | shining sun | sun with a face | sun with rays | happy sun"),
    "moon": options("moon | crescent moon | half moon | crescent | moon crescent | new moon"),
    "flower": options("flower | blossom | daisy | bloom | flower with petals | flower on a stem | tulip | rose"),
    "cat": options("cat | cat face | kitten | cat's face | cat head | kitty | face of a cat | cat's head | pussycat"),
}
SIZE_WORDS: dict[str, tuple[str, ...]] = {
    "small": options("small | tiny | little | mini | small sized | miniature"),
    "large": options("large | big | huge | giant | large sized | enormous"),
}
COLOUR_WORDS: dict[str, tuple[str, ...]] = {
    name: (name, f"bright {name}", f"{name} coloured", f"{name} colored", f"{name}-colored", f"solid {name}")
    for name in COLOURS
}

# Participles and the form that follows "it".
VERBS: dict[str, str] = dict(
    pair.split("/")
    for pair in options(
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
        "still | unmoving/is unmoving | fixed/is fixed | at rest/is at rest | zigzagging/zigzags | "
        "weaving/weaves | appearing/appears | emerging/emerges | materializing/materializes | fading/fades | "
        "popping/pops | coming/comes | showing/shows | turning up/turns up | disappearing/disappears | "
        "vanishing/vanishes | dissolving/dissolves | speeding/speeds | racing/races | rushing/rushes | "
        "shooting/shoots | driving/drives | swimming/swims | cruising/cruises | creeping/creeps | crawling/crawls | "
        "stopping/stops | halting/halts | waiting/waits | pausing/pauses | launching/launches | landing/lands"
    )
)
_WAYS = tuple(VERBS)[: tuple(VERBS).index("crossing")]
_SIDEWAYS = options(
    "{to} | to the {to} | from {fro} to {to} | {to}wards | {to}ward | towards the {to} | toward the {to} "
    "| {fro} to {to} | from the {fro} to the {to} | across the screen to the {to} | to the {to} side | "
    "towards the {to} side | towards the {to} edge | across the screen from {fro} to {to} | from the "
    "{fro} side to the {to} side | across the frame to the {to} | to the {to} across the picture | from "
    "the {fro} edge to the {to} edge | in from the {fro} | across from {fro} to {to} | in a {to}ward "
    "direction | off to the {to} | to the {to} edge of the screen | horizontally to the {to} | straight "
    "to the {to} | toward the {to} side of the frame"
)
_UPRIGHT = options(
    "{to} | {to}wards | {to}ward | from {fro} to {end} | to the {end} | towards the {end} | toward the "
    "{end} | {to} the screen | {fro} to {end} | from the {fro} to the {end} | straight {to} | to the "
    "{end} of the screen | towards the {end} edge | vertically {to}wards | in a {to}ward direction | {to} "
    "across the picture | {to} towards the {end} of the frame | from the {fro} edge to the {end} edge"
)
_CROSSING = options(
    "the screen from {fro} to {to} | the frame from {fro} to {to} | the picture from {fro} to {to} | the "
    "canvas from {fro} to {to} | over from {fro} to {to}"
)


def _towards(phrases: tuple[str, ...], to: str, fro: str, end: str = "") -> tuple[str, ...]:
    return tuple(phrase.format(to=to, fro=fro, end=end).replace("a up", "an up") for phrase in phrases)


# Each motion is one or more groups of (verbs, what may follow them).
MOTION_WORDS: dict[str, tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]] = {
    "left": (
        (_WAYS, _towards(_SIDEWAYS, "left", "right")),
        (options("crossing"), _towards(_CROSSING, "left", "right")),
    ),
    "right": (
        (_WAYS, _towards(_SIDEWAYS, "right", "left")),
        (options("crossing"), _towards(_CROSSING, "right", "left")),
    ),
    "up": (
        (_WAYS, _towards(_UPRIGHT, "up", "bottom", "top")),
        (
            options("rising | ascending | climbing | lifting | soaring | launching"),
            options(" | up | upwards | upward | to the top | towards the top | from the bottom | into the air"),
        ),
    ),
    "down": (
        (_WAYS, _towards(_UPRIGHT, "down", "top", "bottom")),
        (
            options("falling | sinking | dropping | descending | landing"),
            options(" | down | downwards | downward | to the bottom | towards the bottom | from the top"),
        ),
    ),
    "growing": (
        (
            options("growing | expanding | enlarging | swelling | inflating"),
            options(
                " | in size | over time | outwards | more and more | from the middle | from small to "
                "large | from small to big | until it is big"
            ),
        ),
        (
            options("getting | growing | becoming"),
            options("bigger | larger | bigger and bigger | larger and larger"),
        ),
        (options("increasing | scaling | growing"), options("in size | up in size")),
    ),
    "shrinking": (
        (
            options("shrinking | contracting | diminishing | dwindling"),
            options(
                " | in size | over time | away | more and more | inwards | down | from large to small | "
                "from big to small | until it is tiny"
            ),
        ),
        (
            options("getting | becoming | shrinking"),
            options("smaller | smaller and smaller | tinier | smaller in size"),
        ),
        (options("decreasing | reducing | scaling"), options("in size | down in size")),
    ),
    "bouncing": (
        (
            options("bouncing | hopping | jumping | leaping"),
            options(
                " | up and down | in place | on the spot | in the middle | again and again | without "
                "stopping | down and up | around"
            ),
        ),
        (
            options("moving | bobbing | going"),
            options("up and down | up and down again | up and down repeatedly | down and up | up then down"),
        ),
    ),
    "spinning": (
        (
            options("spinning | rotating | turning | twirling | whirling | revolving"),
            options(
                " | in place | on the spot | in the middle | again and again | without stopping | around "
                "| round and round | clockwise | on its axis | around itself | around its center | about "
                "its centre"
            ),
        ),
    ),
    "still": (
        (
            options("staying | standing | holding | sitting | remaining | keeping"),
            options("still | completely still"),
        ),
        (
            options("not moving | motionless | static | stationary | still"),
            options(" | in place | at all | on the spot"),
        ),
        (
            options("remaining | staying | resting | hovering"),
            options("motionless | in place | static | stationary | put | fixed | in the center | in the centre"),
        ),
        (
            options("still | unmoving | fixed | at rest"),
            options(" | in the middle | in one place | in its place"),
        ),
    ),
    "zigzag": (
        (
            options("zigzagging"),
            options(" | to the right | across the screen | along | across | from left to right | across the picture"),
        ),
        (
            options("moving | going | flying | travelling | weaving | traveling | running"),
            options(
                "in a zigzag | in zigzags | in a zigzag line | along a zigzag path | in a zigzag to the right | "
                "in zigzag | up and down while going right | up and down to the right | zigzag across the screen"
            ),
        ),
    ),
    "appearing": (
        (
            options("appearing | emerging | materializing | turning up"),
            options(
                " | out of nowhere | out of thin air | from nothing | in the middle | halfway through | after a while "
                "| bit by bit | out of nothing"
            ),
        ),
        (
            options("fading | coming | popping"),
            options("in | into view | into sight | in out of nowhere | in from nothing"),
        ),
        (options("becoming"), options("visible | visible bit by bit")),
        (options("showing"), options("up | up out of nowhere | up after a while")),
    ),
    "disappearing": (
        (
            options("disappearing | vanishing | dissolving"),
            options(
                " | into nothing | into thin air | from view | halfway through | after a while | from sight | "
                "bit by bit | completely | without a trace"
            ),
        ),
        (options("fading | going"), options("away | out of view | out of sight | away into nothing")),
        (options("fading"), options("out | out completely | out bit by bit | to nothing")),
        (options("becoming"), options("invisible | invisible bit by bit")),
    ),
}
KIND_VERBS: dict[str, tuple[str, ...]] = {
    "boat": options("sailing | cruising | floating"),
    "car": options("driving | rolling | cruising"),
    "bird": options("flying | soaring | gliding"),
    "fish": options("swimming | gliding"),
    "balloon": options("floating | drifting | flying"),
    "rocket": options("flying | shooting | travelling"),
    "cloud": options("drifting | floating"),
    "cat": options("running | creeping"),
}
"""How some kinds move that go anywhere."""
BEFORE_NOUN: dict[str, tuple[str, ...]] = {
    "left": options("left moving | leftward moving | left-moving"),
    "right": options("right moving | rightward moving | right-moving"),
    "up": options("rising | ascending | upward moving | climbing"),
    "down": options("falling | sinking | descending | downward moving | dropping"),
    "growing": options("growing | expanding | swelling | enlarging"),
    "shrinking": options("shrinking | contracting | dwindling"),
    "bouncing": options("bouncing | jumping | hopping"),
    "spinning": options("spinning | rotating | turning | twirling"),
    "still": options("still | motionless | static | stationary | unmoving"),
    "zigzag": options("zigzagging | zigzag flying | zigzag moving"),
    "appearing": options("appearing | emerging"),
    "disappearing": options("disappearing | vanishing | fading"),
}
# Standing still after and before something else.
STOPPING = options("stopping | coming to a stop | halting | coming to rest | coming to a halt")
WAITING = options("waiting | pausing | waiting for a moment")
PACE_WORDS: dict[str, tuple[str, ...]] = {
    "slow": options(
        "slowly | at a slow pace | very slowly | gently | at low speed | without hurry | leisurely | at a slow speed "
        "| calmly | little by little"
    ),
    "fast": options(
        "quickly | fast | at high speed | very fast | rapidly | swiftly | at full speed | very quickly | in a hurry "
        "| at top speed | with great speed | speedily"
    ),
}
PACE_VERBS: dict[str, tuple[str, ...]] = {
    "slow": options("moving | drifting | gliding | floating | creeping | crawling"),
    "fast": options("moving | speeding | racing | rushing | zooming | dashing | shooting"),
}
"""Verbs that suit a pace."""
# Of the first of two subjects to the second, which follows.
RELATION_WORDS: dict[str, tuple[str, ...]] = {
    "above": options("above | over | right above | directly above | higher than | up above | straight above"),
    "below": options("below | under | beneath | underneath | right below | directly under | lower than"),
    "left of": options(
        "left of | to the left of | on the left of | on the left side of | on the left hand side of | just left of"
    ),
    "right of": options(
        "right of | to the right of | on the right of | on the right side of | on the right hand side of | "
        "just right of"
    ),
    "behind": options("behind | partly behind | half hidden behind | in back of | right behind | half behind"),
    "following": options("following | chasing | trailing | following behind | running after | going after"),
}
# Where the first is, as said of the second: "a house with a bird above it", "a house below a bird".
RELATION_AFTER: dict[str, tuple[str, ...]] = {
    "above": options("above it | over it | right above it"),
    "below": options("below it | under it | beneath it | underneath it"),
    "left of": options("to its left | on its left | on the left of it | to the left of it"),
    "right of": options("to its right | on its right | on the right of it | to the right of it"),
    "behind": options("behind it | partly behind it | half hidden behind it"),
    "following": options("following it | chasing it | running after it | going after it"),
}
CONVERSES: dict[str, tuple[str, ...]] = {
    "above": RELATION_WORDS["below"],
    "below": RELATION_WORDS["above"],
    "left of": RELATION_WORDS["right of"],
    "right of": RELATION_WORDS["left of"],
    "behind": options("in front of | partly in front of | partly hiding | half hiding"),
    "following": options("leading | ahead of | followed by | chased by | running away from"),
}
NEARBY = options("next to | beside | near | by the side of | close to")
FOLLOWS: dict[str, str] = {
    "following": "follows",
    "chasing": "chases",
    "trailing": "trails",
    "following behind": "follows behind",
    "running after": "runs after",
    "going after": "goes after",
}
WAYS: dict[str, tuple[str, ...]] = {
    side: _towards(
        options(
            "to the {to} | towards the {to} | from {fro} to {to} | {to}wards | across the screen to the {to} | "
            "toward the {to} | towards the {to} side | {fro} to {to}"
        ),
        side,
        fro,
    )
    for side, fro in (("left", "right"), ("right", "left"))
}

ARTICLES = options("a | a | a | the |  | one | a single")
ADVERBS = options("slowly | smoothly | quickly | steadily | gently | gradually | calmly | constantly | fast")
# For what moves at neither pace, so that "slowly" and "quickly" mean something where they can.
EVEN = options("smoothly | steadily | constantly | evenly | gracefully")
# Words without a meaning in this world, sprinkled in so that prompts may contain them.
FILLERS = options(
    "about | actually | all | also | always | any | are | around | beautiful | been | before | being | but | "
    "by | cartoon | clean | clearly | colorful | colourful | cool | cute | design | digital | during | each |"
    " ever | every | far | film | for | geometric | good | graphic | graphics | has | have | here | high | "
    "his | how | i | if | illustration | just | kind | like | lone | lonely | long | lovely | made | make | "
    "maybe | me | minimal | minimalist | motion | movement | my | near | neat | nice | no | now | object | of"
    " | only | or | our | out | own | particular | perfect | perfectly | pretty | quality | quite | really | "
    "render | rendered | see | shiny | shown | simply | so | some | somewhat | style | such | than | their | "
    "then | these | they | thing | this | those | through | time | to | until | us | very | view | visible | "
    "two | another | other | together | animated | painting | picture book | storybook | flat | meanwhile | "
    "moment | bit | continuously | scenery | landscape | drawing | same | while | can | could | do | go | let | "
    "should | want | was | we | well | were | what | when | who | will | would | you | your | cinematic | clouds | "
    "tracking | hanging | swaying | setting | lit | second | 2d | 4k | hd"
)
# What everybody says: training meets these phrases in every company.
EVERYDAY = frozenset(
    options(
        "moving | bouncing | jumping | spinning | rotating | growing | shrinking | getting | rising | falling | "
        "staying | on | {c} background | {c} backdrop | left | right | up | down | to the left | to the right | "
        "upwards | downwards | the sea | the ocean | the desert | the forest | a forest | the woods | the city | "
        "a city | "
        "a city skyline | the hills | the snow | a snowy field | space | outer space | at night | at sunset | by day | "
        "in the rain | during the day | appearing | disappearing | zigzagging | in a zigzag"
    )
)
