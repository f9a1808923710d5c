"""How the noisy views of each sender travel over the stack: what is popped, and what is pushed for it.

Encoding takes a view (`draw`, a pop where noise costs bits) and later sends it (`send`); decoding
receives it (`receive`, the mirror of `send`) and later gives the noise back (`give_back`). A view
is named by its group and step, for senders whose noise both sides know.
"""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bfncodec.coding.ans import Coder
from bfncodec.coding.gaussian_receiver import Receiver
from bfncodec.errors import CorruptFile
from bfncodec.flow import loss
from bfncodec.flow.schedule import AnyStep, Dither, Draw, Step, Vector
from bfncodec.flow.sender import CategoricalSender, GaussianSender, sender
from bfncodec.flow.sender import noise_bits as view_bits

Array = NDArray[Any]
Name = tuple[int, int]
RESERVE_BITS = 64  # asked for on top of the expected bits of a step's noise


class Channel:
    """Views that are one symbol a variable: Gaussian and categorical senders."""

    def __init__(self, step: Step | Draw) -> None:
        self.sender: GaussianSender | CategoricalSender = sender(step)

    def draw(self, coder: Coder, x: Array, name: Name) -> Array:
        """Views of x, their noise popped off the stack."""
        return self.sender.noisy(x, coder.pop(self.sender.weights(x)))

    def give_back(self, coder: Coder, x: Array, y: Array) -> None:
        """The inverse of `draw`. CorruptFile where a view is impossible."""
        symbols = self.sender.symbols(x, y)
        if symbols.min() < 0 or symbols.max() >= self.sender.table.shape[1]:
            raise CorruptFile("a noisy view is impossible for the value it stands for")
        coder.push(symbols, self.sender.weights(x))

    def send(self, coder: Coder, y: Array, output: Array, name: Name) -> None:
        """Push views under the receiver of p_O weights [n, K]."""
        coder.push(self.sender.receiver_symbols(y), self.sender.receiver(output))

    def receive(self, coder: Coder, output: Array, name: Name) -> Array:
        """The inverse of `send`."""
        return self.sender.receiver_views(coder.pop(self.sender.receiver(output)))

    def costs(self, x: Array, y: Array, output: Array, name: Name) -> tuple[float, float]:
        """Bits of the views' path, log2 p_S(y) / p_R(y), and of KL(p_S || p_R)."""
        sent, received = self.sender.weights(x), self.sender.receiver(output)
        own, seen = self.sender.symbols(x, y), self.sender.receiver_symbols(y)
        paid = loss.surprise(received, seen) - loss.surprise(sent, own)
        return paid, loss.divergence(sent, received, seen - own)


class GridChannel(Channel):
    """The same for Gaussian views on fine grids, whose receivers are not made whole."""

    def __init__(self, step: Step) -> None:
        super().__init__(step)
        self.receiver = Receiver(sender(step))

    def send(self, coder: Coder, y: Array, output: Array, name: Name) -> None:
        self.receiver.push(coder, self.sender.receiver_symbols(y), output)

    def receive(self, coder: Coder, output: Array, name: Name) -> Array:
        return self.sender.receiver_views(self.receiver.pop(coder, output))

    def costs(self, x: Array, y: Array, output: Array, name: Name) -> tuple[float, float]:
        sent, own = self.sender.weights(x), self.sender.symbols(x, y)
        first = self.sender.receiver_symbols(y) - own
        matched = np.diff(self.receiver.bounds(first, sent.shape[1], output), axis=1)
        paid = loss.surprise(matched, own) - loss.surprise(sent, own)
        return paid, loss.divergence(sent, matched, np.zeros(len(x), np.int64))


class VectorChannel:
    """Views of one-hot coordinates; the class that the receiver mixes over is a latent of its own bits-back."""

    def __init__(self, step: Vector) -> None:
        self.sender = sender(step)
        self.classes = self.sender.step.classes

    def _rows(self, classes: Array) -> Array:
        return self.sender.table[self.sender.hot(classes)]

    def _pop(self, coder: Coder, classes: Array) -> Array:
        symbols = coder.pop(self._rows(classes)).reshape(-1, self.classes)
        return self.sender.coordinate.receiver_views(symbols)

    def _push(self, coder: Coder, classes: Array, y: Array) -> None:
        coder.push(self.sender.coordinate.receiver_symbols(y).reshape(-1), self._rows(classes))

    def draw(self, coder: Coder, x: Array, name: Name) -> Array:
        """Views int64 [n, K]."""
        return self._pop(coder, x)

    def give_back(self, coder: Coder, x: Array, y: Array) -> None:
        self._push(coder, x, y)

    def send(self, coder: Coder, y: Array, output: Array, name: Name) -> None:
        """Pop a class from its posterior, push the views given it, push it."""
        latent = coder.pop(self.sender.posterior(y, output))
        self._push(coder, latent, y)
        coder.push(latent, output)

    def receive(self, coder: Coder, output: Array, name: Name) -> Array:
        latent = coder.pop(output)
        y = self._pop(coder, latent)
        coder.push(latent, self.sender.posterior(y, output))
        return y

    def costs(self, x: Array, y: Array, output: Array, name: Name) -> tuple[float, float]:
        """See `Channel.costs`; the KL has no closed form and is averaged over further views."""
        return loss.vector_costs(self.sender, x, y, output, name)


class DitherChannel:
    """Cells of values plus noise known in advance: nothing is popped, nothing given back."""

    def __init__(self, step: Dither) -> None:
        self.sender = sender(step)

    def draw(self, coder: Coder, x: Array, name: Name) -> Array:
        """Views int64 [n]."""
        noise = self.sender.noise(name, len(x))
        return self.sender.views(self.sender.cell(x, noise), noise)

    def give_back(self, coder: Coder, x: Array, y: Array) -> None:
        """Nothing was taken."""

    def _cells(self, y: Array, noise: Array) -> Array:
        return (y + noise) // self.sender.width

    def send(self, coder: Coder, y: Array, output: Array, name: Name) -> None:
        """Push the cells under the receiver's masses."""
        noise = self.sender.noise(name, len(y))
        coder.push(self._cells(y, noise), self.sender.receiver(output, noise))

    def receive(self, coder: Coder, output: Array, name: Name) -> Array:
        noise = self.sender.noise(name, len(output))
        return self.sender.views(coder.pop(self.sender.receiver(output, noise)), noise)

    def costs(self, x: Array, y: Array, output: Array, name: Name) -> tuple[float, float]:
        """See `Channel.costs`; given the noise, both are the cost of the cell."""
        noise = self.sender.noise(name, len(y))
        paid = loss.surprise(self.sender.receiver(output, noise), self._cells(y, noise))
        return paid, paid


Link = Channel | VectorChannel | DitherChannel


@cache
def channel(step: AnyStep) -> Link:
    """The channel of a step, made once."""
    if isinstance(step, Vector):
        return VectorChannel(step)
    if isinstance(step, Dither):
        return DitherChannel(step)
    return GridChannel(step) if isinstance(step, Step) and step.unit > 1 else Channel(step)


def noise_bits(steps: tuple[AnyStep, ...], size: int) -> int:
    """Bits that are surely enough to pop the noise of all steps of `size` variables."""
    return sum(bits * size + RESERVE_BITS for bits in map(view_bits, steps) if bits)
