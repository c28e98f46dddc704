"""Hugging Face's Trainer with a stabilized optimizer. The Trainer saves and loads its state, unscales its gradients under
fp16, and steps it after gradients have been accumulated, as it does with any other."""

import sys
import tempfile

import torch

import gradient_stabilizer as gs

try:
    from transformers import Trainer, TrainingArguments
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(0)


class StabilizedTrainer(Trainer):
    """Stabilizes the optimizer that the arguments ask for, in place of clipping: pass max_grad_norm=0."""

    stabilized = None

    def create_optimizer(self, *arguments):
        super().create_optimizer(*arguments)
        if self.stabilized is None:
            self.stabilized = gs.wrap(self.optimizer, named_parameters=self.model.named_parameters())
            self.optimizer = self.stabilized
        return self.optimizer

    def log(self, logs, *arguments):
        if self.stabilized is not None:
            logs["raw_grad_norm"] = self.stabilized.report().raw_global_norm
        super().log(logs, *arguments)


class Model(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.Tanh(), torch.nn.Linear(32, 1))

    def forward(self, inputs, labels):
        outputs = self.layers(inputs)
        return {"loss": torch.nn.functional.mse_loss(outputs, labels), "logits": outputs}


def train(folder, **settings):
    """400 updates with a checkpoint after 200, or what is left of them."""
    torch.manual_seed(0)
    inputs = torch.randn(256, 8)
    data = [{"inputs": x, "labels": x.sum().sin().reshape(1)} for x in inputs]
    arguments = TrainingArguments(
        output_dir=folder,
        max_steps=400,
        per_device_train_batch_size=32,
        learning_rate=1e-2,
        lr_scheduler_type="constant",
        max_grad_norm=0.0,
        logging_steps=50,
        report_to=[],
        save_steps=200,
        use_cpu=True,
        disable_tqdm=True,
    )
    trainer = StabilizedTrainer(model=Model(), args=arguments, train_dataset=data)
    trainer.train(**settings)
    return trainer


with tempfile.TemporaryDirectory() as folder:
    trainer = train(folder)
    resumed = train(folder, resume_from_checkpoint=f"{folder}/checkpoint-200")
first, *_, last = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
same = all(map(torch.equal, trainer.model.parameters(), resumed.model.parameters()))
print(f"resumed at update 200: {'the same model' if same else 'ANOTHER MODEL'}")
print(f"loss {float(first):.3f} -> {float(last):.3f}  updates {trainer.stabilized.report().step}")
