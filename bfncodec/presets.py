"""What a user can choose, and the limits in force unless others are named. Imports nothing of the package."""

from dataclasses import dataclass

MAX_PIXELS = 1 << 28  # of an image
MAX_OUTPUT = 1 << 34  # bytes
# Images: fast, lattice, default, max. Texts: fast, blocks, default. The other medium takes the default.
EFFORTS = ("fast", "lattice", "blocks", "default", "max")
# How a file is coded: as pixels if it is an image that is modelled, or else as bytes; as pixels only; as bytes by
# the text model; as bytes by whatever is smallest.
MEDIA = ("auto", "image", "text", "bytes")
DEVICES = ("auto", "cpu", "cuda")
SENDERS = ("gaussian", "dither", "categorical")  # of the paper's models, by their numbers in files


@dataclass(frozen=True)
class Choices:
    """How something is encoded. ValueError for a word that is none of those above."""

    device: str = "auto"
    model: str | None = None  # a name or .safetensors path, used for what it models
    effort: str = "default"
    media: str = "auto"
    max_pixels: int = MAX_PIXELS
    steps: int = 50  # of the paper's models, as the next two
    sender: str = "gaussian"
    batch: int = 1

    def __post_init__(self) -> None:
        for name, known in (("device", DEVICES), ("effort", EFFORTS), ("media", MEDIA), ("sender", SENDERS)):
            choice = getattr(self, name)
            if choice not in known:
                raise ValueError(f"no {name} is called {choice!r}; there are {', '.join(known)}")
