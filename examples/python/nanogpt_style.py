"""A loop in the manner of small GPT trainers: weight decay by group, warm-up and cosine, accumulation, checkpoints, and
a stabilizer where such loops clip the gradient norm. Learns to continue a text of letters that repeat."""

import copy
import math

import torch
from torch import nn
from torch.nn import functional as F

import gradient_stabilizer as gs

torch.manual_seed(0)
text = ("the quick brown fox jumps over the lazy dog. " * 40).encode()
data = torch.tensor(list(text))
vocabulary, context, width = 128, 16, 32


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, 4, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x):
        mask = torch.full((x.shape[1], x.shape[1]), -math.inf).triu(1)
        y = self.norm1(x)
        x = x + self.attention(y, y, y, attn_mask=mask, need_weights=False)[0]
        return x + self.mlp(self.norm2(x))


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocabulary, width), nn.Embedding(context, width)
        self.blocks = nn.Sequential(Block(), Block())
        self.head = nn.Linear(width, vocabulary, bias=False)
        self.head.weight = self.tokens.weight  # tied: one parameter, one norm

    def forward(self, tokens):
        return self.head(self.blocks(self.tokens(tokens) + self.positions.weight[: tokens.shape[1]]))


def batch():
    starts = torch.randint(len(data) - context - 1, (16,))
    return torch.stack([data[i : i + context] for i in starts]), torch.stack([data[i + 1 : i + context + 1] for i in starts])


model = Model()
matrices = [(name, p) for name, p in model.named_parameters() if p.dim() >= 2]
others = [(name, p) for name, p in model.named_parameters() if p.dim() < 2]
groups = [{"params": [p for _, p in matrices], "weight_decay": 0.1}, {"params": [p for _, p in others], "weight_decay": 0.0}]
optimizer = torch.optim.AdamW(groups, lr=1e-2, betas=(0.9, 0.95))
stabilizer = gs.GradientStabilizer(model.named_parameters())
warmup, steps, micro_steps = 10, 60, 2

for step in range(1, steps + 1):
    rate = 1e-2 * (step / warmup if step <= warmup else 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup))))
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad(set_to_none=True)
    for _ in range(micro_steps):
        tokens, following = batch()
        loss = F.cross_entropy(model(tokens).flatten(0, 1), following.flatten())
        (loss / micro_steps).backward()
    stabilizer.step()  # instead of torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    if step % 20 == 0:
        checkpoint = copy.deepcopy(
            {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "stabilizer": stabilizer.state_dict()}
        )
        print(f"step {step}  loss {loss.item():.3f}  gradient norm {stabilizer.report().raw_global_norm:.3f}")

stabilizer.load_state_dict(checkpoint["stabilizer"])
print(f"resumed at update {int(stabilizer.statistics()['0.stabilize.k'].max())}")
