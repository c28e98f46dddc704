#!/usr/bin/env python3
"""Makes the files in data/ that the tests of the readers read, each written by its own tool.

    make_golden.py FOLDER

Needs tensorboard, wandb, torch, lightning, transformers and accelerate from PyPI (written with tensorboard 2.21.0, wandb 0.31.0, torch 2.15.0,
lightning 2.6.6, transformers 5.24.0 and accelerate 1.15.0). Most files hold the same run: norms and losses of `records`, by which the tests
know what must be read. Lightning and the Trainer of transformers train a small model in truth; what they should have logged is written
beside their logs, to expected.csv, by code of our own."""

import csv
import json
import os
import pathlib
import shutil
import sys
import tempfile
import time


def records():
    """(step, norm, loss) of 60 steps: multiples of 1/64, which a float32 holds; a spike, a NaN and an infinity."""
    result = []
    for step in range(1, 61):
        norm = 1 + (step * 37 % 64) / 64
        if step == 41:
            norm = 96.0
        if step == 50:
            norm = float("nan")
        if step == 51:
            norm = float("inf")
        result.append((step, norm, 4 - step / 64))
    return result


def write_events(folder):
    from tensorboard.compat.proto import event_pb2, summary_pb2
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    def write(name, values, arguments=None):
        with tempfile.TemporaryDirectory() as made:
            writer = EventFileWriter(made)
            if arguments is not None:
                writer.add_event(event_pb2.Event(wall_time=0, step=0, summary=text_form("args/text_summary", json.dumps(arguments))))
            for step, norm, loss in records():
                for value in values(norm, loss):
                    writer.add_event(event_pb2.Event(wall_time=step, step=step, summary=value))
            writer.close()
            (written,) = pathlib.Path(made).iterdir()
            shutil.copy(written, folder / name)

    def simple(norm, loss):
        for tag, value in (("train/grad_norm", norm), ("train/loss", loss), ("train/learning_rate", 0.5)):
            yield summary_pb2.Summary(value=[summary_pb2.Summary.Value(tag=tag, simple_value=value)])

    write("events.out.tfevents.simple", simple)
    # The form of TensorFlow 2: a tensor.
    write("events.out.tfevents.tensor.v2", lambda norm, loss: (tensor_form("grad_norm", norm), tensor_form("loss", loss)),
          {"max_grad_norm": 1.0, "adam_beta2": 0.95, "optim": "adamw_torch", "logging_steps": 1})


def write_restarted(folder):
    """By torch: a run that was stopped after step 44 and went on from step 30. What it had done since is void."""
    from torch.utils.tensorboard import SummaryWriter

    with tempfile.TemporaryDirectory() as made:
        for purge_step, first, last, factor in ((None, 1, 44, 2.0), (30, 30, 60, 1.0)):
            writer = SummaryWriter(made, purge_step=purge_step, filename_suffix=f".{first}")
            for step, norm, loss in records()[first - 1:last]:
                wrong = factor if step >= 30 else 1.0
                writer.add_scalar("train/grad_norm", wrong * norm, step)
                writer.add_scalar("train/loss", wrong * loss, step)
            writer.close()
        written = sorted(pathlib.Path(made).iterdir(), key=lambda path: int(path.suffix[1:]))
        (folder / "restarted").mkdir(exist_ok=True)
        for number, path in enumerate(written, 1):
            shutil.copy(path, folder / "restarted" / f"events.out.tfevents.{number}.torch")


def small_model():
    import torch

    torch.manual_seed(1)
    return torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1))


def small_batch(index):
    """Inputs and targets of a step; those of one are large, so that its gradient is a spike."""
    import torch

    generator = torch.Generator().manual_seed(index)
    inputs = torch.randn(8, 4, generator=generator)
    targets = inputs.sum(dim=1, keepdim=True) * (300.0 if index == 41 else 1.0)
    return inputs, targets


def norm_of_gradients(model):
    return sum(float(p.grad.detach().double().square().sum()) for p in model.parameters()) ** 0.5


