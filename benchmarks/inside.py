"""Pictures that were decoded from JPEG files: how many are known as such, and their bytes beside the files'.

    python -m benchmarks.inside --data DIR

DIR holds kodak/*.png and evaluate/cid22/*.png. From the middle of each, 512 x 512 pixels become JPEG files by Pillow,
and these PNG files, which are encoded and decoded again. Every quality has half of the samplings of a picture, in
turn. Times are CPU seconds.
"""

import io
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
from PIL import Image

from bfncodec import api
from bfncodec.jpeg import inverse

QUALITIES = (50, 60, 75, 85, 90, 95)
SAMPLINGS = {"4:2:0": 2, "4:2:2": 1, "4:4:4": 0, "grey": None}
SIDE = 512
Row = dict[str, Any]


def rows(paths: list[Path], *, every: bool = False, side: int = SIDE) -> list[Row]:
    """A row for each picture, quality and sampling."""
    out = []
    for number, path in enumerate(paths):
        picture = middle(Image.open(path).convert("RGB"), side)
        for turn, quality in enumerate(QUALITIES):
            for place, (name, sampling) in enumerate(SAMPLINGS.items()):
                if every or (number + turn + place) % 2 == 0:
                    out.append(
                        {"file": path.name, "quality": quality, "sampling": name, **row(picture, quality, sampling)}
                    )
        click.echo(f"{path.name}: {len(out)} files", err=True)
    return out


def middle(picture: Image.Image, side: int) -> Image.Image:
    """The square in the middle, smaller where the picture is."""
    width, height = min(picture.width, side), min(picture.height, side)
    left, top = (picture.width - width) // 2, (picture.height - height) // 2
    return picture.crop((left, top, left + width, top + height))


def row(picture: Image.Image, quality: int, sampling: int | None) -> Row:
    """Bytes and times of one PNG file; RuntimeError if its pixels do not come back."""
    file = io.BytesIO()
    if sampling is None:
        picture.convert("L").save(file, "JPEG", quality=quality)
    else:
        picture.save(file, "JPEG", quality=quality, subsampling=sampling)
    pixels = np.array(Image.open(file))
    png = io.BytesIO()
    Image.fromarray(pixels).save(png, "PNG")
    started = time.process_time()
    encoded = api.encode(png.getvalue())
    middle = time.process_time()
    decoded = api.decode(encoded)
    ended = time.process_time()
    if not np.array_equal(np.array(Image.open(io.BytesIO(decoded))), pixels):
        raise RuntimeError("other pixels came back")
    block = api.info(encoded)["blocks"][0]
    found = block.get("decoded_from")
    exceptions = block.get("exceptions", 0) if found else None
    sizes = {"jpeg": len(file.getvalue()), "png": len(png.getvalue()), "bfn": len(encoded)}
    return {"found": found, "exceptions": exceptions, "pixels": pixels.shape[0] * pixels.shape[1], **sizes} | {
        "encode": middle - started, "decode": ended - middle,
    }  # fmt: skip


def rejected(paths: list[Path]) -> list[Row]:
    """Microseconds a pixel that the test of pictures takes that were not decoded from a JPEG file, and its answers."""
    out = []
    for path in paths:
        pixels = np.array(Image.open(path).convert("RGB"))
        inverse.is_likely(pixels)
        started = time.process_time()
        answer = inverse.is_likely(pixels)
        spent = time.process_time() - started
        out.append({"file": path.name, "likely": answer, "time": 1e6 * spent / (pixels.shape[0] * pixels.shape[1])})
    return out


def table(found: list[Row], key: str) -> str:
    """Sums by quality or sampling, as a table in Markdown."""
    lines = [
        f"| {key} | files | known | without exceptions | exceptions a file | JPEG bytes | PNG bytes | bfncodec bytes "
        "| bfncodec / JPEG | encode, us a pixel | decode, us a pixel |",
        "|---|" + "---:|" * 10,
    ]
    for value in [*dict.fromkeys(one[key] for one in found), "all"]:
        own = [one for one in found if value in ("all", one[key])]
        known = [one for one in own if one["found"]]
        jpeg, png, bfn, pixels = (sum(one[name] for one in own) for name in ("jpeg", "png", "bfn", "pixels"))
        encode, decode = (1e6 * sum(one[name] for one in own) / pixels for name in ("encode", "decode"))
        exact, wrong = sum(not one["exceptions"] for one in known), sum(one["exceptions"] for one in known)
        lines.append(
            f"| {value} | {len(own)} | {len(known)} | {exact} | {wrong / max(len(known), 1):.1f} | {jpeg:,} | {png:,} "
            f"| {bfn:,} | {bfn / jpeg:.4f} | {encode:.2f} | {decode:.2f} |"
        )
    return "\n".join(lines)


@click.command(help=__doc__)
@click.option("--data", required=True, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--every", is_flag=True, help="All samplings of every quality.")
@click.option("--side", default=SIDE, type=click.IntRange(64), help="Pixels of a side.")
@click.option("--limit", type=click.IntRange(1), hidden=True, help="Fewer pictures, to try the benchmark out.")
def main(data: Path, every: bool, side: int, limit: int | None) -> None:
    """Print tables."""
    for name in ("kodak", "evaluate/cid22"):
        paths = sorted((data / name).glob("*.png"))[:limit]
        found = rows(paths, every=every, side=side)
        click.echo(f"\n## {name}\n\n{table(found, 'quality')}\n\n{table(found, 'sampling')}\n")
        tested = rejected(paths)
        spent = sum(one["time"] for one in tested) / len(tested)
        likely = sum(one["likely"] for one in tested)
        click.echo(
            f"The test of these pictures themselves: {spent:.4f} us a pixel, {likely} of {len(tested)} looked on."
        )


if __name__ == "__main__":
    main()
