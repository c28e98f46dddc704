"""Lightning: a callback that stabilizes after gradients are unscaled and before the optimizer steps."""

import logging
import sys

import torch

import gradient_stabilizer as gs

try:
    import lightning
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(0)

logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)


class StabilizeGradients(lightning.Callback):
    """Takes the place of Trainer(gradient_clip_val=...). Its state goes into the Trainer's checkpoints."""

    def __init__(self, **settings) -> None:
        self.settings = settings
        self.stabilizer = None
        self.loaded = None

    def on_fit_start(self, trainer, module) -> None:
        self.stabilizer = gs.GradientStabilizer(module.named_parameters(), **self.settings)
        if self.loaded is not None:
            self.stabilizer.load_state_dict(self.loaded)

    def on_before_optimizer_step(self, trainer, module, optimizer) -> None:
        self.stabilizer.step()
        module.log("raw_grad_norm", self.stabilizer.report().raw_global_norm)

    def state_dict(self):
        return self.stabilizer.state_dict()

    def load_state_dict(self, state_dict) -> None:
        self.loaded = state_dict


class Module(lightning.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.Tanh(), torch.nn.Linear(32, 1))
        self.losses = []

    def training_step(self, batch, index):
        x, y = batch
        loss = torch.nn.functional.mse_loss(self.layers(x), y)
        self.losses.append(loss.item())
        return loss

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=1e-2)


torch.manual_seed(0)
inputs = torch.randn(256, 8)
loader = torch.utils.data.DataLoader(
    torch.utils.data.TensorDataset(inputs, inputs.sum(1, keepdim=True).sin()), batch_size=64, num_workers=0
)
module, callback = Module(), StabilizeGradients()
trainer = lightning.Trainer(
    max_epochs=50,
    accelerator="cpu",
    devices=1,
    logger=False,
    enable_checkpointing=False,
    enable_progress_bar=False,
    enable_model_summary=False,
    callbacks=[callback],
)
trainer.fit(module, loader)
print(f"loss {module.losses[0]:.3f} -> {module.losses[-1]:.3f}  updates {callback.stabilizer.report().step}")
