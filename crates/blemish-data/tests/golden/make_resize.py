"""Makes resize/*: what Pillow makes of small pictures, for the tests of the transform.

Run in this folder with Pillow 13.0.0 and NumPy 2.4.6 (any recent version gives the same files):

    python make_resize.py

Each output is named INPUT.to_WIDTHxHEIGHT.png (or .tif for floats), resized with BILINEAR, except for mask.png, which is resized
with NEAREST.
"""

from pathlib import Path

import numpy as np
from PIL import Image

OUT = Path(__file__).parent / "resize"
# Up, down, non-integer, one side only, strongly down, mixed up and down.
SIZES = [(64, 48), (32, 32), (110, 90), (97, 30), (7, 5), (200, 20), (33, 61)]


def picture(generator, height, width, channels):
    """Edges, gradients and noise: every kind of content a filter could treat differently."""
    y, x = np.mgrid[0:height, 0:width]
    planes = []
    for channel in range(channels):
        gradient = x * (2 + channel) + y
        stripes = 90 * ((x // 5 + y // (7 + channel)) % 2)
        noise = generator.integers(0, 60, (height, width))
        planes.append((gradient + stripes + noise) % 256)
    return np.stack(planes, axis=-1).squeeze().astype(np.uint8)


def main():
    OUT.mkdir(exist_ok=True)
    generator = np.random.default_rng(7)
    inputs = {
        "rgb": Image.fromarray(picture(generator, 61, 97, 3)),
        "grey": Image.fromarray(picture(generator, 83, 50, 1)),
        "mask": Image.fromarray(((generator.random((61, 97)) > 0.7) * 255).astype(np.uint8)),
        "float": Image.fromarray(generator.random((40, 53)).astype(np.float32)),
    }
    for name, image in inputs.items():
        ending = "tif" if name == "float" else "png"
        image.save(OUT / f"{name}.{ending}")
        method = Image.Resampling.NEAREST if name == "mask" else Image.Resampling.BILINEAR
        for width, height in SIZES:
            image.resize((width, height), method).save(OUT / f"{name}.to_{width}x{height}.{ending}")


if __name__ == "__main__":
    main()
