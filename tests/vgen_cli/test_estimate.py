from dataclasses import replace

from models import catalog
from models.shapes import LatentShape, PixelShape
from vgen_cli import estimate


def test_a_transformer_of_8_bits_takes_half_the_room():
    card = catalog.find("ltxv-13b-0.9.8-dev")
    narrow = replace(card, weights_dtype="float8_e4m3fn")
    pixels, latent = PixelShape(9, 64, 64), LatentShape(128, 2, 2, 2)
    for kind, saved in (("base", card.part_parameters["transformer"]), ("decode", 0)):
        sizes = [estimate.stage(kind, each, pixels, latent, guided=False, size=2) for each in (card, narrow)]
        assert sizes[0] - sizes[1] == saved
        together = [
            estimate.whole(each, [(kind, size)], offload="none", size=2)
            for each, size in zip((card, narrow), sizes, strict=True)
        ]
        assert together[0] - together[1] == card.part_parameters["transformer"]
