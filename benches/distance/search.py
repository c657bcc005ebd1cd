"""Exact nearest neighbours: ours beside faiss-cpu's flat index and a plain matrix product, one thread, by turns.

    python benches/distance/search.py [--million]

Needs numpy and faiss-cpu, and `cargo build --release -p blemish-kernels --example search` first. Rates count 2 x queries x rows x
dimensions operations, whether they are done or saved; peak is the faster of two plain products of about that size, numpy's and that of
the `gemm` crate. Both sides search the same numbers and must find the same nearest row wherever the distances tell them apart.
`--million` also searches a bank of 1,000,000 x 384 and tells how much memory that took. Medians of three turns.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from blemish import Rows, run

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--million", action="store_true")
args = parser.parse_args()
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = os.environ["RAYON_NUM_THREADS"] = "1"

import faiss
import numpy

EXAMPLE = Path(__file__).resolve().parents[2] / "target/release/examples/search"
CASES = [("random", 20_000, 384, 4096), ("structured", 20_000, 384, 4096), ("random", 6_144, 1024, 1024), ("random", 20_000, 64, 4096)]
TURNS = 3


def ours(*words):
    return run(EXAMPLE, *words).json()


def numpy_rate(dimensions):
    a = numpy.random.default_rng(0).random((1024, dimensions), numpy.float32)
    b = numpy.random.default_rng(1).random((4096, dimensions), numpy.float32)
    times = []
    for _ in range(5):
        started = time.perf_counter()
        a @ b.T
        times.append(time.perf_counter() - started)
    return 2 * 1024 * 4096 * dimensions / min(times)


def main():
    rows_of = Rows("exact-search")
    print("| bank | queries | ours ms | faiss ms | times | ours GFLOP/s | peak | share of peak |\n|---|---|---|---|---|---|---|---|")
    for kind, rows, dimensions, count in CASES:
        with tempfile.TemporaryDirectory() as folder:
            mine, theirs, peaks = [], [], []
            ours(kind, rows, dimensions, count, 1, folder)
            read = lambda name, kind: numpy.fromfile(os.path.join(folder, name), kind)
            bank, queries = read("rows.f32", numpy.float32).reshape(-1, dimensions), read("queries.f32", numpy.float32).reshape(-1, dimensions)
            index = faiss.IndexFlatL2(dimensions)
            index.add(bank)
            for _ in range(TURNS):
                turn = ours(kind, rows, dimensions, count, 1)
                mine.append(turn["seconds"])
                started = time.perf_counter()
                distances, found = index.search(queries, 1)
                theirs.append(time.perf_counter() - started)
                peaks.append(max(turn["product"], numpy_rate(dimensions)))
            differ = found[:, 0] != read("found.u32", numpy.uint32)
            exact = lambda rows: ((queries[differ].astype(float) - bank[rows].astype(float)) ** 2).sum(1)
            assert (exact(read("found.u32", numpy.uint32)[differ]) <= exact(found[differ, 0])).all()
        seconds, other, peak = map(statistics.median, (mine, theirs, peaks))
        rate = 2 * rows * dimensions * count / seconds
        print(
            f"| {kind} {rows:,} x {dimensions} | {count:,} | {1000 * seconds:.0f} | {1000 * other:.0f} | {other / seconds:.2f} "
            f"| {rate / 1e9:.0f} | {peak / 1e9:.0f} | {rate / peak:.0%} |",
            flush=True,
        )
        figure = {"set": f"{kind} {rows:,} x {dimensions}", "method": "exact search", "variant": f"{count:,} queries", "note": f"median of {TURNS}"}
        rows_of.add(**figure, metric="time, ms", value=f"{1000 * seconds:.0f}")
        rows_of.add(**figure, metric="time, ms", value=f"{1000 * other:.0f}", peer="faiss")
        rows_of.add(**figure, metric="time, ms", value=f"{other / seconds:.2f}", peer="faiss / Blemish")
        rows_of.add(**figure, metric="rate, GFLOP/s", value=f"{rate / 1e9:.0f}")
        rows_of.add(**figure, metric="rate, GFLOP/s", value=f"{peak / 1e9:.0f}", peer="plain product")
        rows_of.add(**figure, metric="share of the plain product's rate, %", value=f"{100 * rate / peak:.0f}")
    if args.million:
        turn = ours("random", 1_000_000, 384, 1024, 1)
        rate = 2 * 1_000_000 * 384 * 1024 / turn["seconds"]
        print(
            f"1,000,000 x 384: built in {turn['build']:.0f} s, 1,024 queries in {turn['seconds']:.1f} s ({rate / 1e9:.0f} GFLOP/s), "
            f"{turn['peak_bytes'] / 1e9:.1f} GB at most"
        )


if __name__ == "__main__":
    main()
