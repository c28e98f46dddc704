#!/usr/bin/env python3
"""Makes data/patch_tst.json: what an independent, straightforward PatchTST computes, for patch_tst_test.cpp.

Written from the description of the model, in plain PyTorch operations and float64, without any of this project's code:
attention keeps its score matrices, norms are written out, nothing is fused. Run it again only to change the cases:

    python3 make_golden.py > data/patch_tst.json
"""
import json
import math
import sys

import torch

EPSILON = 1e-5
SMALL = {"look_back": 21, "horizon": 5, "patch_length": 6, "patch_stride": 4, "layers": 3, "heads": 2, "width": 6, "hidden": 10}


def make_parameters(sizes, channels, affine, generator):
    def uniform(*shape, bound):
        # Numbers that float32 holds, so that both programs start from the same ones.
        values = (torch.rand(*shape, generator=generator, dtype=torch.float64) * 2 - 1) * bound
        return values.float().double()

    d, hidden = sizes["width"], sizes["hidden"]
    patches = (sizes["look_back"] - sizes["patch_length"]) // sizes["patch_stride"] + 2
    p = {}

    def linear(name, inputs, outputs):
        p[f"{name}.weight"] = uniform(outputs, inputs, bound=1 / math.sqrt(inputs))
        p[f"{name}.bias"] = uniform(outputs, bound=1 / math.sqrt(inputs))

    def norm(name):
        p[f"{name}.weight"] = 1 + uniform(d, bound=0.3)
        p[f"{name}.bias"] = uniform(d, bound=0.3)

    linear("embedding", sizes["patch_length"], d)
    p["positions"] = uniform(patches, d, bound=0.5)
    for n in range(sizes["layers"]):
        for name in ("query", "key", "value", "output"):
            linear(f"layers.{n}.{name}", d, d)
        norm(f"layers.{n}.attention_norm")
        linear(f"layers.{n}.inner", d, hidden)
        linear(f"layers.{n}.outer", hidden, d)
        norm(f"layers.{n}.feed_forward_norm")
    linear("head", d * patches, sizes["horizon"])
    if affine:
        p["revin.weight"] = 1 + uniform(channels, bound=0.4)
        p["revin.bias"] = uniform(channels, bound=0.4)
    return {name: value.float().double() for name, value in p.items()}, patches


def batch_norm(x, weight, bias, running, training):
    """x [series, patches, width]; statistics over series and patches."""
    if training:
        mean = x.mean(dim=(0, 1))
        variance = ((x - mean) ** 2).mean(dim=(0, 1))
        count = x.shape[0] * x.shape[1]
        running["mean"] = 0.9 * running["mean"] + 0.1 * mean.detach()
        running["var"] = 0.9 * running["var"] + 0.1 * variance.detach() * count / (count - 1)
    else:
        mean, variance = running["mean"], running["var"]
    return (x - mean) / torch.sqrt(variance + EPSILON) * weight + bias


