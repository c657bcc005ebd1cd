"""Makes the pictures of the book's page on classical methods from synthetic images.

    python benches/classical/pictures.py target/release/blemish

Needs NumPy and Pillow. Each picture is the image and the maps of some filters, side by side, in few colours so that the files stay small.
Black is what is usual on good images (0), dark red their usual worst pixel (1), white three times that and more.
"""

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from blemish import Program

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("blemish")
args = parser.parse_args()

import numpy as np
from PIL import Image, ImageDraw

PICTURES_OF_THE_BOOK = Path(__file__).resolve().parents[2] / "book/src/pictures"
SIDE, CAPTION = 168, 14
PICTURES = {
    "fabric": ("broken_thread/000", ["gabor", "histogram", "whiten", "patches"]),
    "metal": ("scratch/000", ["laplacian", "tophat", "gabor", "histogram"]),
    "print": ("misprint/000", ["pixel", "template", "patches"]),
}
OPTIONS = {
    "pixel": " --set align=none",
    "patches": " --set centres=2000 --set top=0 --set sigma=1",
    "template": " --set tolerance=0 --set top=0 --set sigma=1",
}


def heat(values):
    """Black, red, yellow, white for 0 to 3."""
    share = np.clip(values / 3, 0, 1)[..., None]
    channels = np.clip(3 * share - np.array([0, 1, 2]), 0, 1)
    return Image.fromarray((255 * channels).astype(np.uint8))


def main():
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        blemish = Program(args.blemish, cwd=folder)
        for look, (defect, filters) in PICTURES.items():
            blemish.synth(look, "--look", look)
            image = f"{look}/test/{defect}.png"
            panels = [("image", Image.open(folder / image).convert("RGB"))]
            for name in filters:
                blemish.line(f"fit {look} --method filter --set bank={name}{OPTIONS.get(name, '')} -o {name}.blemish")
                blemish.line(f"predict {name}.blemish {image} -o {look}-{name} --pictures map")
                values = np.asarray(Image.open(next((folder / f"{look}-{name}/maps").rglob("*.tif*"))))
                panels.append((name, heat(values)))
            sheet = Image.new("RGB", (len(panels) * (SIDE + 4) - 4, SIDE + CAPTION), "white")
            draw = ImageDraw.Draw(sheet)
            for index, (name, panel) in enumerate(panels):
                sheet.paste(panel.resize((SIDE, SIDE), Image.LANCZOS), (index * (SIDE + 4), CAPTION))
                draw.text((index * (SIDE + 4) + 2, 1), name, fill="black")
            sheet.quantize(128, dither=Image.Dither.NONE).save(PICTURES_OF_THE_BOOK / f"classical-{look}.png", optimize=True)


main()
