"""A compiled model (torch 2 and later): the optimizer stays outside of what is compiled."""

import sys

import torch

import gradient_stabilizer as gs

if not hasattr(torch, "compile"):
    print(f"skipped: torch {torch.__version__} has no torch.compile")
    sys.exit(0)

torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.Tanh(), torch.nn.Linear(32, 1))
# "aot_eager" traces forward and backward and needs no compiler; leave it out for speed.
compiled = torch.compile(model, backend="aot_eager")
inputs = torch.randn(256, 8)
targets = inputs.sum(1, keepdim=True).sin()

optimizer = gs.wrap(torch.optim.AdamW(model.parameters(), lr=1e-2), named_parameters=model.named_parameters())
for step in range(1, 201):
    optimizer.zero_grad()
    loss = torch.nn.functional.mse_loss(compiled(inputs), targets)
    loss.backward()
    optimizer.step()
    if step % 50 == 0:
        print(f"step {step}  loss {loss.item():.4f}  gradient norm {optimizer.report().global_norm:.3f}")
