"""A method of your own: AutoClip (Seetharaman et al. 2020, arXiv 2007.14469) clips the gradients of a model to a
percentile of the norms that they have had so far. Here it stands in a chain, in front of a fused optimizer."""

import torch

import gradient_stabilizer as gs


class PercentileClip(gs.NormMethod):
    name = "percentile_clip"
    granularity = "model"

    def __init__(self, percentile=10.0):
        self.percentile = percentile
        self.norms = []

    def decide(self, units):
        self.norms += units.norms.tolist()
        limit = torch.quantile(torch.tensor(self.norms, dtype=torch.float64), self.percentile / 100)
        return (limit / (units.norms + 1e-6)).clamp(max=1)

    def settings(self):
        return {"percentile": self.percentile}

    def save(self):
        return {"norms": self.norms}

    def load(self, values, version):
        self.norms = values["norms"].tolist()


def main():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.Tanh(), torch.nn.Linear(32, 1))
    inputs = torch.randn(256, 8)
    targets = inputs.sum(1, keepdim=True).sin()
    method = gs.chain(gs.stabilize(), PercentileClip(50))
    optimizer = gs.optim.AdamW(model.named_parameters(), lr=1e-2, transform=method)
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


if __name__ == "__main__":
    main()
