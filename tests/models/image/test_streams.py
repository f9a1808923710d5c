"""Passes of images: how they are decoded."""

import numpy as np

from bfncodec.models import zoo
from bfncodec.models.image import streams
from bfncodec.models.image.wavefront import WavefrontSource


def test_outputs_of_a_source_may_be_asked_for_in_any_order_and_again() -> None:
    """Whoever measures asks as often as whoever encodes."""
    planes = np.random.default_rng(1).integers(0, 256, (1, 16, 24, 3), dtype=np.uint8)
    nets = streams.networks(zoo.find("small"), "bytes")
    source = WavefrontSource(nets, planes, nets.coefficients)
    spans = list(source.spans())[1:]
    forward = [source.output(span, None).costs() for span in spans]
    backward = [source.output(span, None).costs() for span in reversed(spans)]
    assert all((one == other).all() for one, other in zip(forward, reversed(backward), strict=True))
