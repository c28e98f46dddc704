"""A short training of LLaMA-60M in bfloat16 on a CUDA device, with and without the stabilizer, and writes JSON.

    PYTHONPATH=build/adaptors/python python3 tools/gpu_check/train_llama.py [--steps 500] [--seconds 80] [--out FILE]

The text is Python's own library, two bytes to a token. Each arm begins with the same weights and sees the same batches; one
arm more has the gradients of single steps multiplied by 1000.
"""

from __future__ import annotations

import argparse
import json
import math
import pathlib
import sys
import sysconfig
import time
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

import gradient_stabilizer as gs

VOCABULARY, WIDTH, LAYERS, HEADS, HIDDEN, LENGTH, BATCH = 32000, 512, 8, 8, 1376, 256, 32


class Norm(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        wide = x.float()
        return (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-6)).to(x.dtype) * self.weight


def rotated(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, a * sin + b * cos), dim=-1)


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(4))
        self.gate_proj, self.up_proj = (nn.Linear(WIDTH, HIDDEN, bias=False) for _ in range(2))
        self.down_proj = nn.Linear(HIDDEN, WIDTH, bias=False)
        self.attention_norm, self.mlp_norm = Norm(WIDTH), Norm(WIDTH)

    def forward(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        y = self.attention_norm(x)
        q, k, v = (p(y).unflatten(-1, (HEADS, -1)).transpose(1, 2) for p in (self.q_proj, self.k_proj, self.v_proj))
        y = F.scaled_dot_product_attention(rotated(q, cos, sin), rotated(k, cos, sin), v, is_causal=True)
        x = x + self.o_proj(y.transpose(1, 2).flatten(2))
        y = self.mlp_norm(x)
        return x + self.down_proj(F.silu(self.gate_proj(y)) * self.up_proj(y))


class Llama(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(VOCABULARY, WIDTH)
        self.layers = nn.ModuleList(Block() for _ in range(LAYERS))
        self.norm = Norm(WIDTH)
        self.lm_head = nn.Linear(WIDTH, VOCABULARY, bias=False)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=0.02)
        half = WIDTH // HEADS // 2
        angles = torch.outer(torch.arange(LENGTH).float(), 10000.0 ** (-torch.arange(half) / half))
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.embed_tokens(tokens)
        for layer in self.layers:
            x = layer(x, self.cos, self.sin)
        return self.lm_head(self.norm(x))


def corpus() -> torch.Tensor:
    """Tokens of the text of Python's library."""
    text = b"".join(path.read_bytes() for path in sorted(pathlib.Path(sysconfig.get_paths()["stdlib"]).glob("*.py")))
    pairs = torch.frombuffer(bytearray(text[: len(text) // 2 * 2]), dtype=torch.uint8).long().view(-1, 2)
    return (pairs[:, 0] * 256 + pairs[:, 1]) % VOCABULARY


def train(arm: str, steps: int, spikes: bool, stabilize: bool, tokens: torch.Tensor) -> dict[str, Any]:
    torch.manual_seed(0)
    model = Llama().to(device="cuda", dtype=torch.bfloat16)
    optimizer = gs.optim.AdamW(model.named_parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1, backend="cuda",
                               transform=gs.stabilize() if stabilize else None)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda s: min(1.0, (s + 1) / 50) * (0.1 + 0.45 * (1 + math.cos(math.pi * min(1.0, s / steps)))))
    generator = torch.Generator(device="cuda").manual_seed(1)
    offsets = torch.arange(LENGTH + 1, device="cuda")
    losses: list[torch.Tensor] = []
    torch.cuda.synchronize()
    begin = time.monotonic()
    for step in range(steps):
        starts = torch.randint(0, tokens.numel() - LENGTH - 1, (BATCH, 1), device="cuda", generator=generator)
        batch = tokens[starts + offsets]
        logits = model(batch[:, :-1])
        loss = F.cross_entropy(logits.float().flatten(0, 1), batch[:, 1:].flatten())
        optimizer.zero_grad(set_to_none=True)
        # After every 100th step, the gradient of one step is a thousand times too large.
        (loss * 1000.0 if spikes and step % 100 == 99 else loss).backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.detach())
    torch.cuda.synchronize()
    seconds = time.monotonic() - begin
    curve = torch.stack(losses).float().cpu()
    return {"arm": arm, "steps": steps, "seconds": seconds, "ms_per_step": 1000 * seconds / steps,
            "first_loss": curve[:10].mean().item(), "last_loss": curve[-50:].mean().item(),
            "finite": bool(torch.isfinite(curve).all()), "place": optimizer.backend_name(),
            "losses_every_25": [round(value, 4) for value in curve[::25].tolist()]}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=80.0, help="no arm but the first two begins later than this")
    parser.add_argument("--out", type=pathlib.Path)
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        print("train_llama: SKIPPED, nothing was trained: there is no CUDA device")
        return 77
    torch.backends.cuda.matmul.allow_tf32 = True
    begin = time.monotonic()
    tokens = corpus().cuda()
    result: dict[str, Any] = {"device": torch.cuda.get_device_name(), "torch": torch.__version__,
                              "tokens": tokens.numel(), "arms": []}
    failed = False
    for arm, stabilize, spikes in (("plain", False, False), ("stabilized", True, False),
                                   ("plain, spikes", False, True), ("stabilized, spikes", True, True)):
        if time.monotonic() - begin > arguments.seconds and len(result["arms"]) >= 2:
            print(f"{arm}: left out, the time was up", flush=True)
            continue
        row = train(arm, arguments.steps, spikes, stabilize, tokens)
        result["arms"].append(row)
        good = row["finite"] and row["last_loss"] < row["first_loss"] - 1 and row["place"] == "cuda"
        failed = failed or not good
        print(f"{'ok' if good else 'FAILED'} {arm}: loss {row['first_loss']:.3f} -> {row['last_loss']:.3f}, "
              f"{row['ms_per_step']:.2f} ms per step on {row['place']}", flush=True)
        if arguments.out:
            arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    return 1 if failed or len(result["arms"]) < 2 else 0


if __name__ == "__main__":
    sys.exit(main())
