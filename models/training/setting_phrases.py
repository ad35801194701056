"""What is behind and around a subject, in words: backdrops, landscapes, times of day, weather and cameras.

Words only, listed from common to rare; how they are put together is the business of `wording.py`.
"""

from __future__ import annotations

from .phrases import options

# {c} is the colour and {d} its darker shade.
BACKDROP_WORDS: dict[str, tuple[str, ...]] = {
    "plain": options(
        "{c} background | {c} backdrop | plain {c} background | solid {c} background | {c} canvas | {c} "
        "screen | {c} wall | {c} plain background | plain {c} backdrop | uniform {c} background | flat "
        "{c} background | {c} surface | simple {c} background | {c} colored background | {c} coloured "
        "backdrop | solid {c} backdrop | empty {c} background | background of {c} | background that is "
        "{c} | completely {c} background | {c} page | {c} field"
    ),
    "gradient": options(
        "{c} gradient | {c} gradient background | gradient {c} background | {c} background fading to {d} "
        "| background fading from {c} to {d} | {c} gradient backdrop | {c} background with a gradient | "
        "background that fades from {c} to {d} | background with a {c} gradient | smooth {c} gradient | "
        "{c} shaded background | gradient from {c} to {d} | {c} to {d} gradient"
    ),
    "stripes": options(
        "{c} striped background | striped {c} background | background with {c} stripes | {c} background "
        "with stripes | {c} stripes | {c} striped backdrop | striped {c} wall | {c} stripe pattern | "
        "background of {c} stripes | {c} vertical stripes | {c} striped pattern | {c} and {d} stripes"
    ),
    "checkerboard": options(
        "{c} checkerboard | {c} checkered background | {c} checkerboard background | checkered {c} "
        "background | {c} chequered background | {c} checkerboard pattern | chequered {c} backdrop | {c} "
        "background with a checkerboard pattern | {c} checked background | {c} chessboard | background "
        "with {c} checks | {c} and {d} checkerboard"
    ),
    "stars": options(
        "{c} starry sky | starry {c} background | {c} sky with stars | {c} background with stars | starry "
        "{c} sky | {c} night sky with stars | {c} starry background | {c} starry night sky | {c} sky full "
        "of stars | {c} night sky | {c} background full of stars | {c} background with white stars | {c} "
        "space with stars | {c} background dotted with stars"
    ),
}
CLAUSES: dict[str, tuple[str, ...]] = {
    "plain": options(
        "the background is {c} | background is {c} | the background color is {c} | with {c} behind it | "
        "the backdrop is {c} | {c} behind it | background: {c} | the background colour is {c} | "
        "background {c} | everything behind it is {c} | the wall behind it is {c} | on {c}"
    ),
    "gradient": options("the background is a {c} gradient | background: {c} gradient | a {c} gradient behind it"),
    "stripes": options("the background is striped {c} | the background has {c} stripes | {c} stripes behind it"),
    "checkerboard": options(
        "the background is a {c} checkerboard | the background is checkered {c} | a {c} checkerboard behind it"
    ),
    "stars": options(
        "the background is a starry {c} sky | behind it is a {c} sky with stars | {c} sky with stars behind"
    ),
}
PREPOSITIONS = options("on | against | over | with | in front of | upon | on top of | across | in | within | before")

Places = tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]

