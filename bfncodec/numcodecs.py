"""A codec for numcodecs, and so for arrays of zarr's format 2: `compressor=BfnCodec()`.

numcodecs finds it under its id, "bfncodec", by an entry point. For zarr's format 3 see `bfncodec.zarr`.
"""

from typing import Any

import numpy as np
from numcodecs.abc import Codec
from numcodecs.compat import ensure_bytes, ensure_contiguous_ndarray, ndarray_copy
from numcodecs.registry import register_codec

from bfncodec import arrays
from bfncodec.presets import Choices


class BfnCodec(Codec):  # type: ignore[misc]
    """Chunks as images or bytes.

    media: "auto" codes uint8 arrays [height, width], [height, width, 1 to 4] and [N, height, width, 1 to 4] as images
    and all else as bytes; "image" raises UnsupportedFeature for all else; "text" is the text model; "bytes" the
    smallest of text model, LZMA and stored. effort: see `bfncodec.encode`. model: a name or path, also for decoders.
    """

    codec_id = "bfncodec"

    def __init__(self, media: str = "auto", effort: str = "default", model: str | None = None) -> None:
        Choices(model=model, effort=effort, media=media)  # unknown ones are refused when the codec is made
        self.media, self.effort, self.model = media, effort, model

    def encode(self, buf: Any) -> bytes:
        """A .bfn file of a contiguous buffer, in its order in memory."""
        array = ensure_contiguous_ndarray(buf, flatten=False)
        if not array.flags.c_contiguous:
            array = array.T
        return arrays.encode(array, Choices(model=self.model, effort=self.effort, media=self.media))

    def decode(self, buf: Any, out: Any = None) -> Any:
        """The bytes, uint8 [size], or `out` with them; BfnError if damaged or too many, ValueError if too few."""
        room = None if out is None else np.asarray(out).nbytes
        data = arrays.decode(ensure_bytes(buf), room)
        if room is not None and len(data) != room:
            raise ValueError(f"the chunk holds {len(data)} bytes; there is room for {room}")
        return ndarray_copy(data, out)


register_codec(BfnCodec)
