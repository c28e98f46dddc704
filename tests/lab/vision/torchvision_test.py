"""The classifiers against torchvision's on the same weights, in double.

    torchvision_test.py PROGRAM MODEL PIXELS

PROGRAM is gradstab_vision_dump. Exits with 77 where torchvision is not installed: the test is skipped.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

try:
    import numpy as np
    import torch
    import torchvision
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

# Both compute the same sums in another order: at most a hundred layers with sums of up to 4608 terms, each rounded to 1.1e-16 of
# its size, come to 100 * sqrt(4608) * 1.1e-16 = 7e-13 of the largest logit.
TOLERANCE = 1e-12


def torchvision_model(name, pixels):
    models = torchvision.models
    if name.startswith("vit"):
        width = {"vit-ti16": 192, "vit-s16": 384, "vit-b16": 768}[name]
        return models.VisionTransformer(
            image_size=pixels, patch_size=16, num_layers=12, num_heads=width // 64, hidden_dim=width, mlp_dim=4 * width
        )
    return {"convnext-t": models.convnext_tiny, "resnet18": models.resnet18, "resnet50": models.resnet50}[name]()


# Our name, as a pattern, and torchvision's.
VIT = [
    (r"patches\.", "conv_proj."),
    (r"positions$", "encoder.pos_embedding"),
    (r"layers\.(\d+)\.attention_norm\.", r"encoder.layers.encoder_layer_\1.ln_1."),
    (r"layers\.(\d+)\.projections\.", r"encoder.layers.encoder_layer_\1.self_attention.in_proj_"),
    (r"layers\.(\d+)\.output\.", r"encoder.layers.encoder_layer_\1.self_attention.out_proj."),
    (r"layers\.(\d+)\.feed_forward_norm\.", r"encoder.layers.encoder_layer_\1.ln_2."),
    (r"layers\.(\d+)\.mlp\.inner\.", r"encoder.layers.encoder_layer_\1.mlp.0."),
    (r"layers\.(\d+)\.mlp\.outer\.", r"encoder.layers.encoder_layer_\1.mlp.3."),
    (r"norm\.", "encoder.ln."),
    (r"head\.", "heads.head."),
]


def convnext_name(name):
    for ours, theirs in [("stem_norm.", "features.0.1."), ("stem.", "features.0.0."), ("head.", "classifier.2.")]:
        if name.startswith(ours):
            return theirs + name[len(ours) :]
    if name.startswith("norm."):
        return "classifier.0." + name[5:]
    stage, rest = re.fullmatch(r"stages\.(\d+)\.(.*)", name).groups()
    if not rest.startswith("blocks."):
        place, of_layer = rest.split(".")
        return f"features.{2 * int(stage)}.{0 if place == 'norm' else 1}.{of_layer}"
    block, part = re.fullmatch(r"blocks\.(\d+)\.(.*)", rest).groups()
    begin = f"features.{2 * int(stage) + 1}.{block}"
    if part == "layer_scale":
        return f"{begin}.layer_scale"
    layer, of_layer = part.rsplit(".", 1)
    return f"{begin}.block.{ {'depthwise': 0, 'norm': 2, 'mlp.inner': 3, 'mlp.outer': 5}[layer] }.{of_layer}"


def resnet_name(name):
    for ours, theirs in [("stem_norm.", "bn1."), ("stem.", "conv1."), ("head.", "fc.")]:
        if name.startswith(ours):
            return theirs + name[len(ours) :]
    stage, block, layer, rest = re.fullmatch(r"stages\.(\d+)\.blocks\.(\d+)\.(\w+)\.(\w+)", name).groups()
    layers = {"shortcut": "downsample.0", "shortcut_norm": "downsample.1"}
    for number, word in enumerate(["first", "second", "third"], 1):
        layers[word] = f"conv{number}"
        layers[f"{word}_norm"] = f"bn{number}"
    return f"layer{int(stage) + 1}.{block}.{layers[layer]}.{rest}"


def torchvision_name(model, name):
    if model.startswith("convnext"):
        return convnext_name(name)
    if model.startswith("resnet"):
        return resnet_name(name)
    for pattern, replacement in VIT:
        if re.match(pattern, name):
            return re.sub("^" + pattern, replacement, name)
    return name


def main(program, name, pixels):
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([program, name, str(pixels), folder], check=True)
        index = json.loads((Path(folder) / "index.json").read_text())
        values = np.fromfile(Path(folder) / "values.bin")
    tensors = {}
    for ours, where in index.items():
        count = int(np.prod(where["sizes"]))
        tensors[ours] = torch.from_numpy(values[where["begin"] : where["begin"] + count].reshape(where["sizes"]))
    pictures, logits = tensors.pop("pictures"), tensors.pop("logits")

    model = torchvision_model(name, pixels).double().eval()
    state = model.state_dict()
    given = {torchvision_name(name, ours): tensor for ours, tensor in tensors.items()}
    assert given.keys() == state.keys(), sorted(given.keys() ^ state.keys())
    # The class token, the positions and the scales have more dimensions of size 1 there.
    model.load_state_dict({key: tensor.reshape(state[key].shape) for key, tensor in given.items()})
    with torch.no_grad():
        expected = model(pictures)
        largest = expected.abs().max().item()
        difference = (logits - expected).abs().max().item() / largest
        print(f"{name}: largest difference {difference:.2e} of the largest logit, {largest:.3g}")
        assert largest > 0.1, "nothing to compare"
        assert difference < TOLERANCE, difference
        # The control: one weight of the first layer, changed by a millionth of itself, is seen.
        first = next(iter(model.parameters())) if not name.startswith("vit") else model.conv_proj.weight
        first.view(-1)[first.abs().argmax()] *= 1 + 1e-6
        changed = (model(pictures) - expected).abs().max().item() / largest
        assert changed > TOLERANCE, changed


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
