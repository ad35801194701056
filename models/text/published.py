"""The text encoders at the sizes that were published with the families here, for use without a file of weights.

Knows which encoder has how many parameters, and no release by its name.
"""

from __future__ import annotations

from collections.abc import Mapping

from .config import TextEncoderConfig

NETWORKS: Mapping[str, Mapping[int, TextEncoderConfig]] = {
    "text_encoder": {
        4_762_310_656: TextEncoderConfig(),
        5_680_910_336: TextEncoderConfig(vocab_size=256384, model_type="umt5"),
    }
}
"""Part → how many parameters → the configuration: T5 v1.1 XXL and umT5 XXL.

Source: the shapes of the published files.
"""
