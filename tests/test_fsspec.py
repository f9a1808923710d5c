"""fsspec reads and writes .bfn files as it does .gz."""

import io
import subprocess
import sys
from pathlib import Path

import fsspec
import numpy as np
import pytest
from PIL import Image

import bfncodec
import bfncodec.fsspec
from bfncodec import container, decoding, encoding
from bfncodec.presets import Choices

ROOT = Path(__file__).parents[1]
TEXT = "der Fuchs läuft über den Hügel, und der Hund schläft.\r\n" * 30


def file(pixels: np.ndarray, kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize("protocol", ["file", "memory"])
def test_text_goes_and_comes_back(tmp_path: Path, protocol: str) -> None:
    url = f"{protocol}://{tmp_path}/book.txt.bfn"
    with fsspec.open(url, "wt", compression="infer", encoding="utf-8", newline="") as out:
        out.write(TEXT[:100])
        out.write(TEXT[100:])
    with fsspec.open(url, "rt", compression="infer", encoding="utf-8", newline="") as text:
        assert text.read() == TEXT
    with fsspec.open(url, "rt", compression="bfn", encoding="utf-8") as text:
        assert next(iter(text)) == TEXT[: TEXT.index("\r")] + "\n"
    with fsspec.open(url) as raw:
        assert bfncodec.decode(raw.read()) == TEXT.encode()


def test_a_filesystems_own_open_writes_everything(tmp_path: Path) -> None:
    files = fsspec.filesystem("file")
    with files.open(str(tmp_path / "x.bfn"), "wb", compression="infer") as out:
        out.write(TEXT.encode())
    with files.open(str(tmp_path / "x.bfn"), "rb", compression="infer") as back:
        assert back.read() == TEXT.encode()


def test_what_the_command_made_is_read(tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_text(TEXT, encoding="utf-8", newline="")
    command = [sys.executable, "-m", "bfncodec", "encode", "-q", "book.txt"]
    child = subprocess.run(command, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert (child.returncode, child.stdout, child.stderr) == (0, "", "")
    with fsspec.open(str(tmp_path / "book.txt.bfn"), compression="infer") as back:
        assert back.read() == TEXT.encode()


def test_reading_can_seek(tmp_path: Path) -> None:
    (tmp_path / "x.bfn").write_bytes(bfncodec.encode(TEXT.encode()))
    with fsspec.open(str(tmp_path / "x.bfn"), compression="infer") as back:
        back.seek(500)
        assert back.read(20) == TEXT.encode()[500:520]
        back.seek(-7, 2)
        assert back.read() == TEXT.encode()[-7:]


def test_a_stream_that_cannot_seek_is_read() -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def seek(self, *where: int) -> int:
            raise io.UnsupportedOperation

    with bfncodec.fsspec.opened(Pipe(bfncodec.encode(TEXT.encode()))) as back:
        assert back.read() == TEXT.encode()


@pytest.mark.parametrize("kind", ["PNG", "PPM", "BMP", "GIF"])
def test_images_come_back_byte_for_byte(photo: np.ndarray, tmp_path: Path, kind: str) -> None:
    given = file(photo[:32, :32], kind)
    path = str(tmp_path / "x.bfn")
    with fsspec.open(path, "wb", compression="infer") as out:
        out.write(given)
    with fsspec.open(path, compression="infer") as back:
        assert back.read() == given
    assert (decoding.read(Path(path).read_bytes()).blocks[0].form.name == "image") == (kind != "PNG")


def test_a_coded_png_is_read_as_a_png(photo: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "x.png.bfn"
    path.write_bytes(bfncodec.encode(file(photo, "PNG"), model="tiny"))
    with fsspec.open(str(path), compression="infer") as back, Image.open(back) as image:
        assert np.array_equal(np.asarray(image), photo)


def test_an_empty_file(tmp_path: Path) -> None:
    path = str(tmp_path / "x.bfn")
    with fsspec.open(path, "wb", compression="infer"):
        pass
    with fsspec.open(path, compression="infer") as back:
        assert back.read() == b""


def test_damaged_files_and_archives_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.bfn"
    data = bfncodec.encode(TEXT.encode())
    archive = encoding.encode_archive([("a", b"one"), ("b", b"two")], Choices())
    wrong = {
        bfncodec.BadMagic: b"a text, not compressed",
        bfncodec.TruncatedFile: data[:-1],
        bfncodec.CorruptFile: data[:-9] + bytes([data[-9] ^ 4]) + data[-8:],
        bfncodec.UnsupportedFeature: container.write(archive),
    }
    for error, content in wrong.items():
        path.write_bytes(content)
        with pytest.raises(error), fsspec.open(str(path), compression="infer"):
            pass


@pytest.mark.parametrize("mode", ["ab", "r+b", "w+b", "x+b", "a+t"])
def test_what_cannot_be_done_is_refused_at_once(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "x.bfn"
    if mode[0] != "x":
        path.write_bytes(bfncodec.encode(TEXT.encode()))
    file = fsspec.open(str(path), mode, compression="infer")
    with pytest.raises(bfncodec.UnsupportedFeature, match="mode"):
        file.open()
    file.close()


@pytest.mark.parametrize("mode", ["a", "ab", "r+", "r+b", "rb+", "w+b", "rt", "wt", "", "br"])
def test_modes_are_known_whoever_asks(mode: str) -> None:
    with pytest.raises(bfncodec.UnsupportedFeature, match="mode"):
        bfncodec.fsspec.opened(io.BytesIO(bfncodec.encode(b"x")), mode)


@pytest.mark.parametrize("mode", ["rb", "r+b"])  # a file in memory does not tell that it was to be written, too
def test_what_is_read_is_not_written(mode: str) -> None:
    url = "memory://read/x.bfn"
    with fsspec.open(url, "wb") as raw:
        raw.write(bfncodec.encode(TEXT.encode()))
    with fsspec.open(url, mode, compression="infer") as back:
        assert back.readable() and back.seekable() and not back.writable()
        for attempt in (lambda: back.write(b"x"), lambda: back.writelines([b"x"]), lambda: back.truncate(0)):
            with pytest.raises(io.UnsupportedOperation):
                attempt()
        back.flush()
        assert (back.read(), back.tell()) == (TEXT.encode(), len(TEXT.encode()))
    for attempt in (back.read, back.tell, back.flush, lambda: back.seek(0), lambda: back.write(b"x")):
        with pytest.raises(ValueError):
            attempt()
    with fsspec.open(url, "rt", compression="infer") as text, pytest.raises(io.UnsupportedOperation):
        text.write("x")


@pytest.mark.parametrize("mode", ["wb", "xb"])
def test_what_is_written_is_not_read(tmp_path: Path, mode: str) -> None:
    path = str(tmp_path / "x.bfn")
    with fsspec.open(path, mode, compression="infer") as out:
        assert out.writable() and out.seekable() and not out.readable()
        assert out.write(b"onx two three") == 13
        for attempt in (out.read, out.readline, out.readlines, lambda: next(out), lambda: out.readinto(bytearray(1))):
            with pytest.raises(io.UnsupportedOperation):
                attempt()
        assert (out.seek(2), out.write(b"e"), out.tell()) == (2, 1, 3)
        assert (out.seek(-6, io.SEEK_END), out.truncate()) == (7, 7)
        out.flush()
    out.close()
    for attempt in (lambda: out.write(b"x"), out.tell, out.flush, lambda: out.seek(0), lambda: out.truncate(0)):
        with pytest.raises(ValueError):
            attempt()
    with fsspec.open(path, compression="infer") as back:
        assert back.read() == b"one two"
    with pytest.raises(FileExistsError), fsspec.open(path, "xb", compression="infer"):
        pass


def test_importing_the_package_loads_none_of_the_libraries() -> None:
    code = (
        "import sys, bfncodec, bfncodec.api; "
        "print({'PIL', 'fsspec', 'numcodecs', 'zarr', 'bfncodec.pillow'} & set(sys.modules))"
    )
    child = subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert child.stdout == "set()\n", child.stderr