def forward(p, running, sizes, patches, windows, training, affine, add_epsilon):
    """windows [batch, channels, look_back] -> [batch, channels, horizon]."""
    batch, channels, look_back = windows.shape
    mean = windows.mean(dim=2, keepdim=True)
    deviation = torch.sqrt(((windows - mean) ** 2).mean(dim=2, keepdim=True) + EPSILON)
    x = (windows - mean) / deviation
    if affine:
        x = x * p["revin.weight"].view(1, -1, 1) + p["revin.bias"].view(1, -1, 1)
    x = torch.cat([x] + [x[:, :, -1:]] * sizes["patch_stride"], dim=2)
    pieces = []
    for i in range(patches):
        begin = i * sizes["patch_stride"]
        pieces.append(x[:, :, begin : begin + sizes["patch_length"]])
    x = torch.stack(pieces, dim=2)  # batch, channels, patches, patch_length
    x = x @ p["embedding.weight"].T + p["embedding.bias"] + p["positions"]
    x = x.reshape(batch * channels, patches, sizes["width"])
    head_width = sizes["width"] // sizes["heads"]
    previous = [0.0] * sizes["heads"]
    for n in range(sizes["layers"]):
        def linear(name, y):
            return y @ p[f"layers.{n}.{name}.weight"].T + p[f"layers.{n}.{name}.bias"]

        q, k, v = linear("query", x), linear("key", x), linear("value", x)
        outputs = []
        for h in range(sizes["heads"]):
            part = slice(h * head_width, (h + 1) * head_width)
            scores = q[..., part] @ k[..., part].transpose(1, 2) / math.sqrt(head_width) + previous[h]
            previous[h] = scores
            weights = torch.exp(scores - scores.amax(dim=-1, keepdim=True))
            outputs.append(weights / weights.sum(dim=-1, keepdim=True) @ v[..., part])
        x = x + linear("output", torch.cat(outputs, dim=-1))
        x = batch_norm(x, p[f"layers.{n}.attention_norm.weight"], p[f"layers.{n}.attention_norm.bias"],
                       running[f"layers.{n}.attention_norm"], training)
        hidden = linear("inner", x)
        hidden = 0.5 * hidden * (1 + torch.erf(hidden / math.sqrt(2)))
        x = x + linear("outer", hidden)
        x = batch_norm(x, p[f"layers.{n}.feed_forward_norm.weight"], p[f"layers.{n}.feed_forward_norm.bias"],
                       running[f"layers.{n}.feed_forward_norm"], training)
    flat = torch.cat([x[:, :, feature] for feature in range(sizes["width"])], dim=1)  # the feature is the slow index
    y = (flat @ p["head.weight"].T + p["head.bias"]).reshape(batch, channels, sizes["horizon"])
    if affine:
        gain = p["revin.weight"].view(1, -1, 1) + (EPSILON * EPSILON if add_epsilon else 0)
        y = (y - p["revin.bias"].view(1, -1, 1)) / gain
    return y * deviation + mean


def make_case(name, seed, affine=False, add_epsilon=False):
    generator = torch.Generator().manual_seed(seed)
    sizes, batch, channels = SMALL, 2, 3
    p, patches = make_parameters(sizes, channels, affine, generator)
    if add_epsilon:
        p["revin.weight"][0] = 1e-9  # where an epsilon of 1e-10 is a tenth
    norms = [f"layers.{n}.{which}" for n in range(sizes["layers"]) for which in ("attention_norm", "feed_forward_norm")]
    running = {name: {"mean": torch.zeros(sizes["width"], dtype=torch.float64),
                      "var": torch.ones(sizes["width"], dtype=torch.float64)} for name in norms}
    windows = torch.randn(batch, channels, sizes["look_back"], generator=generator, dtype=torch.float64)
    windows = (windows.cumsum(dim=2) + 5).float().double()
    targets = torch.randn(batch, channels, sizes["horizon"], generator=generator, dtype=torch.float64).float().double()
    for value in p.values():
        value.requires_grad_(True)
    # One training step's forward and backward pass, then evaluation with the statistics that it left.
    trained = forward(p, running, sizes, patches, windows, True, affine, add_epsilon)
    loss = ((trained - targets) ** 2).mean()
    loss.backward()
    with torch.no_grad():
        evaluated = forward(p, running, sizes, patches, windows, False, affine, add_epsilon)

    def numbers(tensor):
        return [float(f"{value:.12g}") for value in tensor.detach().reshape(-1).tolist()]

    return {
        "name": name,
        "sizes": sizes,
        "batch": batch,
        "channels": channels,
        "affine": affine,
        "compat_revin_inverse": add_epsilon,
        "parameters": {key: numbers(value) for key, value in p.items()},
        "gradients": {key: numbers(value.grad) for key, value in p.items()},
        "running": {key: {which: numbers(value) for which, value in both.items()} for key, both in running.items()},
        "windows": numbers(windows),
        "targets": numbers(targets),
        "loss": float(loss.detach()),
        "trained": numbers(trained),
        "evaluated": numbers(evaluated),
    }


def main():
    cases = [make_case("plain", 1), make_case("affine", 2, affine=True),
             make_case("compat_revin_inverse", 3, affine=True, add_epsilon=True)]
    json.dump(cases, sys.stdout, indent=None, separators=(",", ":"))
    print()


if __name__ == "__main__":
    main()
