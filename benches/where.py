"""Whether images are separated by the dark part in them or by the bright background behind it, as for MVTec's screws.

    blemish predict MODEL screw/test -o OUT --pictures map
    python benches/where.py OUT [--grey 140]

Image AUROC of the mean and the largest value of the map on the part (grey below --grey, and 3 pixels around) and beside it. A model that
finds defects does so on the part; one that is right about the images but not there has learned something else. Needs NumPy, SciPy, scikit-learn, Pillow and tifffile.
"""

import argparse
from pathlib import Path

from blemish import Rows, json_lines


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--grey", type=int, default=140)
    args = parser.parse_args()

    import numpy as np
    import tifffile
    from PIL import Image
    from scipy.ndimage import binary_dilation
    from sklearn.metrics import roc_auc_score

    is_bad, columns = [], []
    for found in json_lines((args.out / "scores.jsonl").read_text()):
        values = tifffile.imread(found["map"])
        image = Image.open(found["path"]).convert("L").resize(values.shape[::-1])
        part = binary_dilation(np.asarray(image) < args.grey, iterations=3)
        columns.append([values[part].mean(), values[part].max(), values[~part].mean(), values[~part].max()])
        is_bad.append(Path(found["path"]).parent.name != "good")
    names = ["part, mean", "part, largest", "background, mean", "background, largest"]
    rows = Rows("where")
    for name, column in zip(names, np.array(columns).T):
        value = f"{100 * roc_auc_score(is_bad, column):5.1f}"
        print(f"{name:20} {value}")
        rows.add(set=args.out.name, variant=name, metric="image AUROC, %", value=value.strip(), seeds=1)


if __name__ == "__main__":
    main()