# Each landscape is one or more groups of (prepositions, what may follow them).
SETTING_PLACES: dict[str, Places] = {
    "sea": (
        (
            options("on | across | over | above | upon"),
            options(
                "the sea | the ocean | the waves | the water | a calm sea | the open sea | a blue sea | "
                "ocean waves | the lake | a lake | rough sea"
            ),
        ),
        (options("at | by"), options("sea")),
        (options("in | on | in front of"), options("the ocean | the sea | the water | the deep sea | a wavy sea")),
    ),
    "hills": (
        (
            options("among | in | over | on | across | above | in front of"),
            options(
                "the hills | green hills | rolling hills | the green hills | grassy hills | a hilly landscape | "
                "hilly countryside | the meadows | a green valley | the mountains | the countryside | a meadow | "
                "grassland"
            ),
        ),
    ),
    "desert": (
        (
            options("in | across | over | through"),
            options(
                "the desert | a desert | a sandy desert | a hot desert | a desert landscape | a desert with cacti | "
                "the dry desert | the sahara"
            ),
        ),
        (options("on | over | across | among"), options("the sand | sand dunes | the dunes | desert sand")),
    ),
    "city": (
        (
            options("in | through | across | over | above"),
            options(
                "the city | a city | a town | a city street | the streets of a city | the town | downtown | "
                "a busy city | a road in the city | the city street | an urban street"
            ),
        ),
        (
            options("in front of | against | before | over | above"),
            options(
                "a city skyline | the skyline | the city skyline | tall buildings | skyscrapers | the skyscrapers | "
                "the buildings | city buildings | high buildings"
            ),
        ),
    ),
    "space": (
        (
            options("in | through | across"),
            options(
                "space | outer space | deep space | the universe | the cosmos | the galaxy | empty space | "
                "a starry space | the milky way | dark space"
            ),
        ),
        (
            options("among | in front of | between"),
            options("the stars of space | stars and planets | stars and a planet"),
        ),
    ),
    "forest": (
        (
            options("in | through | in front of | over"),
            options(
                "a forest | the forest | the woods | a pine forest | a green forest | a wood | the woodland | "
                "a jungle | a forest of pines"
            ),
        ),
        (
            options("among | between | in front of"),
            options("the trees | pine trees | fir trees | the pines | forest trees | firs | tall trees"),
        ),
    ),
    "snow": (
        (
            options("over | on | across | above | in"),
            options(
                "a snowy field | the snow | a snow field | snowy ground | a snowy landscape | a field of snow | "
                "a winter landscape | a snowfield | a snow-covered field | a snowy plain | the ice | "
                "wintry ground | white snow"
            ),
        ),
    ),
}
SETTING_NAMES: dict[str, tuple[str, ...]] = {
    "sea": options("sea | ocean | calm sea | seascape | sea scene | wavy ocean | sea background"),
    "hills": options("hilly landscape | landscape with hills | hill landscape | green valley | row of hills"),
    "desert": options("desert | sandy desert | desert landscape | desert scene | desert background"),
    "city": options("city | city skyline | town | city scene | city street | skyline | city background"),
    "space": options("space scene | starry universe | galaxy | space background | view of outer space"),
    "forest": options("forest | pine forest | forest scene | wood | forest landscape | forest background"),
    "snow": options("snowy field | snowy landscape | winter landscape | snow field | winter scene | snow scene"),
}
"""As a countable noun."""
SETTING_CLAUSES = options(
    "with {p} behind it | with {p} in the background | the background is {p} | behind it is {p} | "
    "{p} in the background "
    "| the scene is {p} | background: {p} | behind it we see {p}"
)

Remarks = tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]

# What is said of time, weather and camera: phrases that follow or precede a sentence, sentences, and mere tags.
TIME_WORDS: dict[str, Remarks] = {
    "day": (
        options(
            "by day | during the day | in daylight | in the daytime | at noon | at midday | in bright daylight | "
            "in the sunlight | in the middle of the day | in the afternoon | in the morning"
        ),
        options("it is day | it is daytime | the day is bright"),
        options("daytime | daylight | day | day time"),
    ),
    "sunset": (
        options(
            "at sunset | at dusk | in the evening | at sundown | in the evening light | during sunset | at dawn | "
            "in the golden hour | at sunrise | in the twilight | as evening falls | as the sun sets | "
            "at the end of the day | in the morning light | under a sunset sky"
        ),
        options("it is evening | evening is falling | it is sunset | it is getting dark | the evening sky glows"),
        options("sunset | evening | dusk | sunset light | golden hour"),
    ),
    "night": (
        options(
            "at night | by night | in the dark | at midnight | in the night | in the moonlight | late at night | "
            "during the night | under the stars | in darkness | under the night sky | by moonlight | after dark"
        ),
        options("it is night | it is dark | night has fallen | it is late at night"),
        options("night | nighttime | night scene | night time"),
    ),
}
WEATHER_WORDS: dict[str, Remarks] = {
    "rain": (
        options(
            "in the rain | while it rains | in heavy rain | in the pouring rain | as rain falls | with rain falling | "
            "while it is raining | on a rainy day | in rainy weather | during a rain shower | in a rainstorm | "
            "in light rain | during a storm | in a drizzle"
        ),
        options("it rains | it is raining | rain falls | rain is falling | rain is pouring down | it rains hard"),
        options("rain | rainy weather | heavy rain | raining | rainy"),
    ),
    "snow": (
        options(
            "while snow falls | while it snows | in falling snow | with snow falling | as snow falls | "
            "in the snowfall | "
            "while it is snowing | with snowflakes falling | in a snow storm | with falling snowflakes | "
            "in a snowstorm | in a blizzard"
        ),
        options(
            "it snows | it is snowing | snow falls | snow is falling | snowflakes are falling | snowflakes drift down"
        ),
        options("snowfall | snowing | falling snow | snowflakes | snow storm"),
    ),
    "leaves": (
        options(
            "with leaves blowing in the wind | in the wind | while leaves fly past | with autumn leaves blowing past | "
            "as leaves blow by | on a windy day | with leaves in the air | among flying leaves | in windy weather | "
            "while the wind blows leaves past | in a strong wind | in the breeze | with leaves swirling around"
        ),
        options(
            "leaves blow in the wind | the wind blows leaves past | leaves fly past | leaves are blowing by | "
            "it is windy | "
            "autumn leaves fly through the air"
        ),
        options("windy | blowing leaves | autumn leaves | wind | flying leaves | leaves in the wind"),
    ),
}


