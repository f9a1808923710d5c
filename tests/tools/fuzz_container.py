"""Coverage-guided fuzzing of the header and the container.

Run as `PYTHONPATH=tests python -m tools.fuzz_container [OPTIONS OF LIBFUZZER] [FOLDER]`.

FOLDER keeps the inputs that reach new code; the goldens' are put there first. An input is not a file but what a file
is made of, so that no time is lost on the CRC: flags, two bytes of the header's length, the header, the payload.
`decoding.read` must give a BfnError, or a file that is written as the same bytes.
"""

import sys
import zlib
from pathlib import Path

from bfncodec import blocks, container, decoding
from bfncodec.container import Form
from bfncodec.errors import BfnError

GOLDEN = Path(__file__).parents[1] / "data" / "golden"


def file_of(given: bytes) -> bytes:
    """A .bfn file whose header has a right CRC; one byte in 64 asks for the bytes as they are."""
    if not given or given[0] >= 252:
        return given[1:]
    length = int.from_bytes(given[1:3], "little")
    header, payload = given[3 : 3 + length], given[3 + length :]
    start = container.MAGIC + bytes([container.VERSION, given[0]]) + container.varint(len(header)) + header
    return start + zlib.crc32(start).to_bytes(4, "little") + payload


def seed_of(data: bytes) -> bytes:
    """The inverse of `file_of`."""
    reader = container.Reader(data, len(container.MAGIC) + 1)
    flags = reader.byte()
    header = reader.take(reader.varint())
    return bytes([flags]) + len(header).to_bytes(2, "little") + header + data[reader.position + 4 :]


def target(given: bytes) -> None:
    """Read one file; anything but a BfnError or the same bytes again is a fault."""
    data = file_of(given)
    try:
        file = decoding.read(data, max_output=1 << 30, max_pixels=1 << 24)
    except BfnError:
        return
    again = container.write(file)
    if again != data and file.names is None:
        raise AssertionError("a file is not written as it was read")
    if decoding.read(again) != file:
        raise AssertionError("a file that is written again reads otherwise")


def main() -> None:
    """Fuzz until an option says stop, or a fault is found."""
    import atheris

    folders = [Path(name) for name in sys.argv[1:] if not name.startswith("-")]
    for folder in folders[:1]:
        folder.mkdir(parents=True, exist_ok=True)
        for path in GOLDEN.glob("*.bfn"):
            data = path.read_bytes()
            try:
                folder.joinpath(path.stem).write_bytes(seed_of(data))
            except BfnError:
                folder.joinpath(path.stem).write_bytes(b"\xff" + data)
    atheris.instrument_func(target)
    for name in ("read", "_header", "_read_block", "_names", "_check_magic"):
        setattr(container, name, atheris.instrument_func(getattr(container, name)))
    for form in {one for mode in blocks.MODES.values() for one in mode.mro() if "read" in vars(one)} - {Form}:
        atheris.instrument_func(vars(form)["read"].__func__)
    for name in ("skip", "varint"):
        setattr(container.Reader, name, atheris.instrument_func(getattr(container.Reader, name)))
    atheris.Setup([sys.argv[0], "-timeout=5", "-rss_limit_mb=2500", *sys.argv[1:]], target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
