"""What networks that take a control are given beside the prompt: a clip kept outside of a mask or one that guides.

Pure arithmetic on a recipe, a card and the facts of the files that enter. Knows no encoder.
"""

from __future__ import annotations

from dataclasses import replace

from models import catalog
from models.catalog import ModelCard

from ..errors import UsageError
from ..recipe import Recipe, flag
from ..sources import Sources
from .records import Controls, Footage
from .route import Route
from .sampled import from_footage

CONTROL = "control"
"""How a card says that its network takes one, and the role of the clip that is."""


def guided_by_clip(recipe: Recipe, card: ModelCard, sources: Sources) -> Route:
    """A clip made after `recipe.control`, or in place of what `recipe.mask` shows of `recipe.video`, frame by frame.

    Raises:
        UsageError: this model takes no such thing, or the clip is shorter than what was asked for.
    """
    _check(recipe, card)
    path = recipe.control or recipe.video
    facts = sources.video if recipe.control is None else sources.clips.get(recipe.control)
    if facts is None:
        raise UsageError(f"{path} is a picture; a video guides what moves, and vgen i2v starts from a picture")
    way = from_footage(replace(recipe, video=path, strength=1.0), card, replace(sources, video=facts))
    assert way.footage is not None
    return replace(way, footage=replace(way.footage, role=CONTROL))


def controls_of(recipe: Recipe, card: ModelCard, sources: Sources, way: Route) -> Controls:
    """The mask, the references and the strength of a control, beside the clip that a route leads in.

    Raises:
        UsageError: this model takes no such thing, or the mask is shorter than its clip.
    """
    if not (recipe.mask or recipe.reference or recipe.control_scale is not None):
        return Controls()
    _check(recipe, card)
    scale = 1.0 if recipe.control_scale is None else recipe.control_scale
    return Controls(_mask(recipe, sources, way), recipe.reference or (), scale)


def _mask(recipe: Recipe, sources: Sources, way: Route) -> Footage | None:
    if recipe.mask is None:
        return None
    assert way.footage is not None, "a mask is that of a clip"
    facts = sources.clips.get(recipe.mask)
    if facts is None:
        return replace(way.footage, path=recipe.mask, facts=None, num_frames=1)
    if facts.num_frames / facts.fps < way.num_frames / way.fps - 1 / facts.fps:
        raise UsageError(
            f"{recipe.mask} lasts {float(facts.num_frames / facts.fps):.4g} s, shorter than the "
            f"{float(way.num_frames / way.fps):.4g} s of the clip that it masks; give a picture, or a longer mask"
        )
    retimed = way.footage.fps != facts.fps or facts.variable_rate
    return replace(way.footage, path=recipe.mask, facts=facts, num_frames=facts.num_frames, retimed=retimed)


def _check(recipe: Recipe, card: ModelCard) -> None:
    if card.pictures == CONTROL:
        return
    said = next(name for name in ("mask", "control", "reference", "control_scale") if getattr(recipe, name) is not None)
    able = [name for name in catalog.names() if catalog.find(name).pictures == CONTROL]
    raise UsageError(f"{flag(said)} does not apply: {card.name} takes no control; these do: {', '.join(able)}")
