"""What the golden scripts share: seeded weights and files of weights, inputs and outputs."""

import torch
from safetensors.torch import save_file


def seed(model, number):
    """Fills every parameter from a seed, in the order of names: matrices keep the size of values, norms stay near one.

    Values are those that half precision has, so that files are half as large.
    """
    generator = torch.Generator().manual_seed(number)
    norms = ("norm", "Norm", "input_proj_vision.0.1", "input_proj_vision.1.1", "input_proj_vision.2.1", "input_proj_vision.3.1")
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            values = torch.randn(parameter.shape, generator=generator)
            if name.endswith("weight") and any(norm in name for norm in norms) and parameter.dim() == 1:
                values = 1 + 0.2 * values
            elif parameter.dim() > 1 and "embed" not in name.rsplit(".", 1)[0].rsplit(".", 1)[-1]:
                values = values / (parameter[0].numel() ** 0.5)
            else:
                values = 0.3 * values
            parameter.copy_(values.half().float())
    return model.eval()


def write(path, weights, tensors):
    """Weights in half precision under `weights.`, everything else in single precision."""
    weights = {f"weights.{name}": value.half().contiguous() for name, value in weights.items()}
    tensors = {name: value.float().contiguous() for name, value in tensors.items()}
    save_file({**weights, **tensors}, path)
