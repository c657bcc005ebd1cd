"""Training steps per CPU second of UniAD's transformer beside PyTorch's: one run, both sides by turns.

    cargo build --release
    python benches/training/transformer_speed.py target/release/blemish [--presets cpu,paper] [--threads 1] [--steps 6]

The program is run twice with different numbers of steps; the difference is what these steps took, noise of the tokens, dropout, clipping and
AdamW's update included. PyTorch does the same on tokens of the same shape: `MultiheadAttention` with a mask of booleans. Its CPU time is that of
user and system, all threads, without the first two steps. 8 images of 224 pixels a step, the embedded backbone.
"""

import argparse
import json
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("program", nargs="?")
parser.add_argument("--presets", default="cpu,paper")
parser.add_argument("--threads", default="1")
parser.add_argument("--steps", type=int, default=6)
parser.add_argument("--rounds", type=int, default=3, help="runs of each side; the median counts")
parser.add_argument("--peer", help="PyTorch's side alone, with this preset")
args = parser.parse_args()

# Width, heads, hidden features, layers of encoder and decoder.
SIZES = {"cpu": (128, 4, 512, 2), "paper": (256, 8, 1024, 4)}
CHANNELS, SIDE, BATCH, WARM_UP = 208, 14, 8, 2


def peer(preset):
    import torch
    from torch import nn
    from torch.nn import functional as F

    width, heads, hidden, depth = SIZES[preset]
    tokens = SIDE * SIDE
    at = torch.stack(torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")).flatten(1)
    mask = ((at[:, :, None] - at[:, None]).abs() <= 3).all(0)

    class Layer(nn.Module):
        def __init__(self, attentions):
            super().__init__()
            self.attentions = nn.ModuleList(
                nn.MultiheadAttention(width, heads, dropout=0.1, batch_first=True) for _ in range(attentions)
            )
            self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(attentions + 1))
            self.first, self.second, self.drop = nn.Linear(width, hidden), nn.Linear(hidden, width), nn.Dropout(0.1)

        def attend(self, number, x, q, kv, pos):
            attention = self.attentions[number]
            y, _ = attention(q + pos, kv + pos, kv, attn_mask=mask, need_weights=False)
            return self.norms[number](x + self.drop(y))

        def finish(self, x):
            return self.norms[-1](x + self.drop(self.second(self.drop(F.relu(self.first(x))))))

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.input, self.output = nn.Linear(CHANNELS, width), nn.Linear(width, CHANNELS)
            self.column, self.row = nn.Embedding(SIDE, width // 2), nn.Embedding(SIDE, width // 2)
            self.encoder = nn.ModuleList(Layer(1) for _ in range(depth))
            self.decoder = nn.ModuleList(Layer(2) for _ in range(depth))
            self.queries = nn.ParameterList(torch.randn(tokens, width) for _ in range(depth))
            self.norm = nn.LayerNorm(width)

        def forward(self, x):
            pos = torch.cat([self.column(at[1]), self.row(at[0])], 1)
            m = self.input(x)
            for layer in self.encoder:
                m = layer.finish(layer.attend(0, m, m, m, pos))
            u = m
            for layer, query in zip(self.decoder, self.queries):
                t = query.expand(len(x), -1, -1)
                a = layer.attend(0, t, t, m, pos)
                u = layer.finish(layer.attend(1, a, a, u, pos))
            return self.output(self.norm(u))

    torch.set_num_threads(int(args.threads))
    torch.manual_seed(0)
    network, clean = Network(), torch.randn(BATCH, tokens, CHANNELS)
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-4, weight_decay=1e-4)

    def step():
        noisy = clean + 20 / CHANNELS * clean.norm(dim=2, keepdim=True) * torch.randn_like(clean)
        optimiser.zero_grad()
        loss = F.mse_loss(network(noisy), clean)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 0.1)
        optimiser.step()
        return loss.item()

    def cpu():
        used = resource.getrusage(resource.RUSAGE_SELF)
        return used.ru_utime + used.ru_stime

    for _ in range(WARM_UP):
        step()
    wall, used = time.perf_counter(), cpu()
    for _ in range(args.steps):
        step()
    wall, used = time.perf_counter() - wall, cpu() - used
    print(json.dumps({"cpu": args.steps / used, "wall": args.steps / wall}))


if args.peer:
    peer(args.peer)
    sys.exit()

from blemish import Program, Rows, run


def ours(program, preset, threads, folder):
    def fit(steps):
        settings = ["--set", f"preset={preset}", "--set", f"steps={steps}"]
        words = ["fit", folder / "set", "--method", "uniad", "--folds", 0, *settings, "--threads", threads]
        return program.run(*words, "-o", folder / "model.blemish")

    few, many = fit(WARM_UP), fit(WARM_UP + args.steps)
    return {"cpu": args.steps / (many.cpu - few.cpu), "wall": args.steps / (many.wall - few.wall)}


def theirs(preset, threads):
    words = ["--peer", preset, "--threads", threads, "--steps", args.steps]
    return run(sys.executable, __file__, *words, OMP_NUM_THREADS=threads).lines()[-1]


program, rows = Program(args.program), Rows("transformer-speed")
print("| preset | threads | steps a CPU second | PyTorch | ratio | steps a second | PyTorch |\n|---|---|---|---|---|---|---|")
with tempfile.TemporaryDirectory() as folder:
    folder = Path(folder)
    program.synth(folder / "set", "--train", str(BATCH), "--test-good", "1", "--test-per-defect", "1", "--size", "224x224")
    for preset in args.presets.split(","):
        for threads in args.threads.split(","):
            found = {"": [], "PyTorch": []}
            for _ in range(args.rounds):
                found[""].append(ours(program, preset, threads, folder))
                found["PyTorch"].append(theirs(preset, threads))
            median = lambda peer, key: statistics.median(figures[key] for figures in found[peer])
            speed, wall = ([median(peer, key) for peer in found] for key in ("cpu", "wall"))
            print(f"| {preset} | {threads} | {speed[0]:.3f} | {speed[1]:.3f} | {speed[0] / speed[1]:.2f} | {wall[0]:.2f} | {wall[1]:.2f} |", flush=True)
            for index, peer_name in enumerate(found):
                figure = {"set": "cpu", "method": "uniad", "variant": f"{preset}, {threads} threads", "peer": peer_name}
                rows.add(**figure, metric="steps a CPU second", value=f"{speed[index]:.3g}")
                rows.add(**figure, metric="steps a second", value=f"{wall[index]:.3g}")
