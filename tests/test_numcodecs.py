"""Arrays of zarr hold their chunks as .bfn files, by way of numcodecs and of zarr itself."""

import json
import os
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numcodecs
import numpy as np
import pytest
import zarr
from zarr.core.dtype import VariableLengthBytes

import bfncodec
from bfncodec import container, decoding
from bfncodec.numcodecs import BfnCodec
from bfncodec.zarr import BfnCodec as SerializerCodec

ROOT = Path(__file__).parents[1]
TEXT = b"the quick brown fox jumps over the lazy dog. " * 20


def modes(data: bytes) -> set[str]:
    return {block.form.name for block in decoding.read(data).blocks}


@pytest.fixture
def small(photo: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(photo[:32, :32])


@pytest.mark.parametrize("channels", [0, 1, 2, 3, 4])
def test_images_of_every_shape(small: np.ndarray, channels: int) -> None:
    pixels = np.concatenate([small, small[..., :1]], 2)[..., : channels or 1]
    pixels = np.ascontiguousarray(pixels if channels else pixels[..., 0])
    codec = BfnCodec("image", model="tiny")
    data = codec.encode(pixels)
    assert modes(data) == {"image"}
    assert codec.decode(data).tobytes() == pixels.tobytes()
    assert bfncodec.decode(data).squeeze().tobytes() == pixels.tobytes()
    if channels:
        stack = np.stack([pixels, 255 - pixels, pixels[::-1]])
        data = codec.encode(stack)
        assert modes(data) == {"image"}
        assert codec.decode(data).tobytes() == stack.tobytes()
        assert list(bfncodec.decode_items(data)) == ["0.png", "1.png", "2.png"]


@pytest.mark.parametrize("dtype", ["<u2", "<i2", ">u2", ">i2"])
@pytest.mark.parametrize("media", ["auto", "bytes"])
def test_words_come_back_in_their_order(dtype: str, media: str) -> None:
    """Little-endian ones as images."""
    limits = np.iinfo(dtype)
    ramp = np.linspace(limits.min, limits.max, 40 * 30).reshape(40, 30)
    for array in (ramp, ramp[..., None], np.stack([ramp, -ramp], 2), np.stack([ramp[..., None]] * 3)):
        words = array.astype(dtype)
        encoded = BfnCodec(media).encode(words)
        assert BfnCodec().decode(encoded).tobytes() == words.tobytes()
        out = np.empty_like(words)
        BfnCodec().decode(encoded, out)
        assert np.array_equal(out, words)
        if dtype[0] == "<" and media == "auto":
            assert modes(encoded) <= {"image", "lzma"} and modes(BfnCodec("image").encode(words)) == {"image"}


def test_many_images_are_several_blocks() -> None:
    y, x = np.mgrid[:16, :16]
    stack = np.stack([(4 * x + 5 * y + n + x * y * n // 97) % 256 for n in range(300)]).astype(np.uint8)[..., None]
    codec = BfnCodec("image", model="tiny")
    data = codec.encode(stack)
    assert len(decoding.read(data).blocks) == 2
    assert codec.decode(data).tobytes() == stack.tobytes()


@pytest.mark.parametrize(
    "buffer",
    [
        b"",
        TEXT,
        bytearray(TEXT),
        memoryview(TEXT),
        np.frombuffer(TEXT, np.uint8),
        np.arange(300, dtype=">u2"),
        np.linspace(0, 1, 60).reshape(3, 4, 5),
        np.array(["2020-01-01", "2021-05-05"], "M8[s]"),
        np.array([True, False] * 9),
        np.zeros((0, 3), np.uint8),
        np.zeros((2, 2, 5), np.uint8),
        np.float32(7),
    ],
    ids=lambda buffer: f"{type(buffer).__name__}-{getattr(buffer, 'dtype', '')}{getattr(buffer, 'shape', '')}",
)
@pytest.mark.parametrize("media", ["auto", "bytes"])
def test_all_else_is_bytes(buffer: object, media: str) -> None:
    codec = BfnCodec(media)
    data = codec.encode(buffer)
    assert not modes(data) & {"image"}
    wanted = buffer.tobytes() if isinstance(buffer, np.ndarray | np.generic) else bytes(buffer)
    assert codec.decode(data).tobytes() == wanted
    assert codec.decode(bytearray(data)).tobytes() == wanted


def test_buffers_keep_their_order_in_memory(small: np.ndarray) -> None:
    codec = BfnCodec(model="tiny")
    for array in (np.asfortranarray(small[..., 0]), np.asfortranarray(small)):
        assert codec.decode(codec.encode(array)).tobytes() == array.tobytes("A")
    with pytest.raises(ValueError, match="contiguous"):
        codec.encode(small[::2, ::2])


def test_masks_take_what_is_smaller(small: np.ndarray) -> None:
    mask = np.indices((32, 32)).sum(0).astype(np.uint8) % 7
    assert modes(BfnCodec(model="tiny").encode(mask)) == {"lzma"}
    assert modes(BfnCodec("image", model="tiny").encode(mask)) == {"image"}
    assert modes(BfnCodec().encode(small)) == {"image"}
    assert modes(BfnCodec("bytes").encode(small)) <= {"lzma", "stored", "text"}
    assert modes(BfnCodec("text").encode(TEXT)) == {"text"}


def test_what_is_no_image_is_refused_on_demand() -> None:
    codec = BfnCodec("image")
    for array in (
        np.zeros((4, 4), np.int32),
        np.zeros((4, 4), ">i2"),
        np.zeros((4, 4, 5), np.uint8),
        np.zeros(4, np.uint8),
    ):
        with pytest.raises(bfncodec.UnsupportedFeature, match="as images; they are uint8"):
            codec.encode(array)
    with pytest.raises(TypeError, match="object"):
        BfnCodec().encode(np.array([{}, []], object))


def test_choices_are_checked() -> None:
    for wrong in ({"media": "film"}, {"effort": "some"}):
        for codec in (BfnCodec, SerializerCodec):
            with pytest.raises(ValueError, match="there are"):
                codec(**wrong)


def test_decoding_into_a_buffer(small: np.ndarray) -> None:
    codec = BfnCodec(model="tiny")
    data = codec.encode(small)
    out = np.empty_like(small)
    assert codec.decode(data, out) is out
    assert np.array_equal(out, small)
    room = bytearray(small.size)
    codec.decode(data, room)
    assert bytes(room) == small.tobytes()
    with pytest.raises(bfncodec.LimitExceeded):
        codec.decode(data, np.empty(small.size - 1, np.uint8))
    with pytest.raises(ValueError, match="there is room for 3073"):
        codec.decode(data, np.empty(small.size + 1, np.uint8))


def test_damaged_chunks_are_refused(small: np.ndarray) -> None:
    codec = BfnCodec(model="tiny")
    data = codec.encode(small)
    for wrong in (b"", data[:20], data[:-1], data + b"\0", data[:-9] + bytes([data[-9] ^ 4]) + data[-8:]):
        with pytest.raises(bfncodec.BfnError):
            codec.decode(wrong)


def test_configuration_goes_and_comes_back() -> None:
    codec = BfnCodec("text", "blocks", "tiny-text")
    config = codec.get_config()
    assert config == {"id": "bfncodec", "media": "text", "effort": "blocks", "model": "tiny-text"}
    assert numcodecs.get_codec(json.loads(json.dumps(config))) == codec
    assert BfnCodec.from_config({}) == BfnCodec()


def test_threads_make_the_same_bytes_as_one(small: np.ndarray) -> None:
    chunks = [np.roll(small, shift, 0) for shift in range(4)] + [small[..., 0].copy(), np.frombuffer(TEXT, np.uint8)]
    large = np.tile(small, (4, 4, 1))  # its heads learn
    chunks = [*chunks, large, 255 - large] * 2
    codec = BfnCodec(model="tiny")
    wanted = [codec.encode(chunk) for chunk in chunks]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(codec.encode, chunks)) == wanted
        decoded = list(pool.map(codec.decode, wanted))
    assert [data.tobytes() for data in decoded] == [chunk.tobytes() for chunk in chunks]


def test_threads_of_a_new_process_make_the_same_bytes(small: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "small.npy", small)
    code = (
        "import sys, numpy as np; from concurrent.futures import ThreadPoolExecutor; "
        "from bfncodec.numcodecs import BfnCodec; "
        "small, codec = np.load('small.npy'), BfnCodec(model='tiny'); "
        f"chunks = [small, {TEXT!r}, small[::-1].copy()] * 2; "
        "pool = ThreadPoolExecutor(6); made = list(pool.map(codec.encode, chunks)); "
        "print(made == [codec.encode(chunk) for chunk in chunks])"
    )
    child = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert child.stdout == "True\n", child.stderr


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(45, 50), (45, 50, 3)])
def test_zarr_format_2(photo: np.ndarray, tmp_path: Path, order: str, shape: tuple[int, ...]) -> None:
    pixels = photo[: shape[0], : shape[1]] if len(shape) == 3 else photo[: shape[0], : shape[1], 0]
    chunks = (32, 32, 3)[: len(shape)]
    array = zarr.create_array(
        tmp_path / "x", shape=shape, chunks=chunks, dtype="u1", zarr_format=2, order=order,
        compressors=BfnCodec(model="tiny"),
    )  # fmt: skip
    array[:] = pixels
    assert np.array_equal(zarr.open_array(tmp_path / "x")[:], pixels)
    first = next(path for path in (tmp_path / "x").rglob("0.0*") if path.is_file())
    assert container.is_bfn(first.read_bytes())
    array[3:40, 5:9] = 7
    assert np.array_equal(zarr.open_array(tmp_path / "x")[2:41, 4:10], array[2:41, 4:10])


def test_zarr_format_2_of_other_items(tmp_path: Path) -> None:
    array = zarr.create_array(
        tmp_path / "x", shape=(100,), chunks=(64,), dtype="<i4", zarr_format=2, compressors=BfnCodec()
    )
    array[:] = np.arange(100)
    assert np.array_equal(zarr.open_array(tmp_path / "x")[:], np.arange(100))


@pytest.mark.parametrize(
    ("shape", "chunks"), [((40, 45), (32, 32)), ((40, 45, 3), (32, 32, 3)), ((5, 20, 20, 3), (2, 20, 20, 3))]
)
@pytest.mark.parametrize("shards", [False, True])
def test_zarr_format_3(
    photo: np.ndarray, tmp_path: Path, shape: tuple[int, ...], chunks: tuple[int, ...], shards: bool
) -> None:
    pixels = np.resize(photo, shape)
    array = zarr.create_array(
        tmp_path / "x", shape=shape, chunks=chunks, dtype="u1", serializer=SerializerCodec(model="tiny"),
        compressors=None, shards=tuple(2 * c for c in chunks[:-1]) + chunks[-1:] if shards and len(shape) > 2 else None,
    )  # fmt: skip
    array[:] = pixels
    assert np.array_equal(zarr.open_array(tmp_path / "x")[:], pixels)
    metadata = json.loads((tmp_path / "x" / "zarr.json").read_text())
    codecs = metadata["codecs"]
    codecs = codecs[0]["configuration"].get("codecs", codecs)
    assert codecs == [{"name": "bfncodec", "configuration": {"media": "auto", "effort": "default", "model": "tiny"}}]


@pytest.mark.parametrize("dtype", ["<u2", ">u2", "<i2", ">i2"])
def test_zarr_format_3_of_words(tmp_path: Path, dtype: str) -> None:
    """Of any byte order: chunks are images."""
    words = (np.arange(40 * 45).reshape(40, 45) * 36 - 30_000).astype(dtype)
    serializer = SerializerCodec("image")
    array = zarr.create_array(
        tmp_path / "x", shape=(40, 45), chunks=(32, 32), dtype=dtype, serializer=serializer, compressors=None
    )
    array[:] = words
    assert np.array_equal(zarr.open_array(tmp_path / "x")[:], words)


@pytest.mark.parametrize("dtype", [">f4", "<u2", "bool", "complex64", "M8[s]"])
def test_zarr_format_3_of_other_items(tmp_path: Path, dtype: str) -> None:
    items = np.arange(70).astype("M8[s]" if dtype == "M8[s]" else "i4").astype(dtype).reshape(7, 10)
    array = zarr.create_array(
        tmp_path / "x", shape=(7, 10), chunks=(4, 4), dtype=dtype, serializer=SerializerCodec("bytes"), compressors=None
    )
    array[:] = items
    assert np.array_equal(zarr.open_array(tmp_path / "x")[:], items)


def test_zarr_refuses_objects_and_damage(small: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="string"):
        zarr.create_array(tmp_path / "s", shape=(3,), dtype=str, serializer=SerializerCodec(), compressors=None)
    with pytest.raises(ValueError, match="does not code"):
        SerializerCodec().validate(shape=(3,), dtype=VariableLengthBytes(), chunk_grid=None)
    array = zarr.create_array(
        tmp_path / "x", shape=small.shape, chunks=small.shape, dtype="u1", serializer=SerializerCodec(model="tiny"),
        compressors=None,
    )  # fmt: skip
    array[:] = small
    (chunk,) = (path for path in (tmp_path / "x" / "c").rglob("*") if path.is_file())
    chunk.write_bytes(chunk.read_bytes()[:-1])
    with pytest.raises(bfncodec.TruncatedFile):
        array[:]
    chunk.write_bytes(BfnCodec(model="tiny").encode(small[:5]))
    with pytest.raises(bfncodec.CorruptFile, match="480 bytes instead of 3072"):
        array[:]


def test_an_installation_is_found_by_its_entry_points(tmp_path: Path) -> None:
    points = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    folder = tmp_path / "installed-1.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: installed\nVersion: 1\n")
    lines = [f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in names.items()) for group, names in points.items()]
    (folder / "entry_points.txt").write_text("".join(lines))
    code = (
        "import sys, numcodecs, zarr.registry; assert 'bfncodec' not in sys.modules; "
        "print(numcodecs.get_codec({'id': 'bfncodec', 'media': 'bytes'})); "
        "print(zarr.registry.get_codec_class('bfncodec').__module__); "
        "print(zarr.open_array('three')[:].tolist(), zarr.open_array('two')[:].tolist())"
    )
    three = {"serializer": SerializerCodec(), "compressors": None}
    two = {"zarr_format": 2, "compressors": BfnCodec()}
    for name, codecs in (("three", three), ("two", two)):
        zarr.create_array(tmp_path / name, shape=(2, 2), dtype="u1", **codecs)[:] = [[1, 2], [3, 4]]
    child = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])},
        capture_output=True,
        text=True,
    )
    wanted = "BfnCodec(effort='default', media='bytes', model=None)\nbfncodec.zarr\n[[1, 2], [3, 4]] [[1, 2], [3, 4]]\n"
    assert child.stdout == wanted, child.stderr
