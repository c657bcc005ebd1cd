"""Memory while images stream: the peak of a PaDiM fit and of a predict on sets of growing size, which must not grow with them.

    python benches/stream.py BLEMISH COUNT...

Makes a synthetic set of COUNT images of 256x256 for each COUNT, in a temporary folder of about 0.1 MB an image.
"""

import argparse
import tempfile

from blemish import Program, Rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("blemish")
    parser.add_argument("count", nargs="+", type=int)
    args = parser.parse_args()
    rows = Rows("streaming")
    print("| images | fit s | fit peak MB | predict s | predict peak MB |")
    print("|---|---|---|---|---|")
    for count in args.count:
        with tempfile.TemporaryDirectory() as folder:
            blemish = Program(args.blemish, cwd=folder)
            blemish.line(f"data synth set --look metal --train {count} --test-good 1 --test-per-defect 1")
            fit = blemish.line("fit set --method padim -o model.blemish")
            predict = blemish.line("predict model.blemish set/train/good -o scores --pictures none")
            figures = {
                "fit, s": f"{fit.wall:.1f}",
                "fit, peak MB": f"{fit.peak_mb:.0f}",
                "predict, s": f"{predict.wall:.1f}",
                "predict, peak MB": f"{predict.peak_mb:.0f}",
            }
            print(f"| {count} | {' | '.join(figures.values())} |", flush=True)
            for metric, value in figures.items():
                rows.add(set=f"{count} images", method="padim", metric=metric, value=value)


if __name__ == "__main__":
    main()
