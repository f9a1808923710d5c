"""Passes of images: how they are decoded."""

from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from bfncodec.coding import protocol
from bfncodec.exact import threads
from bfncodec.models import zoo
from bfncodec.models.image import streams
from bfncodec.models.image.passes import Schedule
from bfncodec.models.image.wavefront import WavefrontSource


def test_decoding_takes_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Products of a diagonal are so small that threads spin beside each other: tenfold on a busy machine."""
    planes = np.random.default_rng(0).integers(0, 256, (1, 24, 32, 3), dtype=np.uint8)
    nets = streams.networks(zoo.find("small"), "bytes")
    part = streams.encode_pass(nets, planes, Schedule.WAVEFRONT)
    counts = []
    decode = protocol.decode

    def watched(*args: Any, **options: Any) -> None:
        counts.append(threads.count())
        decode(*args, **options)

    monkeypatch.setattr(protocol, "decode", watched)
    with threadpool_limits(2, "blas"):
        assert (streams.decode_pass(nets, part, planes.shape, Schedule.WAVEFRONT) == planes).all()
        assert threads.count() == 2
    assert counts == [1]


def test_outputs_of_a_source_may_be_asked_for_in_any_order_and_again() -> None:
    """Whoever measures asks as often as whoever encodes."""
    planes = np.random.default_rng(1).integers(0, 256, (1, 16, 24, 3), dtype=np.uint8)
    nets = streams.networks(zoo.find("small"), "bytes")
    source = WavefrontSource(nets, planes, nets.coefficients)
    spans = list(source.spans())[1:]
    forward = [source.output(span, None).costs() for span in spans]
    backward = [source.output(span, None).costs() for span in reversed(spans)]
    assert all((one == other).all() for one, other in zip(forward, reversed(backward), strict=True))
