"""Texts in lanes: bytes and seconds. Prints the table in results/text_variants.md.

    python -m benchmarks.lanes --data DIR --skip FILE

The texts are slices of those that training skipped, one after the other. Seconds are processor
time of coding a file, in process, after a warm-up.
"""

import time
from pathlib import Path

import click
import numpy as np

from benchmarks.tables import table
from bfncodec import container, decoding
from bfncodec.blocks.text import Text
from bfncodec.container import Block, File
from bfncodec.models import zoo
from bfncodec.models.text import streams

LANES = (1, 2, 4)
SLICES = {1_000_000: 2, 4_000_000: 1, 8_000_000: 1}  # how many, by size


def encode(data: bytes, lanes: int) -> Block:
    """`blocks.text.encode` with another number of lanes."""
    path = zoo.find("text")
    form = Text(zoo.digest(path), lanes, streams=list(streams.encode_bytewise(path, data, lanes)))
    return Block(1, len(data), container.hasher(data).digest(), form)


def measure(data: bytes, lanes: int) -> tuple[int, float, float]:
    """Bytes of a file, seconds of encoding and of decoding."""
    start = time.process_time()
    block = encode(data, lanes)
    encoded = time.process_time()
    (content,) = decoding.parts(File([block]), "cpu")
    if b"".join(content) != data:
        raise RuntimeError("the text did not come back")
    return len(container.write(File([block]))), encoded - start, time.process_time() - encoded


@click.command()
@click.option("--data", required=True, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--skip", required=True, type=click.Path(exists=True, path_type=Path), help="Names of held-out texts.")
def main(data: Path, skip: Path) -> None:
    """Measure every size and number of lanes."""
    names = skip.read_text().split()
    text = b"".join(path.read_bytes() for path in sorted((data / "train").rglob("*")) if path.name in names)
    measure(text[:1000], 2)
    rows = []
    for size, count in SLICES.items():
        single = 0.0
        for lanes in LANES:
            starts = [number * (len(text) - size) // count for number in range(count)]
            made = np.mean([measure(text[start : start + size], lanes) for start in starts], axis=0)
            single = single or made[0]
            change = f"{made[0] / single - 1:+.2%}"
            rows.append([f"{size:,}", str(lanes), f"{made[0]:,.0f}", change, f"{made[1]:.2f}", f"{made[2]:.2f}"])
            click.echo(rows[-1], err=True)
    click.echo(table(["bytes of text", "lanes", "bytes of file", "against one lane", "encode s", "decode s"], rows))


if __name__ == "__main__":
    main()
