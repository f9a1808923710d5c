"""Planes of pictures <-> the passes that they are coded in."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from bfncodec.coding import protocol
from bfncodec.coding.ans import Coder
from bfncodec.coding.ledger import Ledger
from bfncodec.errors import CorruptFile, LimitExceeded
from bfncodec.exact import kernels
from bfncodec.models import zoo
from bfncodec.models.image import coefficients, learning_heads
from bfncodec.models.image.lattice import Lattice, LatticeSource
from bfncodec.models.image.networks import Networks, load
from bfncodec.models.image.passes import Pass, Pixels, Schedule, alone, ordered
from bfncodec.models.image.wavefront import Shape, Wavefront, WavefrontSink, WavefrontSource

DEEP_CHANNELS = 3  # the trunk learns in passes that code so many, if heads do
RUN_LIMIT = 1 << 15  # pixels a diagonal at most: sums over one learning step stay exact


@zoo.per_file
def networks(path: Path, kernel: str) -> Networks:
    """The networks of a model file, made once per kernel."""
    return load(kernels.kernel(kernel), zoo.tensors(path))


def encode_pass(
    nets: Networks,
    planes: Pixels,
    schedule: Schedule,
    effort: str = "default",
    ledger: Ledger | None = None,
    known: int = 0,
    bands: int = 1,
) -> Pass:
    """The smallest pass for planes [N, H, W, channels], the first of which may be known to both sides.

    bands: how many the picture has of which they are one; the trunk learns in small pictures only.
    effort: fast asks no network; max learns all that can be learnt, at the pace that is better.
    """
    coded = planes[..., known:]
    colour = coded[0, 0, 0]
    if (coded == colour).all():
        return Pass(constant=ordered(colour).tobytes())
    if schedule is Schedule.LATTICE:
        return _pushed(LatticeSource(nets, planes), Pass(), ledger)
    fitted = coefficients.choose(planes, nets.coefficients)
    base = coefficients.pack(fitted, nets.coefficients)
    if effort == "fast":
        plan = Pass(base=base, pace=learning_heads.FIXED, fast=True)
        return _pushed(WavefrontSource(nets, planes, fitted, plan.pace, known, fast=True), plan, ledger)
    learns = alone(planes) and min(planes.shape[1:3]) <= RUN_LIMIT
    most = learns and effort == "max"
    deep = most or learns and coded.shape[3] == DEEP_CHANNELS and bands == 1
    paces = [1, 2] if most else [1 if learns else learning_heads.FIXED]
    plans = [Pass(base=base, pace=pace, deep=deep) for pace in paces]
    tried = []
    for plan in plans:
        account = ledger.blank() if ledger is not None else None
        model = WavefrontSource(nets, planes, fitted, plan.pace, known, deep=plan.deep, bands=bands)
        tried.append((_pushed(model, plan, account), account))
    best, account = min(tried, key=lambda one: len(one[0].stream))
    if ledger is not None and account is not None:
        ledger.extend(account)
    return best


def _pushed(model: WavefrontSource | LatticeSource, plan: Pass, ledger: Ledger | None) -> Pass:
    """The plan with all that its model's groups push."""
    coder = Coder()
    without = (0,) if plan.fast else ()  # noisy steps take time
    silent = sum(1 << group for group in protocol.encode(coder, model, ledger, without))
    toned = isinstance(model, WavefrontSource) and model.toned
    return replace(plan, silent=silent, tones=toned, stream=coder.data())


def decode_pass(
    nets: Networks, part: Pass, shape: Shape, schedule: Schedule, given: Pixels | None = None, bands: int = 1
) -> Pixels:
    """The planes uint8 [N, H, W, coded] of a pass of many colours; CorruptFile if it is damaged.

    shape: with all channels, those included that are `given`, uint8 [N, H, W, known]; bands: of the picture.
    """
    model = _sink(nets, part, shape, schedule, given, bands)
    coder = Coder(bytes(part.stream))
    protocol.decode(coder, model, _silent(part.silent, model))
    if not coder.empty:
        raise CorruptFile("the payload is damaged: something is left after the last pixel")
    return model.images()


def decode_thumbnails(nets: Networks, part: Pass, shape: Shape, schedule: Schedule, known: int = 0) -> Pixels:
    """Small versions uint8 [N, h, w, coded] of the planes, from the first group alone.

    known: channels that the pass does not code; their values are not asked for.
    """
    given = np.zeros((*shape[:3], known), np.uint8) if known else None
    model = _sink(nets, part, shape, schedule, given)
    protocol.decode(Coder(bytes(part.stream)), model, _silent(part.silent, model), last=1)
    return model.thumbnails()


def _sink(
    nets: Networks, part: Pass, shape: Shape, schedule: Schedule, given: Pixels | None, bands: int = 1
) -> WavefrontSink | Lattice:
    """What a pass is decoded by; CorruptFile if it has fields that it cannot have."""
    if schedule is Schedule.LATTICE:
        if part.pace or part.tones or part.deep or part.fast or part.base:
            raise CorruptFile("a lattice pass has fields that it cannot have")
        return Lattice(nets, shape)
    if part.pace != learning_heads.FIXED and shape[0] * min(shape[1:3]) > RUN_LIMIT:
        raise LimitExceeded("the block is too large for heads that learn")
    fixed = part.pace == learning_heads.FIXED
    if part.fast and (not fixed or part.tones or not nets.table.size):
        raise CorruptFile("a pass without a network has fields that it cannot have, or its model has no table")
    if part.deep and fixed:
        raise CorruptFile("a trunk learns only where heads do")
    fitted = coefficients.unpack(bytes(part.base), nets.coefficients)
    return WavefrontSink(
        nets, shape, fitted, part.pace, given, tones=part.tones, fast=part.fast, deep=part.deep, bands=bands
    )


def _silent(mask: int, model: Wavefront | Lattice) -> set[int]:
    """Groups without their noisy steps; CorruptFile if one of them has none anyway."""
    silent = {group for group in range(mask.bit_length()) if mask >> group & 1}
    if not silent <= {number for number, group in enumerate(model.groups) if group.steps}:
        raise CorruptFile("a group without noisy steps is marked as silent")
    return silent
