"""After drafts: they are remembered by their seeds, and shown together on a contact sheet. Knows no tensor."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import VgenError
from ..events import Listener, Note
from ..kept import drafts
from ..kept.record import Order
from ..kept.settings import settings
from ..kept.store import write

if TYPE_CHECKING:
    from ..plan import Plan


def drafted(order: Order, plan: Plan, listener: Listener) -> None:
    """Drafts of one command stand.

    Args:
        order: with all of them; those that are not there any more are left out.
        plan: of the last one.
    """
    from ..cascade.pipeline import carried

    note = {name: value for name, value in carried(plan, plan.recipe).items() if name != "seed"}
    made = [(seed, output) for seed, output in order.clips if seed is not None and os.path.exists(output)]
    if not made:
        return
    try:
        drafts.remember(settings().root, drafts.Drafts(note, order.folder, tuple(made)))
        way = " ".join(str(seed) for seed, _ in made[:2])
        listener(Note(f"the whole clip of a draft: vgen promote {way}{' …' if len(made) > 2 else ''}"))
        if len(made) > 1:
            listener(Note(f"contact sheet: {_sheet(made, overwrite=order.overwrite)}"))
    except (OSError, VgenError) as fault:
        listener(Note(f"no contact sheet: {getattr(fault, 'strerror', None) or fault}"))


def _sheet(made: list[tuple[int, str]], *, overwrite: bool) -> Path:
    """The contact sheet beside the first draft, named after it without its seed."""
    from ..media.sheet import contact_sheet

    seed, output = made[0]
    first = Path(output)
    stem = f"{(first.stem if first.suffix else first.name).removesuffix(f'-{seed}')}-sheet"
    path, number = first.with_name(f"{stem}.png"), 1
    while not overwrite and os.path.lexists(path):
        number += 1
        path = first.with_name(f"{stem}-{number}.png")
    write(path, contact_sheet([(f"seed {seed}", Path(output)) for seed, output in made]))
    return path
