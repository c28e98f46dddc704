"""Hugging Face's Trainer: a callback that stabilizes after the Trainer's own clipping is switched off."""

import sys
import tempfile

import torch

import gradient_stabilizer as gs

try:
    from transformers import Trainer, TrainerCallback, TrainingArguments
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(0)


class StabilizeGradients(TrainerCallback):
    """Stabilizes between backward and the optimizer's step. Pass max_grad_norm=0 to the Trainer."""

    def __init__(self, model: torch.nn.Module, **settings) -> None:
        self.stabilizer = gs.GradientStabilizer(model.named_parameters(), **settings)

    def on_pre_optimizer_step(self, args, state, control, **kwargs) -> None:
        self.stabilizer.step()

    def on_log(self, args, state, control, logs=None, **kwargs) -> None:
        if logs is not None:
            logs["raw_grad_norm"] = self.stabilizer.report().raw_global_norm


class Model(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.Tanh(), torch.nn.Linear(32, 1))

    def forward(self, inputs, labels):
        outputs = self.layers(inputs)
        return {"loss": torch.nn.functional.mse_loss(outputs, labels), "logits": outputs}


torch.manual_seed(0)
inputs = torch.randn(256, 8)
data = [{"inputs": x, "labels": x.sum().sin().reshape(1)} for x in inputs]
model = Model()
callback = StabilizeGradients(model)
with tempfile.TemporaryDirectory() as folder:
    arguments = TrainingArguments(
        output_dir=folder,
        max_steps=400,
        per_device_train_batch_size=32,
        learning_rate=1e-2,
        lr_scheduler_type="constant",
        max_grad_norm=0.0,
        logging_steps=50,
        report_to=[],
        save_strategy="no",
        use_cpu=True,
        disable_tqdm=True,
    )
    trainer = Trainer(model=model, args=arguments, train_dataset=data, callbacks=[callback])
    trainer.train()
first, *_, last = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
print(f"loss {float(first):.3f} -> {float(last):.3f}  updates {callback.stabilizer.report().step}")