def write_expected(folder, rows):
    with open(folder / "expected.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("step", "norm", "loss"))
        writer.writerows(rows)


def write_lightning(folder):
    """metrics.csv of its CSVLogger, with the norms of all parameters."""
    import lightning
    import torch
    from lightning.pytorch.loggers import CSVLogger
    from lightning.pytorch.utilities import grad_norm

    rows = []

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.model = small_model()

        def training_step(self, batch, index):
            inputs, targets = small_batch(self.global_step + 1)
            loss = (self.model(inputs) - targets).square().mean()
            self.log("train_loss", loss)
            self.loss = float(loss.detach())
            return loss

        def validation_step(self, batch, index):
            self.log("val_loss", 9.0)

        def on_before_optimizer_step(self, optimizer):
            self.log_dict(grad_norm(self, norm_type=2))
            rows.append((self.global_step, norm_of_gradients(self), self.loss))

        def configure_optimizers(self):
            return torch.optim.AdamW(self.parameters(), lr=0.01)

    with tempfile.TemporaryDirectory() as made:
        batches = torch.utils.data.DataLoader(torch.zeros(20, 1), batch_size=1)
        trainer = lightning.Trainer(max_epochs=3, logger=CSVLogger(made, name="logs"), log_every_n_steps=1, accelerator="cpu",
                                    enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
                                    gradient_clip_val=1.0)
        trainer.fit(Module(), batches, torch.utils.data.DataLoader(torch.zeros(1, 1)))
        (folder / "lightning").mkdir(exist_ok=True)
        shutil.copy(pathlib.Path(made) / "logs" / "version_0" / "metrics.csv", folder / "lightning")
    write_expected(folder / "lightning", rows)


def write_transformers(folder):
    """trainer_state.json and event file of its Trainer, which clips at 1 and logs the norms before that."""
    import torch
    from transformers import Trainer, TrainerCallback, TrainingArguments

    rows = []

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = small_model()

        def forward(self, inputs, targets):
            return {"loss": (self.model(inputs) - targets).square().mean()}

    class Data(torch.utils.data.Dataset):
        def __len__(self):
            return 60 * 8

        def __getitem__(self, index):
            inputs, targets = small_batch(index // 8 + 1)
            return {"inputs": inputs[index % 8], "targets": targets[index % 8]}

    class InOrder(Trainer):
        def _get_train_sampler(self, *_):
            return torch.utils.data.SequentialSampler(self.train_dataset)

        def training_step(self, model, inputs, *others):
            self.loss_of_step = float(super().training_step(model, inputs, *others))
            self.norm_of_step = norm_of_gradients(model)
            return torch.tensor(self.loss_of_step)

    class Expect(TrainerCallback):
        def on_step_end(self, arguments, state, control, **others):
            rows.append((state.global_step, trainer.norm_of_step, trainer.loss_of_step))

    with tempfile.TemporaryDirectory() as made:
        os.environ["TENSORBOARD_LOGGING_DIR"] = made + "/events"
        arguments = TrainingArguments(output_dir=made, max_steps=60, per_device_train_batch_size=8, logging_steps=1, use_cpu=True,
                                      report_to=["tensorboard"], save_strategy="no", disable_tqdm=True,
                                      learning_rate=0.01, max_grad_norm=1.0, adam_beta2=0.95,
                                      dataloader_drop_last=True, remove_unused_columns=False)
        trainer = InOrder(Model(), arguments, train_dataset=Data(), callbacks=[Expect()])
        trainer.train()
        target = folder / "transformers"
        target.mkdir(exist_ok=True)
        trainer.state.save_to_json(str(target / "trainer_state.json"))
        (events,) = pathlib.Path(made, "events").rglob("*tfevents*")
        shutil.copy(events, target / "events.out.tfevents.trainer")
    write_expected(target, rows)


def tensor_form(tag, value):
    from tensorboard.compat.proto import summary_pb2, tensor_pb2, types_pb2

    tensor = tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, float_val=[value])
    metadata = summary_pb2.SummaryMetadata(plugin_data=summary_pb2.SummaryMetadata.PluginData(plugin_name="scalars"))
    return summary_pb2.Summary(value=[summary_pb2.Summary.Value(tag=tag, tensor=tensor, metadata=metadata)])


def text_form(tag, value):
    from tensorboard.compat.proto import summary_pb2, tensor_pb2, types_pb2

    tensor = tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING, string_val=[value.encode()],
                                    tensor_shape={"dim": [{"size": 1}]})
    metadata = summary_pb2.SummaryMetadata(plugin_data=summary_pb2.SummaryMetadata.PluginData(plugin_name="text"))
    return summary_pb2.Summary(value=[summary_pb2.Summary.Value(tag=tag, tensor=tensor, metadata=metadata)])


def write_wandb(folder):
    import wandb

    with tempfile.TemporaryDirectory() as made:
        os.environ.update(WANDB_MODE="offline", WANDB_DIR=made, WANDB_SILENT="true", WANDB_CONSOLE="off")
        settings = wandb.Settings(x_disable_stats=True, x_disable_meta=True, x_disable_machine_info=True, disable_git=True, disable_code=True,
                                  console="off", host="host", username="user", program="train.py", root_dir=made)
        run = wandb.init(project="p", dir=made, settings=settings)
        for step, norm, loss in records():
            run.log({"train/grad_norm": norm, "train/loss": loss, "train/global_step": 10 * step})
        run.finish()
        (written,) = pathlib.Path(made).glob("wandb/offline-run-*/run-*.wandb")
        # Another process writes the file, and may still be at it.
        sizes = [-1, 0]
        while sizes[-1] <= 7 or sizes[-1] != sizes[-2]:
            time.sleep(0.2)
            sizes.append(written.stat().st_size)
        shutil.copy(written, folder / "run.wandb")


def write_texts(folder):
    state = {"best_metric": None, "epoch": 1.0, "global_step": 60, "logging_steps": 1,
             "log_history": [{"epoch": step / 60, "grad_norm": norm, "learning_rate": 1e-05, "loss": loss, "step": step}
                             for step, norm, loss in records()] + [{"eval_loss": 9.0, "step": 60}]}
    (folder / "trainer_state.json").write_text(json.dumps(state, indent=2, sort_keys=True) + "\n")
    with open(folder / "metrics.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, sorted(("epoch", "grad_norm", "step", "train_loss", "val_loss")))
        writer.writeheader()
        for step, norm, loss in records():
            writer.writerow({"step": step, "grad_norm": norm})
            writer.writerow({"step": step, "train_loss": loss})
        writer.writerow({"step": 60, "val_loss": 9.0})


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for write in (write_texts, write_events, write_restarted, write_wandb, write_lightning, write_transformers):
        write(folder)


if __name__ == "__main__":
    main()
