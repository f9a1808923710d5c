"""Bits really written against the losses of the same integer network."""

from pathlib import Path

from bfncodec import media, presets
from bfncodec.blocks import image
from bfncodec.blocks import pictures as picture_blocks
from bfncodec.coding import protocol
from bfncodec.coding.ans import Coder
from bfncodec.coding.ledger import Ledger
from bfncodec.models import zoo
from bfncodec.models.image import passes, streams
from bfncodec.models.image.lattice import Lattice
from bfncodec.models.image.passes import Pass
from bfncodec.models.image.wavefront import WavefrontSink
from bfncodec.presets import Choices

Bits = dict[str, float]


def compare(images: list[Path], effort: str) -> dict[str, Bits]:
    """Bits over all images: of the payload, of the n-step loss, of the path loss.

    Each for the groups with noisy steps, for the others, and for the whole payload, whose
    bytes are counted as written. RGB images only.
    """
    kinds = ("noisy", "exact", "whole")
    sums = {kind: {"payload": 0.0, "n_step_loss": 0.0, "path_loss": 0.0} for kind in kinds}
    for path in images:
        picture = media.parse(path.read_bytes(), presets.MAX_PIXELS)
        assert picture is not None
        ledger = Ledger()
        form = picture_blocks.encode([picture], Choices(effort=effort), ledger).form
        assert isinstance(form, image.Image)
        for kind, bits in _coded_bits(form).items():
            sums[kind]["payload"] += bits
        for group in ledger.groups:
            for kind in ("noisy" if group.path else "exact", "whole"):
                sums[kind]["n_step_loss"] += sum(group.divergence) + group.reconstruction
                sums[kind]["path_loss"] += sum(group.path) + group.reconstruction
    return sums


def _coded_bits(made: image.Image) -> Bits:
    """Bits of the payload by kind of group: what the stack loses while each is decoded."""
    nets, given = streams.networks(zoo.find_hash(made.model), "auto"), None
    bits = {"noisy": 0.0, "exact": 0.0, "whole": 0.0}
    for part, channels in zip(made.passes, passes.pass_channels(3, made.sampling), strict=True):
        known = int(channels == 2)  # luma, before its differences
        height, width = made.sampling.shape(made.height, made.width) if known else (made.height, made.width)
        model = streams._sink(nets, part, (1, height, width, channels + known), made.schedule, given)
        for kind, own in _pass_bits(part, model).items():
            bits[kind] += own
        given = made.sampling.of(model.images()) if made.sampling else None
    return bits


def _pass_bits(part: Pass, model: WavefrontSink | Lattice) -> Bits:
    """The same of one pass, which the model decodes."""
    silent = streams._silent(part.silent, model)
    coder = Coder(bytes(part.stream))
    levels = [coder.bits]
    reveal = model.reveal

    def watched(group: int, values: protocol.Values) -> None:
        levels.append(coder.bits)
        reveal(group, values)

    model.reveal = watched  # type: ignore[method-assign]
    protocol.decode(coder, model, silent)
    bits = {"noisy": 0.0, "exact": 0.0, "whole": 8.0 * len(part.stream)}
    for span, before, after in zip(model.spans(), levels[:-1], levels[1:], strict=True):
        noisy = bool(model.groups[span[0]].steps) and span[0] not in silent
        bits["noisy" if noisy else "exact"] += before - after
    return bits
