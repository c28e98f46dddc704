"""The optimizer inside backward: each parameter is updated, and its gradient freed, as soon as it is complete."""

import torch

import gradient_stabilizer as gs

torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.Tanh(), torch.nn.Linear(32, 1))
inputs = torch.randn(256, 8)
targets = inputs.sum(1, keepdim=True).sin()

stepper = gs.optimizer_in_backward(model, gs.optim.AdamW, lr=1e-2)
schedule = torch.optim.lr_scheduler.StepLR(stepper.optimizer, step_size=100, gamma=0.5)

for step in range(1, 201):
    loss = torch.nn.functional.mse_loss(model(inputs), targets)
    loss.backward()
    schedule.step()
    if step % 50 == 0:
        left = sum(parameter.grad is not None for parameter in model.parameters())
        print(f"step {step}  loss {loss.item():.4f}  gradients left {left}")
