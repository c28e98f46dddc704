"""A plain training loop: the line that makes the optimizer is the one that changes."""

import torch

import gradient_stabilizer as gs

torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.Tanh(), torch.nn.Linear(32, 1))
inputs = torch.randn(256, 8)
targets = inputs.sum(1, keepdim=True).sin()

optimizer = gs.wrap(torch.optim.AdamW(model.parameters(), lr=1e-2), named_parameters=model.named_parameters())
schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=100, gamma=0.5)

for step in range(1, 201):
    optimizer.zero_grad()
    loss = torch.nn.functional.mse_loss(model(inputs), targets)
    loss.backward()
    optimizer.step()
    schedule.step()
    if step % 50 == 0:
        report = optimizer.report()
        print(f"step {step}  loss {loss.item():.4f}  gradient norm {report.raw_global_norm:.3f} -> {report.global_norm:.3f}")
