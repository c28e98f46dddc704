"""Gradient accumulation: the sum over the micro-steps is stabilized, once per step."""

import torch

import gradient_stabilizer as gs

torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.Tanh(), torch.nn.Linear(32, 1))
inputs = torch.randn(256, 8)
targets = inputs.sum(1, keepdim=True).sin()

optimizer = gs.optim.AdamW(model.named_parameters(), lr=1e-2)  # stabilizes within its update
micro_steps = 4

for step in range(1, 201):
    optimizer.zero_grad()
    total = 0.0
    for x, y in zip(inputs.chunk(micro_steps), targets.chunk(micro_steps)):
        loss = torch.nn.functional.mse_loss(model(x), y) / micro_steps
        loss.backward()
        total += loss.item()
    optimizer.step()
    if step % 50 == 0:
        print(f"step {step}  loss {total:.4f}  updates {optimizer.report().step}")
