"""The image encoders at the sizes that were published with the families here, for use without a file of weights.

Knows which encoder has how many parameters, and no release by its name.
"""

from __future__ import annotations

from collections.abc import Mapping

from .config import ImageEncoderConfig

NETWORKS: Mapping[str, Mapping[int, ImageEncoderConfig]] = {"image_encoder": {630_766_080: ImageEncoderConfig()}}
"""Part → how many parameters → the configuration: the vision tower of OpenCLIP's ViT-H/14, all its layers counted.

Source: the shapes of the published files.
"""
