"""A codec for arrays of zarr's format 3: `serializer=BfnCodec(), compressors=None`.

zarr finds it under its name, "bfncodec", by an entry point. For format 2 see `bfncodec.numcodecs`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from zarr.abc.codec import ArrayBytesCodec
from zarr.registry import register_codec

from bfncodec import arrays
from bfncodec.errors import CorruptFile
from bfncodec.presets import Choices

if TYPE_CHECKING:
    from zarr.core.array_spec import ArraySpec
    from zarr.core.buffer import Buffer, NDBuffer

NAME = "bfncodec"


@dataclass(frozen=True)
class BfnCodec(ArrayBytesCodec):
    """Chunks as images or bytes, little-endian in the file; the fields are those of `bfncodec.numcodecs.BfnCodec`."""

    media: str = "auto"
    effort: str = "default"
    model: str | None = None
    is_fixed_size = False

    def __post_init__(self) -> None:
        self._choices()

    def _choices(self) -> Choices:
        return Choices(model=self.model, effort=self.effort, media=self.media)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        return cls(**data.get("configuration", {}))

    def to_dict(self) -> dict[str, Any]:
        configuration = {"media": self.media, "effort": self.effort}
        return {"name": NAME, "configuration": configuration | ({"model": self.model} if self.model else {})}

    def validate(self, *, shape: tuple[int, ...], dtype: Any, chunk_grid: Any) -> None:
        """ValueError for items that are no plain bytes."""
        if dtype.to_native_dtype().hasobject:
            raise ValueError(f"{NAME} does not code arrays of {dtype}")

    async def _encode_single(self, chunk_data: NDBuffer, chunk_spec: ArraySpec) -> Buffer:
        array: NDArray[Any] = chunk_data.as_numpy_array()
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        data = await asyncio.to_thread(arrays.encode, array, self._choices())
        return chunk_spec.prototype.buffer.from_bytes(data)

    async def _decode_single(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        dtype = chunk_spec.dtype.to_native_dtype()
        size = int(np.prod(chunk_spec.shape)) * dtype.itemsize
        data: NDArray[Any] = await asyncio.to_thread(arrays.decode, chunk_data.to_bytes(), size)
        if len(data) != size:
            raise CorruptFile(f"a chunk holds {len(data)} bytes instead of {size}")
        array: NDArray[Any] = data.view(dtype.newbyteorder("<")).astype(dtype, copy=False)
        return chunk_spec.prototype.nd_buffer.from_numpy_array(array.reshape(chunk_spec.shape))

    def compute_encoded_size(self, _input_byte_length: int, _chunk_spec: ArraySpec) -> int:
        """Nobody knows before."""
        raise NotImplementedError


register_codec(NAME, BfnCodec)
