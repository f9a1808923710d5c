"""The authors' three networks in plain NumPy, in float64, from a table of weights by the authors' names."""

import math

import numpy as np

Array = np.ndarray
Weights = dict[str, Array]


class Reader:
    """Layers by name. Images are [n, channels, height, width]."""

    def __init__(self, weights: Weights, groups: int = 1) -> None:
        self.weights = {name: value.astype(np.float64) for name, value in weights.items()}
        self.groups = groups

    def linear(self, name: str, x: Array) -> Array:
        """At the last axis."""
        y = np.einsum("...i,oi->...o", x, self.weights[name + ".weight"])
        return y + self.weights[name + ".bias"] if name + ".bias" in self.weights else y

    def conv(self, name: str, x: Array, stride: int = 1) -> Array:
        """Convolution with zeros around, any odd kernel."""
        kernel, bias = self.weights[name + ".weight"], self.weights[name + ".bias"]
        size = kernel.shape[-1]
        _, _, height, width = x.shape
        padded = np.pad(x, ((0, 0), (0, 0), (size // 2, size // 2), (size // 2, size // 2)))
        y = 0
        for i in range(size):
            for j in range(size):
                seen = padded[:, :, i : i + height : stride, j : j + width : stride]
                y = y + np.einsum("ncyx,oc->noyx", seen, kernel[:, :, i, j])
        return y + bias[:, None, None]

    def group_norm(self, name: str, x: Array) -> Array:
        """Mean 0, variance 1 in each group of channels; then scale and shift of each channel."""
        parts = x.reshape(len(x), self.groups, -1)
        parts = (parts - parts.mean(-1, keepdims=True)) / np.sqrt(parts.var(-1, keepdims=True) + 1e-5)
        shape = (-1, *[1] * (x.ndim - 2))
        return parts.reshape(x.shape) * self.weights[name + ".weight"].reshape(shape) + self.weights[
            name + ".bias"
        ].reshape(shape)

    def layer_norm(self, name: str, x: Array) -> Array:
        """Mean 0, variance 1 at each position; then scale and shift."""
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
        return x * self.weights[name + ".weight"] + self.weights[name + ".bias"]


def silu(x: Array) -> Array:
    return x / (1 + np.exp(-x))


def softmax(x: Array) -> Array:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def attend(q: Array, k: Array, v: Array) -> Array:
    """One head of one item: [points, width] each."""
    return softmax(q @ k.T / math.sqrt(q.shape[1])) @ v


def levels(weights: Weights, theta: Array, time: Array, *, side: int, groups: int, heads: int) -> Array:
    """MNIST's network: theta [n, D, 2], time [n] to the probabilities [n, D, 2]."""
    net = Reader(weights, groups)
    n = len(theta)
    pixels = np.stack([2 * theta[:, :, 0] - 1, np.repeat(2 * time[:, None] - 1, side * side, 1)], -1)
    x = net.linear("input_projection", pixels)
    half = x.shape[-1] // 2
    angles = 4000 * time[:, None] * np.array([10000 ** (-i / half) for i in range(half)])
    e = np.concatenate([np.cos(angles), np.sin(angles)], 1)
    e = net.linear("time_embed.2", silu(net.linear("time_embed.0", e)))

    def residual(name: str, h: Array) -> Array:
        y = net.conv(name + ".in_layers.2", silu(net.group_norm(name + ".in_layers.0", h)))
        y = y + net.linear(name + ".emb_layers.1", silu(e))[:, :, None, None]
        y = net.conv(name + ".out_layers.3", silu(net.group_norm(name + ".out_layers.0", y)))
        skip = name + ".skip_connection"
        return y + (net.conv(skip, h) if skip + ".weight" in weights else h)

    def attention(name: str, h: Array) -> Array:
        points = h.reshape(*h.shape[:2], -1)
        normed = net.group_norm(name + ".norm", points)
        qkv = np.einsum("nct,oc->not", normed, net.weights[name + ".qkv.weight"][:, :, 0])
        qkv += net.weights[name + ".qkv.bias"][:, None]
        wide = h.shape[1] // heads
        mixed = np.zeros_like(points)
        for item in range(n):
            for head in range(heads):
                mine = qkv[item, 3 * wide * head : 3 * wide * (head + 1)]
                q, k, v = (mine[i * wide : (i + 1) * wide].T for i in range(3))
                mixed[item, head * wide : (head + 1) * wide] = attend(q, k, v).T
        out = np.einsum("nct,oc->not", mixed, net.weights[name + ".proj_out.weight"][:, :, 0])
        return h + (out + net.weights[name + ".proj_out.bias"][:, None]).reshape(h.shape)

    h = x.reshape(n, side, side, -1).transpose(0, 3, 1, 2)
    kept = []
    for block in range(9):
        name = f"input_blocks.{block}.0"
        if block == 0:
            h = net.conv(name, h)
        elif block in (3, 6):
            h = net.conv(name + ".op", h, stride=2)
        else:
            h = residual(name, h)
        kept.append(h)
    h = residual("middle_block.0", h)
    h = attention("middle_block.1", h)
    h = residual("middle_block.2", h)
    for block in range(9):
        h = residual(f"output_blocks.{block}.0", np.concatenate([h, kept.pop()], 1))
        if block in (2, 5):
            h = net.conv(f"output_blocks.{block}.1.conv", h.repeat(2, axis=2).repeat(2, axis=3))
    h = net.conv("out.2", silu(net.group_norm("out.0", h)))
    last = np.concatenate([x, h.transpose(0, 2, 3, 1).reshape(n, side * side, -1)], -1)
    one = 1 / (1 + np.exp(-net.linear("output_adapter.output_projection", last)[:, :, 0]))
    return np.stack([1 - one, one], -1)


def flat(weights: Weights, means: Array, time: Array, *, side: int, channels: int, groups: int, blocks: int) -> Array:
    """CIFAR-10's network: means [n, D], time [n] to mean and log deviation [n, D, 2] of the noise."""
    net = Reader(weights, groups)
    n = len(means)
    image = means.reshape(n, side, side, channels).transpose(0, 3, 1, 2)
    width = len(weights["conv_in.bias"])
    angles = 1000 * (time[:, None] + 0.001) * 10 ** np.linspace(0, -4, width // 2)
    e = np.concatenate([np.sin(angles), np.cos(angles)], 1)
    e = silu(net.linear("embed_conditioning.2", silu(net.linear("embed_conditioning.0", e))))

    def residual(name: str, h: Array) -> Array:
        y = net.conv(name + ".net1.2", silu(net.group_norm(name + ".net1.0", h)))
        y = y + net.linear(name + ".cond_proj", e)[:, :, None, None]
        y = net.conv(name + ".net2.3", silu(net.group_norm(name + ".net2.0", y)))
        return y + (net.conv(name + ".skip_conv", h) if h.shape[1] != width else h)

    waves = [image]
    for function in (np.sin, np.cos):
        for frequency in (32, 64):
            waves.append(function(2 * np.pi * frequency * image))
    h = net.conv("conv_in", np.concatenate(waves, 1))
    kept = [h]
    for block in range(blocks):
        h = residual(f"down_blocks.{block}.resnet_block", h)
        kept.append(h)
    h = residual("mid_resnet_block_1", h)
    qkv = net.conv("mid_attn_block.layers.1", net.group_norm("mid_attn_block.layers.0", h))
    parts = qkv.reshape(n, 3, width, -1)
    mixed = np.stack([attend(*(part.T for part in item)).T for item in parts]).reshape(h.shape)
    h = h + net.conv("mid_attn_block.layers.3", mixed)
    h = residual("mid_resnet_block_2", h)
    for block in range(blocks + 1):
        h = residual(f"up_blocks.{block}.resnet_block", np.concatenate([h, kept.pop()], 1))
    h = net.conv("conv_out.2", silu(net.group_norm("conv_out.0", h)))
    last = np.concatenate([image, h], 1).transpose(0, 2, 3, 1)
    return net.linear("output_adapter.output_projection", last).reshape(n, side * side * channels, 2)


def gaussian_bins(noise: Array, means: Array, time: Array, bins: int) -> Array:
    """Probabilities [n, D, bins] of the published CIFAR-10 model (sigma_1 = 0.001), one Gaussian after the other."""
    made = np.zeros((*means.shape, bins))
    for item, variable in np.ndindex(*means.shape):
        t = time[item]
        if t < 1e-6:
            mean, deviation = 0.0, 1.0
        else:
            gamma = 1 - 0.001 ** (2 * t)
            ratio = math.sqrt((1 - gamma) / gamma)
            mean = means[item, variable] / gamma - ratio * noise[item, variable, 0]
            deviation = ratio * math.exp(min(max(noise[item, variable, 1], -10), 10))
        deviation = min(max(deviation, 0.001), 10)
        edges = [-1 + 2 * k / bins for k in range(1, bins)]
        below = [0.5 * math.erfc((mean - edge) / deviation / math.sqrt(2)) for edge in edges]
        made[item, variable] = np.diff([0.0, *below, 1.0])
    return made


def transformer(weights: Weights, theta: Array, time: Array, *, layers: int, heads: int) -> Array:
    """text8's network: theta [n, D, K], time [n] to the probabilities [n, D, K]."""
    net = Reader(weights)
    start = net.linear("input_adapter.inp_embedding", 2 * theta - 1) + net.weights["input_adapter.pos_embedding"]
    start = start + net.linear("input_adapter.t_embedding", 2 * time[:, None, None] - 1)
    x = start
    n, length, width = x.shape
    wide = width // heads
    for layer in range(layers):
        name = f"transformer.h.{layer}"
        qkv = net.linear(name + ".attn.c_attn", net.layer_norm(name + ".ln_1", x))
        mixed = np.zeros_like(x)
        for item in range(n):
            for head in range(heads):
                here = slice(head * wide, (head + 1) * wide)
                q, k, v = (qkv[item, :, i * width : (i + 1) * width][:, here] for i in range(3))
                mixed[item, :, here] = attend(q, k, v)
        x = x + net.linear(name + ".attn.c_proj", mixed)
        h = net.linear(name + ".mlp.c_fc", net.layer_norm(name + ".ln_2", x))
        h = 0.5 * h * (1 + np.tanh(math.sqrt(2 / math.pi) * (h + 0.044715 * h**3)))
        x = x + net.linear(name + ".mlp.c_proj", h)
    x = np.concatenate([net.layer_norm("transformer.ln_f", x), start], -1)
    return softmax(net.linear("lm_head", x))
