"""Parameters sharded over processes by fully_shard (torch 2.7 and later); the optimizer is made as usual.

    torchrun --nproc-per-node 2 examples/python/fully_sharded.py
"""

import os
import sys

import torch
import torch.distributed as dist

import gradient_stabilizer as gs

# Without a GPU, fully_shard needs CPU streams that have events.
if not hasattr(torch, "compile") or not hasattr(torch.cpu.Stream, "record_event"):
    print(f"skipped: torch {torch.__version__} cannot shard on the CPU")
    sys.exit(0)

from torch.distributed import checkpoint  # noqa: E402
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict  # noqa: E402
from torch.distributed.device_mesh import init_device_mesh  # noqa: E402
from torch.distributed.fsdp import fully_shard  # noqa: E402

alone = "RANK" not in os.environ  # not started by torchrun
dist.init_process_group("gloo", **({"store": dist.HashStore(), "rank": 0, "world_size": 1} if alone else {}))
rank, world = dist.get_rank(), dist.get_world_size()

torch.manual_seed(0)


def build():
    model = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.Tanh(), torch.nn.Linear(32, 1))
    fully_shard(model, mesh=init_device_mesh("cpu", (world,)))
    # The norms that decide are those of whole tensors, summed over the processes once per step.
    return model, gs.optim.AdamW(model.named_parameters(), lr=1e-2)


def train_step(model, optimizer):
    optimizer.zero_grad()
    loss = torch.nn.functional.mse_loss(model(inputs), targets)
    loss.backward()
    optimizer.step()
    return loss.item()


model, optimizer = build()
inputs = torch.randn(256, 8).chunk(world)[rank]
targets = inputs.sum(1, keepdim=True).sin()

for step in range(1, 201):
    loss = train_step(model, optimizer)
    if step % 50 == 0 and rank == 0:
        print(f"step {step}  loss {loss:.4f}  gradient norm {optimizer.report().global_norm:.3f}")

# For any number of processes: moments in DTensors, and the statistics of the transform.
optimizer.zero_grad()
weights, moments = get_state_dict(model, optimizer)
checkpoint.save({"model": weights, "optimizer": moments}, checkpoint_id="checkpoint")

resumed, its_optimizer = build()
weights, moments = get_state_dict(resumed, its_optimizer)
state = {"model": weights, "optimizer": moments}
checkpoint.load(state, checkpoint_id="checkpoint")
set_state_dict(resumed, its_optimizer, model_state_dict=state["model"], optim_state_dict=state["optimizer"])
losses = [[train_step(*run) for _ in range(3)] for run in ((model, optimizer), (resumed, its_optimizer))]
if losses[0] == losses[1]:
    print("resumed: the next losses are the same")
dist.destroy_process_group()
