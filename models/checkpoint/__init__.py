"""From a file or a folder to a network: header, family, configuration, modules. Strict, and never a pickle.

    header.py       the names, types and shapes in a safetensors file, read without torch
    shards.py       the files of one part: a single file, or shards and their index
    parts.py        the parts of a model in a folder or a file
    inspect.py      what a path is, what it holds and what it lacks
    lora.py         small changes to the weights of a part
    fetched.py      parts out of the hub's cache
    locate.py       a name or a path and the card that goes with it
    mapping.py      files as memory (torch)
    build.py        the modules themselves, mapped and assigned (torch)
    save.py         the way back to disk (torch)

Knows nothing of what a network computes, of users or of terminals.
"""

from __future__ import annotations

from .inspect import Inspection, inspect
from .locate import Located, locate
from .parts import Part

__all__ = ["Inspection", "Located", "Part", "inspect", "locate"]
