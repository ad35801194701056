"""What falls past the camera: small specks that come and go over everything that lasts, told by colour and form."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_PALE, _BROWN = (252, 252, 255), (206, 122, 44)  # rain is nearly as pale as snow


@dataclass(frozen=True)
class Specks:
    """What can be measured of specks: the share of the picture that pale and brown ones cover, and how long they are.

    Attributes:
        slant: how like itself a pale share is a few pixels further down, less the same for pixels to the side.
    """

    pale: float
    brown: float
    slant: float

    @property
    def weather(self) -> str:
        """Of `WEATHERS`, or ""."""
        if max(self.pale, self.brown) < 0.006:
            return ""
        if self.brown > self.pale:
            return "leaves"
        return "rain" if self.slant > 0.1 else "snow"


def specks(video: Tensor, behind: Tensor, hidden: Tensor) -> Specks:
    """Measure specks in a clip `(3, T, H, W)` before what lasts, but where subjects are, `(T, H, W)` bool."""
    change = video - behind
    shares = []
    for colour in (_PALE, _BROWN):
        toward = video.new_tensor(colour)[:, None, None, None] / 255 - behind
        power = toward.square().sum(0)
        share = ((change * toward).sum(0) / power.clamp(min=0.01)).clamp(0, 1)
        rest = (change - share * toward).square().sum(0).sqrt()
        seen = ~hidden & (power > 0.04)  # on snow nobody sees snow
        shares.append((share * (rest < 0.08 + 0.3 * share * power.sqrt()) * seen, float(seen.float().mean())))
    (pale, pale_seen), (brown, brown_seen) = shares
    pale, brown = (torch.where(share > 0.15, share, 0.0) for share in (pale, brown))
    pale = torch.where(brown > pale, 0.0, pale)
    own = float(pale.square().mean()) + 1e-6
    down = float((pale[:, 3:] * pale[:, :-3]).mean()) / own
    aside = float((pale[..., 3:] * pale[..., :-3]).mean()) / own
    return Specks(float(pale.mean()) / max(pale_seen, 0.05), float(brown.mean()) / max(brown_seen, 0.05), down - aside)
