"""make_golden.py OUTPUT.json: what Pillow and torchvision make of pictures, for the tests of lab/vision.

Written with Pillow 13.0 and torchvision 0.29 on torch 2.15. Pictures are given by a formula that the tests
know, too (golden.hpp). Random choices are torchvision's code on the numbers of lab/nn/counter_random.hpp.
"""
import io
import json
import math
import struct
import sys
import zlib

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import InterpolationMode, RandAugment, RandomErasing, RandomResizedCrop, TrivialAugmentWide, v2
from torchvision.transforms import functional as F
from torchvision.transforms.autoaugment import _apply_op

MASK = (1 << 64) - 1
BILINEAR = InterpolationMode.BILINEAR


def mix64(value):
    value = (value + 0x9E3779B97F4A7C15) & MASK
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB & MASK
    return value ^ (value >> 31)


class Stream:
    """counter_uniform of the key of (seed, index, place), from the first number on."""

    def __init__(self, seed, index, place):
        self.key = mix64(mix64(mix64(seed) ^ index) ^ place)
        self.next = 0

    def uniform(self):
        number = ((mix64(mix64(self.key) ^ self.next) >> 12) + 0.5) * 2.0**-52
        self.next += 1
        return number


class FromStream:
    """What torchvision draws from torch, drawn from a stream."""

    def __init__(self, stream):
        self.stream = stream

    def __enter__(self):
        stream = self.stream
        self.kept = torch.empty, torch.randint, torch.exp

        class Number(float):
            def item(self):
                return float(self)

        class Whole(int):
            def item(self):
                return int(self)

        class Empty:
            def uniform_(self, low, high):
                return Number(float(low) + (float(high) - float(low)) * stream.uniform())

        torch.empty = lambda *size: Empty()
        torch.randint = lambda low, high, size: Whole(low + math.floor(stream.uniform() * (high - low)))
        torch.exp = lambda value: Number(math.exp(value))

    def __exit__(self, *unused):
        torch.empty, torch.randint, torch.exp = self.kept


def pixels(width, height, channels, kind):
    """Noise over a slope; `kind` also leaves out the darkest and brightest values (0) or not (1)."""
    array = np.zeros((height, width, channels), dtype=np.uint8)
    for y in range(height):
        for x in range(width):
            for c in range(channels):
                noise = mix64(((y * 4096 + x) * 4 + c) ^ 0x5EED)
                array[y, x, c] = (20 + (x * 97 // width + y * 61 // height + noise % 50)) if kind == 0 else noise % 256
    return array


def picture(width, height, channels, kind=0):
    array = pixels(width, height, channels, kind)
    return Image.fromarray(array if channels == 3 else array[:, :, 0])


def of(image):
    array = np.asarray(image)
    return {"width": array.shape[1], "height": array.shape[0], "hex": array.tobytes().hex()}


def source(width, height, channels, kind=0):
    return {"source": [width, height, channels, kind]}


def operations():
    """Every operation, on colour and grey pictures, with magnitudes of both signs."""
    cases = []
    magnitudes = {
        "Identity": [0], "ShearX": [0.09, -0.3, 0.99], "ShearY": [0.09, -0.99], "TranslateX": [3.4, -2.9, 40],
        "TranslateY": [2.7, -3.2], "Rotate": [9, -22.5, 135, 90], "Brightness": [0.27, -0.63],
        "Color": [0.27, -0.9], "Contrast": [0.9, -0.27], "Sharpness": [0.9, -0.9], "Posterize": [7, 4, 2, 8],
        "Solarize": [178.5, 0.0, 255.0, 68.0], "AutoContrast": [0], "Equalize": [0],
    }
    for name, values in magnitudes.items():
        for i, value in enumerate(values):
            # Equalizing needs more pixels than levels to do anything.
            width, height = (26, 24) if name == "Equalize" else (12, 9) if i != 3 else (10, 10)
            for channels in (3, 1) if i == 0 else (3,):
                image = picture(width, height, channels)
                made = _apply_op(image, name, float(value), interpolation=BILINEAR, fill=None)
                cases.append({"operation": name, "magnitude": value, **source(width, height, channels), **of(made)})
    return cases


def spaces():
    """The magnitude of every operation at every strength."""

    def listed(space):
        return {name: [float(v) for v in values] if values.ndim else [float(values)] * 31
                for name, (values, _) in space.items()}

    return {"random": {"size": [224, 160], **listed(RandAugment()._augmentation_space(31, (160, 224)))},
            "trivial": listed(TrivialAugmentWide()._augmentation_space(31)),
            "signed": {name: bool(is_signed) for name, (_, is_signed) in TrivialAugmentWide()._augmentation_space(31).items()}}


def resizes():
    cases = []
    for width, height, new_width, new_height in [(37, 29, 11, 9), (9, 7, 16, 12), (1, 1, 5, 4), (64, 3, 8, 8), (13, 40, 13, 10), (40, 13, 9, 13)]:
        for channels in (3, 1):
            image = picture(width, height, channels, 1)
            made = F.resize(image, [new_height, new_width], interpolation=BILINEAR, antialias=True)
            cases.append({**source(width, height, channels, 1), "size": [new_width, new_height], "most_difference": 0, **of(made)})
    # Where that is less work, newer versions of Pillow go along columns first, and round then.
    made = F.resize(picture(23, 50, 3, 1), [30, 14], interpolation=BILINEAR, antialias=True)
    cases.append({**source(23, 50, 3, 1), "size": [14, 30], "most_difference": 1, **of(made)})
    return cases


def resized_crops():
    cases = []
    given = [(40, 30, 5, 3, 21, 17), (40, 30, 0, 0, 40, 30), (12, 40, 2, 30, 7, 10), (40, 30, 39, 29, 1, 1)]
    for width, height, left, top, crop_width, crop_height in given:
        made = F.resized_crop(picture(width, height, 3), top, left, crop_height, crop_width, [12, 12], interpolation=BILINEAR, antialias=True)
        cases.append({**source(width, height, 3), "crop": [left, top, crop_width, crop_height], **of(made)})
    return cases


def evaluations():
    """The whole path of evaluation to numbers, as the reference recipes have it."""
    cases = []
    given = [(40, 30, 3, 16, 12), (25, 50, 3, 15, 13), (50, 23, 3, 13, 13), (12, 12, 1, 0, 12), (1, 30, 3, 10, 8)]
    for width, height, channels, resize, size in given:
        image = picture(width, height, channels)
        if resize:
            image = F.resize(image, resize, interpolation=BILINEAR, antialias=True)
        image = F.center_crop(image, size)
        mean, deviation = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]) if channels == 3 else ([0.2860406], [0.3530242])
        tensor = F.normalize(F.convert_image_dtype(F.pil_to_tensor(image), torch.float), mean, deviation)
        cases.append({**source(width, height, channels), "resize": resize, "mean": mean, "deviation": deviation, **of(image),
                      "values": [float(v) for v in tensor.flatten()[::5]]})
    return cases


