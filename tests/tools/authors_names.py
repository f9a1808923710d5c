"""Names and shapes of the weights in the authors' checkpoints, read off nnaisense/bayesian-flow-networks."""

from collections.abc import Iterator

import numpy as np

from bfncodec.models.authors.configs import Flat, Levels, Transformer

Shapes = dict[str, tuple[int, ...]]

# MNIST's residual blocks, in units of the width: name, channels in, channels out.
RESIDUALS = [
    ("input_blocks.1.0", 1, 1),
    ("input_blocks.2.0", 1, 1),
    ("input_blocks.4.0", 1, 2),
    ("input_blocks.5.0", 2, 2),
    ("input_blocks.7.0", 2, 2),
    ("input_blocks.8.0", 2, 2),
    ("middle_block.0", 2, 2),
    ("middle_block.2", 2, 2),
    ("output_blocks.0.0", 4, 2),
    ("output_blocks.1.0", 4, 2),
    ("output_blocks.2.0", 4, 2),
    ("output_blocks.3.0", 4, 2),
    ("output_blocks.4.0", 4, 2),
    ("output_blocks.5.0", 3, 2),
    ("output_blocks.6.0", 3, 1),
    ("output_blocks.7.0", 2, 1),
    ("output_blocks.8.0", 2, 1),
]
RESAMPLINGS = [
    ("input_blocks.3.0.op", 1),
    ("input_blocks.6.0.op", 2),
    ("output_blocks.2.1.conv", 2),
    ("output_blocks.5.1.conv", 2),
]

Layer = Iterator[tuple[str, tuple[int, ...]]]


def _layer(name: str, *shape: int, bias: bool = True) -> Layer:
    yield name + ".weight", shape
    if bias:
        yield name + ".bias", shape[:1]


def mnist(width: int = 128, side: int = 28, bands: int = 64) -> Shapes:
    """mnist_ema.pt, without the prefix net."""

    def all_of() -> Layer:
        yield "input_adapter.pos_feats", (side**2, 4 * bands + 2)
        yield from _layer("output_adapter.output_projection", 1, 2 * width)
        yield from _layer("input_projection", width, 2)
        yield from _layer("time_embed.0", 4 * width, width)
        yield from _layer("time_embed.2", 4 * width, 4 * width)
        yield from _layer("input_blocks.0.0", width, width, 3, 3)
        for name, i, o in RESIDUALS:
            yield from _layer(name + ".in_layers.0", i * width)
            yield from _layer(name + ".in_layers.2", o * width, i * width, 3, 3)
            yield from _layer(name + ".emb_layers.1", o * width, 4 * width)
            yield from _layer(name + ".out_layers.0", o * width)
            yield from _layer(name + ".out_layers.3", o * width, o * width, 3, 3)
            if i != o:
                yield from _layer(name + ".skip_connection", o * width, i * width, 1, 1)
        for name, i in RESAMPLINGS:
            yield from _layer(name, i * width, i * width, 3, 3)
        yield from _layer("middle_block.1.norm", 2 * width)
        yield from _layer("middle_block.1.qkv", 6 * width, 2 * width, 1)
        yield from _layer("middle_block.1.proj_out", 2 * width, 2 * width, 1)
        yield from _layer("out.0", width)
        yield from _layer("out.2", width, width, 3, 3)

    return dict(all_of())


def cifar10(width: int = 128, blocks: int = 32, side: int = 32, bands: int = 64) -> Shapes:
    """cifar10_256d_ema.pt, without the prefix net."""

    def all_of() -> Layer:
        yield "input_adapter.pos_feats", (side**2, 4 * bands + 2)
        yield from _layer("output_adapter.output_projection", 6, 3 + width)
        yield from _layer("embed_conditioning.0", 4 * width, width)
        yield from _layer("embed_conditioning.2", 4 * width, 4 * width)
        yield from _layer("conv_in", width, 15, 3, 3)
        residuals = [(f"down_blocks.{i}.resnet_block", width) for i in range(blocks)]
        residuals += [("mid_resnet_block_1", width), ("mid_resnet_block_2", width)]
        residuals += [(f"up_blocks.{i}.resnet_block", 2 * width) for i in range(blocks + 1)]
        for name, i in residuals:
            yield from _layer(name + ".net1.0", i)
            yield from _layer(name + ".net1.2", width, i, 3, 3)
            yield from _layer(name + ".cond_proj", width, 4 * width, bias=False)
            yield from _layer(name + ".net2.0", width)
            yield from _layer(name + ".net2.3", width, width, 3, 3)
            if i != width:
                yield from _layer(name + ".skip_conv", width, i, 1, 1)
        yield from _layer("mid_attn_block.layers.0", width)
        yield from _layer("mid_attn_block.layers.1", 3 * width, width, 1, 1)
        yield from _layer("mid_attn_block.layers.3", width, width, 1, 1)
        yield from _layer("conv_out.0", width)
        yield from _layer("conv_out.2", width, width, 3, 3)

    return dict(all_of())


def text8(width: int = 768, layers: int = 24, length: int = 256, classes: int = 27) -> Shapes:
    """text8_ema.pt, without the prefix net."""

    def all_of() -> Layer:
        yield "input_adapter.pos_embedding", (length, width)
        yield from _layer("input_adapter.inp_embedding", width, classes)
        yield from _layer("input_adapter.t_embedding", width, 1)
        for i in range(layers):
            yield from _layer(f"transformer.h.{i}.ln_1", width)
            yield from _layer(f"transformer.h.{i}.attn.c_attn", 3 * width, width)
            yield from _layer(f"transformer.h.{i}.attn.c_proj", width, width)
            yield from _layer(f"transformer.h.{i}.ln_2", width)
            yield from _layer(f"transformer.h.{i}.mlp.c_fc", 4 * width, width)
            yield from _layer(f"transformer.h.{i}.mlp.c_proj", width, 4 * width)
        yield from _layer("transformer.ln_f", width)
        yield from _layer("lm_head", classes, 2 * width)

    return dict(all_of())


def random_weights(shapes: Shapes, seed: int = 0) -> dict[str, np.ndarray]:
    """Weights float32 that keep values near 1 on their way, norms included."""
    random = np.random.default_rng(seed)
    made = {}
    for name, shape in shapes.items():
        scale = 0.3 if len(shape) == 1 else np.prod(shape[1:]) ** -0.5
        centre = 1.0 if len(shape) == 1 and name.endswith("weight") else 0.0
        made[name] = (centre + scale * random.normal(size=shape)).astype(np.float32)
    return made


# Networks small enough for tests, and their weights.
TINY = {
    "mnist": Levels(side=8, width=8, heads=2, groups=4, bands=3),
    "cifar10_256d": Flat(side=6, width=8, blocks=2, groups=4, bands=3),
    "text8": Transformer(classes=5, length=7, width=12, layers=2, heads=3),
}
TINY_SHAPES = {
    "mnist": mnist(width=8, side=8, bands=3),
    "cifar10_256d": cifar10(width=8, blocks=2, side=6, bands=3),
    "text8": text8(width=12, layers=2, length=7, classes=5),
}
