"""bfncodec info."""

import json
from typing import Any

import click

from bfncodec.cli import files, options, outputs
from bfncodec.cli.files import Messages


@click.command(short_help="Show what .bfn files hold.")
@click.argument("names", metavar="[FILE]...", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@options.loudness
def info(names: tuple[str, ...], as_json: bool, messages: Messages) -> None:
    """Show size, kind and model of each FILE from its header, without decoding."""
    from bfncodec import api

    def one(name: str) -> None:
        with files.opened(name, binary_wanted=True, force=False) as given:
            facts = api.info(given.data)
        shown = json.dumps({"file": name, **facts}) if as_json else _table(name, facts, messages.loudness > 1)
        outputs.tell(shown)

    files.each(names, one, messages)


def _table(name: str, facts: dict[str, Any], details: bool) -> str:
    lines = [f"{files.printable(name)}: {files.with_unit(facts['file_bytes'])}, {facts['items']} item(s)"]
    if len(facts["blocks"]) > facts["items"]:
        lines[0] += f" in {len(facts['blocks'])} parts"
    shown = facts["blocks"] if details else facts["blocks"][:8]
    for block in shown:
        if block["mode"] == "jpeg":
            more = f", {block['images']} images" if block["images"] > 1 else ""
            size = f"{block['width']}x{block['height']}{more}, {block['content_bytes']} bytes"
            lines.append(f"  JPEG, byte for byte: {size}, {block['segments']} segment{'s' * (block['segments'] > 1)}")
            lines.append(f"    model {block['model']}; lossless: {block['lossless']}")
        elif "width" in block:
            size = f"{block['width']}x{block['height']} {block['layout']}" + _bits(block) + _frames(block)
            rate = f"{block['bits_per_subpixel']:.3f} bits per subpixel"
            space = ""
            if "space" in block:
                count = block["exceptions"]
                half = ", colour at half size" if "sampling" in block else ""
                space = f", {block['space']}{half}, {count} exception{'s' * (count != 1)}"
            elif "decoded_from" in block:
                count = block["exceptions"]
                space = f" (decoded from a {block['decoded_from']}), {count} exception{'s' * (count != 1)}"
            lines.append(f"  {block['items']} x {size} ({block['source']}), {block['schedule']}{space}, {rate}")
            model = f"model {block['model']}; " if "model" in block else ""
            lines.append(f"    {model}lossless: {block['lossless']}")
        else:
            rate = f", {block['schedule']}, {block['bits_per_byte']:.3f} bits per byte" if "schedule" in block else ""
            lines.append(f"  {block['content_bytes']} bytes, {block['mode']}{rate}")
            model = f"model {block['model']}; " if "model" in block else ""
            tied = "floating point, tied to the machine; " if block.get("floating_point") else ""
            lines.append(f"    {model}{tied}lossless: {block['lossless']}")
    if len(shown) < len(facts["blocks"]):
        lines.append(f"  ... {len(facts['blocks']) - len(shown)} more (-v shows all)")
    if details and facts["names"]:
        lines += [f"  {number}: {files.printable(item)}" for number, item in enumerate(facts["names"])]
    return "\n".join(lines)


def _bits(block: dict[str, Any]) -> str:
    """Bits of a value where they are named."""
    if "depth" not in block:
        return ""
    return f", {'signed ' if block['signed'] else ''}{block['depth']} bit{'s' * (block['depth'] > 1)}"


def _frames(block: dict[str, Any]) -> str:
    return f", {block['frames']} frame{'s' * (block['frames'] > 1)}" if "frames" in block else ""
