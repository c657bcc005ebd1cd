"""Whether images are told apart by the dark part in them or by the bright background behind it, as for MVTec's screws.

    blemish predict MODEL screw/test -o OUT --pictures map
    python benches/where.py OUT [--grey 140]

Image AUROC of the mean and the largest value of the map on the part (grey below --grey, and 3 pixels around) and beside it. A model that
finds defects does so on the part; one that is right about the images but not there has learned something else. Needs NumPy, SciPy, scikit-learn, Pillow and tifffile.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image
from scipy.ndimage import binary_dilation
from sklearn.metrics import roc_auc_score


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--grey", type=int, default=140)
    told = parser.parse_args()
    is_bad, rows = [], []
    for line in (told.out / "scores.jsonl").read_text().splitlines():
        found = json.loads(line)
        values = tifffile.imread(found["map"])
        image = Image.open(found["path"]).convert("L").resize(values.shape[::-1])
        part = binary_dilation(np.asarray(image) < told.grey, iterations=3)
        rows.append([values[part].mean(), values[part].max(), values[~part].mean(), values[~part].max()])
        is_bad.append(Path(found["path"]).parent.name != "good")
    names = ["part, mean", "part, largest", "background, mean", "background, largest"]
    for name, column in zip(names, np.array(rows).T):
        print(f"{name:20} {100 * roc_auc_score(is_bad, column):5.1f}")


if __name__ == "__main__":
    main()