def flips_and_cuts():
    image = picture(12, 9, 3)
    padded = F.crop(F.pad(image, [2]), 0, 4, 9, 12)
    return [{"what": "flip", **source(12, 9, 3), **of(F.hflip(image))},
            {"what": "cut", "left": 2, "top": -2, **source(12, 9, 3), **of(padded)}]


def tensor_batch(count):
    return torch.stack([F.pil_to_tensor(picture(6 + i, 8, 3, 1)).float()[:, :, i:] / 255 for i in range(count)])


def mixes():
    cases = []
    for count, weight in [(3, 0.3), (1, 0.625), (4, 0.9)]:
        batch, labels = tensor_batch(count), torch.arange(count)
        onehot = torch.nn.functional.one_hot(labels, 5).float()
        mixup = v2.MixUp(num_classes=5)
        mixed = mixup.transform(batch, {"lam": weight, "labels": labels, "batch_size": count})
        cases.append({"kind": "mixup", "count": count, "weight": weight, "values": [float(v) for v in mixed.flatten()[::3]],
                      "label_weight": weight, "targets": mixup._mixup_label(labels, lam=weight).tolist()})
        assert onehot.shape == mixup._mixup_label(labels, lam=weight).shape
        for x, y in [(2, 5), (0, 0), (5, 7)]:
            cutmix = v2.CutMix(num_classes=5)
            cutmix._dist = type("Dist", (), {"sample": lambda self, size, w=weight: torch.tensor([w], dtype=torch.float64)})()
            kept, places = torch.randint, iter([x, y])
            torch.randint = lambda *args, **kwargs: torch.tensor([next(places)])
            params = cutmix.make_params([batch])
            torch.randint = kept
            params |= {"labels": labels, "batch_size": count}
            mixed = cutmix.transform(batch, params)
            cases.append({"kind": "cutmix", "count": count, "weight": weight, "x": x, "y": y, "box": [int(v) for v in params["box"]],
                          "label_weight": float(params["lam_adjusted"]), "values": [float(v) for v in mixed.flatten()[::3]],
                          "targets": cutmix._mixup_label(labels, lam=params["lam_adjusted"]).tolist()})
    return cases


def erasures():
    """torchvision's choice on our numbers, and what it makes of a tensor."""
    cases = []
    for seed in range(20):
        width, height = (6, 8) if seed % 2 else (32, 20)
        values = torch.ones(3, height, width)
        with FromStream(Stream(seed, 1, 2)):
            top, left, h, w, _ = RandomErasing.get_params(values, (0.02, 0.33), (0.3, 3.3), [0.0])
        erased = F.erase(values, top, left, h, w, torch.tensor(0.0))
        found = (h, w) != (height, width)
        cases.append({"seed": seed, "size": [width, height], "box": [left, top, w, h] if found else None,
                      "rows": erased[1].sum(1).tolist() if found else None})
    return cases


