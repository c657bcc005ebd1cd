"""Golden values of UniAD: the transformer in PyTorch on its own `MultiheadAttention`, from the paper's formulas in the form of the released
code, without dropout and with the noise of the tokens given.

Makes uniad.safetensors at a tiny width: maps of four strides and the tokens they become, noise and the noisy tokens, what comes out, the loss,
the scores of a good pass, and all weights before and after one step of AdamW with a clipped gradient. All in double precision, stored in single.

EPSILON is of the size of the gradients: at PyTorch's own a first step goes by their signs alone, even where they are the noise of rounding.

    python make_uniad.py uniad.safetensors
    python make_uniad.py --published FOLDER

The second line writes the same at the published width to FOLDER/uniad.safetensors.

Made with Python 3.11, torch 2.15.0, numpy 2.4.6, safetensors 0.8.0.
"""

import sys
from dataclasses import dataclass

import numpy as np
import torch
from safetensors.numpy import save_file
from torch import nn
from torch.nn import functional as F

RATE, DECAY, CLIP, ALPHA = 0.01, 1e-4, 0.1, 20.0


@dataclass
class Size:
    channels: tuple
    width: int
    heads: int
    hidden: int
    layers: int
    grid: int
    window: int
    epsilon: float


TINY = Size((2, 2, 4, 4), 16, 2, 24, 2, 5, 3, 1e-3)
PUBLISHED = Size((24, 32, 56, 160), 256, 8, 1024, 4, 14, 7, 1e-4)


def hidden_pairs(grid, window):
    """True for pairs of tokens that must not see each other, walked row by row as the mask is described."""
    pairs = torch.zeros(grid, grid, grid, grid, dtype=torch.bool)
    reach = window // 2
    for i in range(grid):
        for j in range(grid):
            pairs[i, j, max(0, i - reach) : i + reach + 1, max(0, j - reach) : j + reach + 1] = True
    return pairs.reshape(grid * grid, grid * grid)