def _pan(side: str) -> Remarks:
    return (
        options(
            f"with a pan to the {side} | as the view pans {side} | in a pan to the {side} | with a {side} pan | "
            f"with the camera panning {side} | as we pan {side}"
        ),
        options(
            f"the camera pans {side} | the camera pans to the {side} | the camera moves {side} | "
            f"the camera is panning {side} "
            f"| the view pans to the {side} | the camera turns to the {side} | the camera swings to the {side}"
        ),
        options(
            f"panning {side} | pan {side} | camera pans {side} | camera pan to the {side} | camera panning {side} | "
            f"{side} pan"
        ),
    )


def _zoom(way: str, verb: str, place: str) -> Remarks:
    return (
        options(
            f"with a slow zoom {way} | with a zoom {way} | as the view zooms {way} | in a slow zoom {way} | "
            f"as we zoom {way} | with the camera zooming {way}"
        ),
        options(
            f"the camera zooms {way} | the camera slowly zooms {way} | the camera is zooming {way} | "
            f"the camera moves {place} | "
            f"the view zooms {way} | the camera {verb}"
        ),
        options(
            f"zoom {way} | slow zoom {way} | zooming {way} | camera zooms {way} | camera zoom {way} | "
            f"zoom {way} shot | zooming {way} slowly | dolly {way}"
        ),
    )


CAMERA_WORDS: dict[str, Remarks] = {
    "pan left": _pan("left"),
    "pan right": _pan("right"),
    "zoom in": _zoom("in", "comes closer", "closer"),
    "zoom out": _zoom("out", "pulls back", "further away"),
    "shake": (
        options(
            "with a shaky camera | filmed with a shaky camera | with a handheld camera | filmed by hand | "
            "with camera shake"
        ),
        options(
            "the camera shakes | the camera is shaking | the camera trembles | the picture shakes | the camera wobbles"
        ),
        options(
            "shaky camera | handheld camera | handheld, shaky camera | camera shake | handheld | shaky footage | "
            "shaky cam | shaking camera | handheld footage | hand-held camera | wobbly camera"
        ),
    ),
}
STILL_CAMERA: Remarks = (
    options("with a still camera | with a static camera | without camera movement"),
    options("the camera stands still | the camera does not move | the camera stays still"),
    options("static camera | static shot | fixed camera | still camera | no camera movement"),
)
# Before the noun of a landscape.
TIME_ADJECTIVES: dict[str, tuple[str, ...]] = {
    "day": options("sunlit | daytime | sunny"),
    "sunset": options("evening | sunset | twilight"),
    "night": options("dark | nighttime | moonlit | night"),
}
WEATHER_ADJECTIVES: dict[str, tuple[str, ...]] = {
    "rain": options("rainy | wet | rain-swept"),
    "snow": options("snowy | snow-swept"),
    "leaves": options("windy | windswept"),
}
