"""Mixed precision with loss scaling: GradScaler unscales, then the wrapped optimizer stabilizes and steps. A step whose
gradients overflowed is skipped, and does not enter the statistics."""

import torch

import gradient_stabilizer as gs

torch.manual_seed(0)
device = "cpu"  # or "cuda"
model = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.Tanh(), torch.nn.Linear(32, 1)).to(device)
inputs = torch.randn(256, 8, device=device)
targets = inputs.sum(1, keepdim=True).sin()

optimizer = gs.wrap(torch.optim.AdamW(model.parameters(), lr=1e-2))
# torch 1.13 has GradScaler only for CUDA; a disabled one passes everything through.
if hasattr(torch, "amp") and hasattr(torch.amp, "GradScaler"):
    scaler = torch.amp.GradScaler(device)
else:
    scaler = torch.cuda.amp.GradScaler(enabled=device == "cuda")

for step in range(1, 201):
    optimizer.zero_grad()
    with torch.autocast(device, dtype=torch.bfloat16 if device == "cpu" else torch.float16):
        loss = torch.nn.functional.mse_loss(model(inputs).float(), targets)
    scaler.scale(loss).backward()
    if step == 20:
        next(model.parameters()).grad[0, 0] = float("inf")  # an overflow
    scaler.step(optimizer)
    scaler.update()
    if step % 50 == 0:
        seen = int(optimizer.statistics()["0.stabilize.k"][1])
        print(f"step {step}  loss {loss.item():.4f}  norms seen {seen}")
