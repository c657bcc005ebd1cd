"""Makes formats/*: small files of many kinds, each with NAME.expected.png, Pillow's own idea of it as upright RGB.

Run in this folder with Pillow 13.0.0 and NumPy 2.4.6:

    python make_formats.py
"""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

OUT = Path(__file__).parent / "formats"


def main():
    OUT.mkdir(exist_ok=True)
    y, x = np.mgrid[0:12, 0:17]
    rgb = Image.fromarray(np.stack([15 * x, 21 * y, 255 - 7 * (x + y)], axis=-1).astype(np.uint8))
    alpha = Image.fromarray((20 * y + x).astype(np.uint8))
    rgba = rgb.copy()
    rgba.putalpha(alpha)
    grey = rgb.convert("L")
    grey_alpha = grey.copy()
    grey_alpha.putalpha(alpha)
    files = {
        "palette.png": (rgb.quantize(16), {}),
        "palette.bmp": (rgb.quantize(200), {}),
        "palette.tif": (rgb.quantize(256), {}),
        "palette_lzw.tif": (rgb.quantize(256), {"compression": "tiff_lzw"}),
        "bilevel.png": (grey.convert("1"), {}),
        "bilevel.tif": (grey.convert("1"), {}),
        "grey.bmp": (grey, {}),
        "grey_deflate.tif": (grey, {"compression": "tiff_deflate"}),
        "grey_alpha.png": (grey_alpha, {}),
        "rgba.png": (rgba, {}),
        "rgba.tif": (rgba, {"compression": "tiff_lzw"}),
        "rgba.webp": (rgba, {"lossless": True, "exact": True}),
        "rgb.webp": (rgb, {"lossless": True}),
        "lossy.jpg": (rgb, {"quality": 95, "subsampling": 0}),
        "progressive.jpg": (rgb, {"quality": 95, "subsampling": 0, "progressive": True}),
        "grey.jpg": (grey, {"quality": 95}),
    }
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        files[f"orientation_{orientation}.jpg"] = (rgb, {"quality": 95, "subsampling": 0, "exif": exif.tobytes()})
    exif = Image.Exif()
    exif[0x0112] = 6
    files["orientation_6.png"] = (rgb, {"exif": exif.tobytes()})
    files["orientation_6.webp"] = (rgb, {"lossless": True, "exif": exif.tobytes()})
    files["orientation_6.tif"] = (rgb, {"tiffinfo": {0x0112: 6}})
    for name, (image, options) in files.items():
        path = OUT / name
        image.save(path, **options)
        stored = ImageOps.exif_transpose(Image.open(path))
        # Alpha is dropped, not blended.
        stored.convert("RGBA").convert("RGB").save(OUT / f"{name}.expected.png")


if __name__ == "__main__":
    main()
