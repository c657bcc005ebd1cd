"""Small PyTorch files for the tests of the weight readers.

usage: python make_weight_files.py DIR   (needs torch)
Every file holds the same tensors: a = 0..11 as 3x4, b = a transposed (not contiguous), c = a's second row (shared storage, offset).
"""

import sys

import torch

folder = sys.argv[1]
a = torch.arange(12, dtype=torch.float32).reshape(3, 4)
state = {"a": a, "b": a.T, "c": a[1], "steps": torch.tensor(7)}
torch.save(state, f"{folder}/zip.pth")
torch.save(state, f"{folder}/legacy.pth", _use_new_zipfile_serialization=False)
torch.save({name: value.half() if value.is_floating_point() else value for name, value in state.items()}, f"{folder}/half.pth")
torch.save({"epoch": 3, "lr": 0.1, "state_dict": {name: torch.nn.Parameter(value, requires_grad=False) for name, value in state.items()}},
           f"{folder}/nested.pth")
