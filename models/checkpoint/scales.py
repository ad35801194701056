"""The scales of 8-bit weights, taken out from between the tensors of a file. Knows names, types and shapes alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..errors import UnsupportedConfigError
from .shards import StoredTensor

NARROW_TYPES = ("F8_E4M3", "F8_E5M2")
"""Stored types without arithmetic."""
WEIGHT_TYPES = ("F16", "BF16", "F32", "F64", *NARROW_TYPES)
"""Stored types that a weight may have."""

_SCALES = (".scale_weight", ".weight_scale")
"""What stands for `.weight` in the name of its scale; the second spelling is the newer one."""
_UNUSED = ("scaled_fp8", "scale_input", "input_scale", "comfy_quant")
"""Last segments of what marks such files, or serves arithmetic in 8 bits."""
_FOURTH = ".weight_scale_2"


def unscaled(stored: Mapping[str, StoredTensor], path: Path) -> tuple[dict[str, StoredTensor], dict[str, StoredTensor]]:
    """The tensors of a file that are weights, and the scales of those that have one, by the weight's name.

    Args:
        path: of the file, for the message.

    Raises:
        UnsupportedConfigError: weights of 4 bits, 8-bit integers, or a scale for every block of a row.

    Source: ComfyUI (`QUANTIZATION.md`, and its loader of `scaled_fp8`).
    """
    plain = {name: tensor for name, tensor in stored.items() if name.rpartition(".")[2] not in _UNUSED}
    fourth = next((name for name in plain if name.endswith(_FOURTH)), None)
    if fourth is not None:
        raise UnsupportedConfigError(_refusal(path, f"4-bit weights ({fourth})"))
    scales = {}
    for name in [name for name in plain if name.endswith(_SCALES)]:
        scale = plain.pop(name)
        weight = f"{name.rpartition('.')[0]}.weight"
        if weight not in stored or stored[weight].dtype not in NARROW_TYPES:
            raise UnsupportedConfigError(_refusal(path, f"a scale ({name}) without 8-bit floats to scale"))
        if scale.size not in (1, stored[weight].shape[0]) or scale.dtype not in ("F32", "F16", "BF16"):
            raise UnsupportedConfigError(_refusal(path, f"weights scaled by blocks ({name})"))
        scales[weight] = scale
    return plain, scales


def _refusal(path: Path, found: str) -> str:
    return f"{path} holds {found}, which are not implemented; use the fp8, fp16 or bf16 file of these weights"
