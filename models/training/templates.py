"""The sentences that captions fill with phrases; some of them are kept back for evaluation only."""

from __future__ import annotations

from .phrases import options

OPENERS = options(
    "a video of | an animation of | a clip of | video of | animation of | a short video of | a clip "
    "showing | clip showing | a video showing | animation showing | a simple animation of | a short clip "
    "of | footage of | an image of | a picture of | a scene with | a movie of | please make a video of | "
    "show | draw | generate | create an animation of | watch"
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


# One thing after another: {ing1}, {does1} and {ing2}, {does2} are the two motions.
SEQUENCE_TEMPLATES = (
    "{a} {on}. first it {does1}, then it {does2}",
    "{a} {does1} {on}, then {does2}",
    "{on}, {a} first {does1} and then {does2}",
    "{a} {does1} {on}. after that it {does2}",
    "first {a} {does1}, then it {does2}, {on}",
    "{a} {on} that first {does1} and then {does2}",
    "{a} {on} {does1} and after that {does2}",
    "{of} {a} {ing1} {on}, then {ing2}",
    "{a} begins by {ing1} and ends by {ing2} {on}",
    "{a_bg} with {a}, first {ing1}, later {ing2}",
    "{bare} {ing1}, then {ing2}, {bg}",
    "{a} {on}: {ing1}, then {ing2}",
    "at first {a} {does1}, afterwards it {does2}, {clause}",
    "in the first half {a} {does1}, in the second half it {does2}, {on}",
    "{a} starts out {ing1} and ends up {ing2} {on}",
    "{on}, {a} {does1} for a while, then it {does2}",
    "{a} {does1}. {clause}. then it {does2}",
)
HELD_OUT_SEQUENCES = (
    "{on} you can see {a}, first {ing1}, afterwards {ing2}",
    "this is {a} {on}: at first it {does1}, later it {does2}",
    "we watch {a} as it {does1} and in the end {does2} {on}",
    "there is {a_bg}, and {a} that {does1} to begin with and {does2} later",
    "in this clip there is {a} {on}, and first it {does1}, in the end it {does2}",
)
ING_JOINTS = (
    "{0} and then {1}",
    "first {0}, then {1}",
    "{0}, then {1}",
    "first {0} and then {1}",
    "{0} before {1}",
    "{0} and after that {1}",
    "{0} followed by {1}",
    "{1} after {0}",
    "at first {0}, later {1}",
    "{0}, afterwards {1}",
    "{0} to begin with and {1} in the end",
    "{0} and finally {1}",
)
DOES_JOINTS = (
    "{0} and then {1}",
    "first {0}, then {1}",
    "{0}, then {1}",
    "first {0} and then {1}",
    "{0} and after that it {1}",
    "{0} before it {1}",
    "{1} after it {0}",
    "at first {0}, later {1}",
    "{0} to begin with and {1} in the end",
    "{0}, then it {1}",
)
DO_JOINTS = ("{0} and then {1}", "first {0}, then {1}", "{0}, then {1}")

# Two subjects: {b} is the second, {rel} and {conv} how the first stands to it and it to the first, {back} the first
# as seen from "it"; {it} and {other} both with a plain article.
PAIR_TEMPLATES = (
    "{a} {rel} {b}, both {ing} {on}",
    "{a} {rel} {b} {on}, both {ing}",
    "{a} {rel} {b}, both of them {ing} {on}",
    "{on}, {a} {rel} {b}, both are {ing}",
    "{a} and {b} {ing} {on}, {it} {rel} {other}",
    "{of} {a} {rel} {b}, they are {ing} {on}",
    "{a} {ing} {rel} {b} {on}",
    "{a} {rel} {b} {on}. they are {ing}",
    "{on}, {a} {does} {rel} {b}",
    "{b} with {a} {back}, both {ing} {on}",
    "{b} {conv} {a}, both {ing} {on}",
    "{a} and {b} {on} are {ing} together, {it} {rel} {other}",
    "{a_bg} with {a} {rel} {b}, both {ing}",
    "{a} {rel} {b}, both {ing}, {clause}",
    "{bare} {rel} {b}, both {ing}, {bg}",
)
PAIRS_WITHOUT_MOTION = (
    "{a} {rel} {b} {on}",
    "{on}, {a} {rel} {b}",
    "{of} {a} {rel} {b} {on}",
    "{a} is {rel} {b} {on}",
    "there is {a} {rel} {b} {on}",
    "{b} with {a} {back} {on}",
    "{b} {conv} {a} {on}",
    "{a} and {b} {on}, {it} {rel} {other}",
    "{a_bg} with {a} {rel} {b}",
    "{bare} {rel} {b}, {bg}",
    "{a} {rel} {b}, {clause}",
    "{on} there is {a} {rel} {b}",
    "{bg}, {bare} {rel} {b}",
    "{clause}. {a} is {rel} {b}",
)
PAIRS_ALONE = ("{a} {rel} {b}", "{b} with {a} {back}", "{of} {a} {rel} {b}", "{bare} {rel} {b}", "{b} {conv} {a}")
PAIRS_WITHOUT_RELATION = ("{a} and {b} {on}", "{a} {near} {b} {on}", "{on}, {a} and {b}", "{of} {a} and {b} {on}")
HELD_OUT_PAIRS = (
    "{on} you can see {a} {rel} {b}, both of them {ing}",
    "we watch {a} {rel} {b} as both are {ing} {on}",
    "this is {a} {rel} {b} {on}, and both are {ing}",
    "there is {a_bg}, and {a} {rel} {b}, both of them {ing}",
    "{clause} and {a} is {rel} {b} while both are {ing}",
    "in this clip there is {a} {on}, it is {rel} {b} and both are {ing}",
)
# One that goes after another: {follows} and {follow} besides {rel}, and {way} to which side.
FOLLOWING_TEMPLATES = (
    "{a} {rel} {b} {way} {on}",
    "{a} {follows} {b} {way} {on}",
    "{on}, {a} {follows} {b} {way}",
    "{of} {a} {rel} {b} {way} {on}",
    "{a} {on} {rel} {b} {way}",
    "{b} {conv} {a} {way} {on}",
    "{a} is {rel} {b} {way} {on}",
    "{b} {ing} {on} with {a} {back}",
    "{a} {rel} {b}, both {ing} {on}",
    "{a} {follows} {b} {on}, both are {ing}",
    "watch {a} {follow} {b} {way} {on}",
    "{a} {follows} {b} {way}, {clause}",
    "{a_bg} where {a} {follows} {b} {way}",
    "{a_bg} with {a} {rel} {b} {way}",
    "there is {a} {rel} {b} {way} {on}",
)
FOLLOWING_WITHOUT_BACKDROP = ("{a} {rel} {b} {way}", "{a} {follows} {b} {way}", "{bare} {rel} {b} {way}")
FOLLOWING_WITHOUT_MOTION = ("{a} {rel} {b} {on}", "{a} {follows} {b} {on}", "{on}, {a} {follows} {b}", "{a} {rel} {b}")
HELD_OUT_FOLLOWING = (
    "{on} you can see {a} {rel} {b} {way}",
    "there is {a_bg}, and {a} that {follows} {b} {way}",
    "we watch {a} as it {follows} {b} {way} {on}",
    "this is {a} {rel} {b} {way} {on}",
    "{clause} and {a} {follows} {b} {way}",
    "in this clip there is {a} {on} and it {follows} {b} {way}",
)
