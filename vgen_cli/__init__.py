"""Everything between a person and the mathematics: recipes, files, progress. Never spells a layer.

From Python, a recipe becomes a clip as it does at the shell:

    import vgen_cli

    recipe = vgen_cli.Recipe.create(command="t2v", prompt="a red circle moving right on a blue background", seed=1)
    clip = vgen_cli.render(recipe, "clip.mp4")
    print(clip.path, clip.num_frames, clip.fps)

What is named in `__all__` is imported when it is first asked for; `import vgen_cli` alone loads nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .version import __version__ as __version__

if TYPE_CHECKING:
    from models.errors import ModelError

    from .api import Clip, Session, Stream, frames, plan_of, render
    from .errors import MediaError, RunError, UsageError, VgenError
    from .plan import Plan
    from .recipe import Recipe

__all__ = (
    "Clip",
    "MediaError",
    "ModelError",
    "Plan",
    "Recipe",
    "RunError",
    "Session",
    "Stream",
    "UsageError",
    "VgenError",
    "frames",
    "plan_of",
    "render",
)
_ELSEWHERE = {
    "ModelError": "models.errors",
    "Plan": "vgen_cli.plan",
    "Recipe": "vgen_cli.recipe",
    **dict.fromkeys(("MediaError", "RunError", "UsageError", "VgenError"), "vgen_cli.errors"),
}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """What `__all__` names, from where it stands."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        return getattr(import_module(_ELSEWHERE.get(name, "vgen_cli.api")), name)

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
