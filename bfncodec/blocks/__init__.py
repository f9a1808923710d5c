"""Block modes: one file each, and a line in MODES. `smallest` chooses among them."""

from bfncodec.blocks.image import Image
from bfncodec.blocks.jpeg import Jpeg
from bfncodec.blocks.plain import Lzma, Stored
from bfncodec.blocks.single import Single
from bfncodec.blocks.text import Text
from bfncodec.container import Form

MODES: dict[int, type[Form]] = {form.mode: form for form in (Stored, Lzma, Image, Text, Single, Jpeg)}