class Ffn(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.first, self.second = nn.Linear(size.width, size.hidden), nn.Linear(size.hidden, size.width)

    def forward(self, x):
        return self.second(F.relu(self.first(x)))


def attention(size):
    return nn.MultiheadAttention(size.width, size.heads, dropout=0.0, batch_first=True)


class Encoder(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.attention, self.feed_forward = attention(size), Ffn(size)
        self.norms = nn.ModuleList(nn.LayerNorm(size.width) for _ in range(2))

    def forward(self, x, pos, mask):
        y, _ = self.attention(x + pos, x + pos, x, attn_mask=mask)
        x = self.norms[0](x + y)
        return self.norms[1](x + self.feed_forward(x))


class Decoder(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.query = nn.Parameter(torch.randn(size.grid**2, size.width))
        self.memory, self.previous, self.feed_forward = attention(size), attention(size), Ffn(size)
        self.norms = nn.ModuleList(nn.LayerNorm(size.width) for _ in range(3))

    def forward(self, memory, previous, pos, mask):
        t = self.query.expand(len(memory), -1, -1)
        y, _ = self.memory(t + pos, memory + pos, memory, attn_mask=mask)
        a = self.norms[0](t + y)
        y, _ = self.previous(a + pos, previous + pos, previous, attn_mask=mask)
        b = self.norms[1](a + y)
        return self.norms[2](b + self.feed_forward(b))


class UniAD(nn.Module):
    def __init__(self, size):
        super().__init__()
        channels = sum(size.channels)
        self.grid = size.grid
        self.mask = hidden_pairs(size.grid, size.window)
        self.input, self.output = nn.Linear(channels, size.width), nn.Linear(size.width, channels)
        self.column, self.row = (nn.Embedding(size.grid, size.width // 2) for _ in range(2))
        self.encoder = nn.ModuleList(Encoder(size) for _ in range(size.layers))
        self.decoder = nn.ModuleList(Decoder(size) for _ in range(size.layers))
        self.norm = nn.LayerNorm(size.width)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
        for layer in self.decoder:
            nn.init.normal_(layer.query)
        nn.init.uniform_(self.column.weight)
        nn.init.uniform_(self.row.weight)
        # Biases and gains that are not nothing, so that each is seen.
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.uniform_(parameter, -0.1, 0.1)
            elif ".norms." in name or name.startswith("norm."):
                nn.init.uniform_(parameter, 0.8, 1.2)

    def forward(self, tokens):
        i, j = torch.meshgrid(torch.arange(self.grid), torch.arange(self.grid), indexing="ij")
        pos = torch.cat([self.column(j.flatten()), self.row(i.flatten())], 1)
        m = self.input(tokens)
        for layer in self.encoder:
            m = layer(m, pos, self.mask)
        u = m
        for layer in self.decoder:
            u = layer(m, u, pos, self.mask)
        return self.output(self.norm(u))


def stored(model):
    """The weights in the names and shapes of the Rust network: matrices are inputs x outputs."""
    found = {}
    for name, value in model.state_dict().items():
        value = value.detach().clone()
        for old, new in (
            ("in_proj_weight", "weight"), ("in_proj_bias", "bias"), ("out_proj", "output"),
            ("column.", "position.column."), ("row.", "position.row."),
        ):
            name = name.replace(old, new)
        if "norm" in name:
            name = name.replace("weight", "gain").replace("bias", "shift")
        if value.dim() == 2 and "position" not in name and "query" not in name:
            value = value.T
        found[name] = value
    return found


def case(size, batch=2):
    torch.manual_seed(20)
    torch.set_default_dtype(torch.float64)
    model = UniAD(size)
    maps = [
        torch.randn(batch, channels, 8 * size.grid >> at, 8 * size.grid >> at) * (1 + at)
        for at, channels in enumerate(size.channels)
    ]
    single = lambda x: x.float().double()
    maps = [single(x) for x in maps]
    for parameter in model.parameters():
        parameter.data = single(parameter.data)
    found = {f"maps.{at}": value for at, value in enumerate(maps)}
    found |= {f"before.{name}": value for name, value in stored(model).items()}

    neck = [F.interpolate(x, size=(size.grid,) * 2, mode="bilinear", align_corners=True) for x in maps]
    tokens = torch.cat(neck, 1).flatten(2).transpose(1, 2)
    noise = single(torch.randn_like(tokens))
    scale = ALPHA * tokens.norm(dim=2, keepdim=True) / tokens.shape[2]
    noisy = tokens + scale * noise
    found |= {"tokens": tokens, "noise": noise, "noisy": noisy}

    with torch.no_grad():
        made = model(tokens)
        patches = (made - tokens).square().sum(2).sqrt().reshape(batch, 1, size.grid, size.grid)
        side = 16 * size.grid
        map_ = F.interpolate(patches, size=(side, side), mode="bilinear", align_corners=True)
        found |= {
            "made": made,
            "patches": patches,
            "images": F.avg_pool2d(map_, 16, stride=1).amax((1, 2, 3)),
            "means": map_.mean((1, 2, 3)),
        }

    optimiser = torch.optim.AdamW(model.parameters(), lr=RATE, eps=size.epsilon, weight_decay=DECAY)
    made = model(noisy)
    loss = F.mse_loss(made, tokens)
    loss.backward()
    norm = nn.utils.clip_grad_norm_(model.parameters(), CLIP)
    assert norm > CLIP, norm
    optimiser.step()
    found |= {"made.noisy": made, "loss": loss[None], "norm": norm[None]}
    found |= {f"after.{name}": value for name, value in stored(model).items()}
    return found


def main():
    published = sys.argv[1] == "--published"
    path = f"{sys.argv[2]}/uniad.safetensors" if published else sys.argv[1]
    golden = case(PUBLISHED if published else TINY)
    count = sum(value.numel() for name, value in golden.items() if name.startswith("before."))
    print(f"{count} weights, norm of the gradient {golden['norm'].item():.3g}, loss {golden['loss'].item():.6g}")
    save_file({name: np.ascontiguousarray(value.detach().float().numpy()) for name, value in golden.items()}, path)


main()
