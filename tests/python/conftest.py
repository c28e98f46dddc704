"""One thread: what is compared bit for bit is torch's own work as well, and that depends on threads."""

import pathlib
import sys

import torch

sys.path.insert(0, str(pathlib.Path(__file__).parent))
torch.set_num_threads(1)
