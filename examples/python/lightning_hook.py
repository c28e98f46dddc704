"""Lightning with a stabilized optimizer, in place of Trainer(gradient_clip_val=...), and a callback that logs what it
sees. Lightning unscales its gradients, accumulates them, and keeps its statistics in checkpoints."""

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


class LogNorms(lightning.Callback):
    """What the gradients were before they were stabilized."""

    def on_train_batch_end(self, trainer, module, outputs, batch, index) -> None:
        module.log("raw_grad_norm", trainer.optimizers[0].report().raw_global_norm)


class Module(lightning.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.Tanh(), torch.nn.Linear(32, 1))
        self.losses: list[float] = []

    def training_step(self, batch, index):
        x, y = batch
        loss = torch.nn.functional.mse_loss(self.layers(x), y)
        self.losses.append(loss.item())
        return loss

    def configure_optimizers(self):
        return gs.wrap(torch.optim.AdamW(self.parameters(), lr=1e-2), named_parameters=self.named_parameters())


torch.manual_seed(0)
inputs = torch.randn(256, 8)
loader = torch.utils.data.DataLoader(
    torch.utils.data.TensorDataset(inputs, inputs.sum(1, keepdim=True).sin()), batch_size=64, num_workers=0
)
module = Module()
trainer = lightning.Trainer(
    max_epochs=50,
    accelerator="cpu",
    devices=1,
    logger=False,
    enable_checkpointing=False,
    enable_progress_bar=False,
    enable_model_summary=False,
    callbacks=[LogNorms()],
)
trainer.fit(module, loader)
updates = trainer.optimizers[0].report().step
print(f"loss {module.losses[0]:.3f} -> {module.losses[-1]:.3f}  updates {updates}")
