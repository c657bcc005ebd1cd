"""Training steps per CPU second of Blemish beside PyTorch's, on networks of convolutions: one run, both sides by turns.

    cargo build --release -p blemish-nn --example train_convolutions
    python benches/training/train_speed.py target/release/examples/train_convolutions [--networks draem,vae,mnad] [--threads 1,2] [--steps 5]

The networks are described in `peer.py`. CPU time is that of user and system, all threads, without the first two steps. Memory is the largest
resident memory of the whole process; PyTorch's has some 400 MB of libraries in it.
"""

import argparse
import statistics
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from blemish import Rows, run

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("example")
parser.add_argument("--networks", default="draem,vae,mnad")
parser.add_argument("--threads", default="1,2")
parser.add_argument("--steps", type=int, default=5)
parser.add_argument("--rounds", type=int, default=3, help="runs of each side; the median counts")
args = parser.parse_args()


def ours(network, threads):
    return run(args.example, network, args.steps, RAYON_NUM_THREADS=threads)


def theirs(network, threads):
    words = ["--network", network, "--threads", threads, "--steps", args.steps]
    return run(sys.executable, HERE / "peer.py", *words, OMP_NUM_THREADS=threads)


rows = Rows("training-speed")
print("| network | threads | steps a CPU second | PyTorch | ratio | MB | PyTorch |\n|---|---|---|---|---|---|---|")
for network in args.networks.split(","):
    for threads in args.threads.split(","):
        found = {"": [], "PyTorch": []}
        for _ in range(args.rounds):
            for peer, side in (("", ours), ("PyTorch", theirs)):
                found[peer].append(side(network, threads).lines()[-1])
        median = lambda peer, key: statistics.median(figures[key] for figures in found[peer])
        speed, memory = ([median(peer, key) for peer in found] for key in ("steps_per_cpu_second", "peak_mb"))
        print(f"| {network} | {threads} | {speed[0]:.3f} | {speed[1]:.3f} | {speed[0] / speed[1]:.2f} | {memory[0]:.0f} | {memory[1]:.0f} |", flush=True)
        for index, peer in enumerate(found):
            figure = {"set": "cpu", "method": network, "variant": f"{threads} threads", "peer": peer}
            rows.add(**figure, metric="steps a CPU second", value=f"{speed[index]:.3g}")
            rows.add(**figure, metric="steps a second", value=f"{median(peer, 'steps_per_wall_second'):.3g}")
            rows.add(**figure, metric="largest memory, MB", value=f"{memory[index]:.0f}")