def crop_choices():
    cases = []
    for seed in range(24):
        width, height = [(500, 375), (20, 300), (300, 20), (1, 1), (37, 38), (28, 28)][seed % 6]
        with FromStream(Stream(seed, 1, 2)):
            top, left, h, w = RandomResizedCrop.get_params(picture(width, height, 1), [0.08, 1.0], [3 / 4, 4 / 3])
        cases.append({"seed": seed, "size": [width, height], "box": [int(left), int(top), w, h]})
    return cases


def chunk(kind, data):
    return struct.pack(">I4s", len(data), kind) + data + struct.pack(">I", zlib.crc32(kind + data))


def png(array, depth, colour, interlaced=False):
    """A PNG of samples [height, width, channels], which Pillow cannot write in all depths."""
    height, width, channels = array.shape

    def lines(part):
        data = b""
        for row in part:
            if depth == 16:
                data += b"\0" + row.astype(">u2").tobytes()
            else:
                bits = "".join(format(int(v), f"0{depth}b") for v in row.flatten())
                bits += "0" * (-len(bits) % 8)
                data += b"\0" + bytes(int(bits[i:i + 8], 2) for i in range(0, len(bits), 8))
        return data

    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    parts = [array[y::dy, x::dx] for x, y, dx, dy in passes] if interlaced else [array]
    data = b"".join(lines(part) for part in parts if part.size)
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, int(interlaced))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def saved(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def files():
    """Files of every kind, and what convert("RGB") makes of them."""
    width, height = 19, 13
    colour, grey = picture(width, height, 3), picture(width, height, 1)
    alpha = picture(width, height, 1, 1)
    smooth = colour.resize((width, height))
    exif = Image.Exif()
    exif[0x0112] = 6
    rgba, la = colour.copy(), grey.copy()
    rgba.putalpha(alpha)
    la.putalpha(alpha)
    palette = colour.quantize(31)
    wide = pixels(width, height, 3, 1).astype(np.uint16) * 257 ^ 0x55
    few = pixels(width, height, 1, 1)
    made = {
        "jpeg 4:2:0": saved(smooth, "JPEG", quality=90, subsampling=2),
        "jpeg 4:2:2": saved(smooth, "JPEG", quality=80, subsampling=1),
        "jpeg 4:4:4": saved(smooth, "JPEG", quality=95, subsampling=0),
        "jpeg progressive": saved(smooth, "JPEG", quality=90, progressive=True),
        "jpeg grey": saved(grey, "JPEG", quality=90),
        "jpeg CMYK": saved(colour.convert("CMYK"), "JPEG", quality=90),
        "jpeg turned": saved(smooth, "JPEG", quality=90, exif=exif),
        "png RGB": saved(colour, "PNG"),
        "png RGBA": saved(rgba, "PNG"),
        "png grey": saved(grey, "PNG"),
        "png grey and alpha": saved(la, "PNG"),
        "png palette": saved(palette, "PNG"),
        "png palette with a transparent colour": saved(palette, "PNG", transparency=3),
        "png one bit": saved(grey.convert("1"), "PNG"),
        "png two bits": png(few >> 6, 2, 0),
        "png four bits": png(few >> 4, 4, 0),
        "png RGB of 16 bits": png(wide, 16, 2),
        "png interlaced": png(pixels(width, height, 3, 1), 8, 2, True),
        "png interlaced grey of four bits": png(few >> 4, 4, 0, True),
    }
    cases = [{"name": name, "file": data.hex(), **of(Image.open(io.BytesIO(data)).convert("RGB"))} for name, data in made.items()]
    # Pillow clips grey of 16 bits at 255; ours are its upper 8 bits.
    deep = pixels(width, height, 1, 1).astype(np.uint16) * 257 ^ 0x55
    upper = Image.fromarray((deep[:, :, 0] >> 8).astype(np.uint8)).convert("RGB")
    cases.append({"name": "png grey of 16 bits", "file": png(deep, 16, 0).hex(), **of(upper)})
    return cases


def main():
    golden = {"operations": operations(), "spaces": spaces(), "resizes": resizes(), "resized_crops": resized_crops(), "evaluations": evaluations(),
              "flips_and_cuts": flips_and_cuts(), "mixes": mixes(), "erasures": erasures(), "crop_choices": crop_choices(), "files": files()}
    with open(sys.argv[1], "w") as out:
        for prefix, (name, value) in zip(["{\n"] + [",\n"] * len(golden), golden.items()):
            out.write(f"{prefix}{json.dumps(name)}: ")
            if isinstance(value, list):
                out.write("[\n" + ",\n".join(json.dumps(each, separators=(",", ":")) for each in value) + "\n]")
            else:
                out.write(json.dumps(value, separators=(",", ":")))
        out.write("\n}\n")


if __name__ == "__main__":
    main()
