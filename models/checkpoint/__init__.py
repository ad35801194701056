"""From a file or a folder to a network: header, family, configuration, modules. Strict, and never a pickle.

    header.py       the names, types and shapes in a safetensors file, read without torch
    shards.py       the files of one part: a single file, or shards and their index
    scales.py       the scales of 8-bit weights, taken out from between the tensors
    parts.py        what a part is
    contents.py     the parts in a weight file or in a part's folder
    beside.py       the parts that lie beside a transformer
    inspect.py      what a path is, what it holds and what it lacks
    changes.py      what LoRAs change, as records
    lora.py         small changes to the weights of a part, and lora_names.py the names in their files
    fetched.py      parts out of the hub's cache
    settle.py       whether parts fit each other, and the card made exact by them
    locate.py       a name or a path and the card that goes with it
    mapping.py      files as memory (torch)
    merge.py        scales and changes put into weights (torch)
    build.py        the modules themselves, mapped and assigned (torch)
    save.py         the way back to disk (torch)

Knows nothing of what a network computes, of users or of terminals.
"""

from __future__ import annotations

from .inspect import Inspection, inspect
from .locate import Located, locate
from .parts import Part

__all__ = ["Inspection", "Located", "Part", "inspect", "locate"]
