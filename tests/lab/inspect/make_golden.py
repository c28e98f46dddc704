#!/usr/bin/env python3
"""Makes the files in data/ that the tests of the readers read, each written by its own tool.

    make_golden.py FOLDER

Needs tensorboard and wandb from PyPI (written with tensorboard 2.21.0 and wandb 0.31.0). All files hold the same run: norms and losses of
`records`, by which the tests know what must be read."""

import csv
import json
import os
import pathlib
import shutil
import sys
import tempfile


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
    write_texts(folder)
    write_events(folder)
    write_wandb(folder)


if __name__ == "__main__":
    main()
