"""How soon `predict --monitor` notices a camera that changes, and whether it stays quiet before.

    python benches/drift.py target/release/blemish ../shared/data/magnetic_tile --orders 5        (needs Pillow)

Half of the good training images fit a PatchCore; the other half and the good test images are the line, in a random order. The first 100
are the monitor's reference, the next 50 stay as they are, and then every image is a little more blurred, or darker, than the one before:
the last one has a blur of 2 pixels, or 40 % of its brightness. "At once": all of the rest have a blur of 1 pixel, half or nine tenths of the
brightness, 1.25 times the gain around middle grey, or red that is 1.05 times as bright and blue that is as much darker. "none" changes
nothing: a warning there is a false one. `--changes` chooses among them.
"""

import argparse
import pathlib
import random
import tempfile

from blemish import Program, Rows

REFERENCE, QUIET = 100, 50
CHANGES = {
    "none": lambda image, share: image,
    "blur": lambda image, share: blurred(image, 2 * share),
    "dark": lambda image, share: image.point(lambda value: value * (1 - 0.6 * share)),
    "blur at once": lambda image, share: blurred(image, 1) if share else image,
    "dark at once": lambda image, share: image.point(lambda value: value * 0.5) if share else image,
    "a little darker": lambda image, share: image.point(lambda value: value * 0.9) if share else image,
    "gain": lambda image, share: image.point(lambda value: 128 + 1.25 * (value - 128)) if share else image,
    "cast": lambda image, share: cast(image) if share else image,
}


def cast(image):
    from PIL import Image

    red, green, blue = image.split()
    return Image.merge("RGB", [red.point(lambda value: 1.05 * value), green, blue.point(lambda value: value / 1.05)])


def blurred(image, radius):
    from PIL import ImageFilter

    return image.filter(ImageFilter.GaussianBlur(radius))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("blemish", type=Program)
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("--orders", type=int, default=5)
    parser.add_argument("--changes", default=",".join(CHANGES), help="names, joined by commas")
    args = parser.parse_args()
    good = sorted((args.data / "train/good").iterdir())
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "fit").mkdir()
        for image in good[::2]:
            (folder / "fit" / image.name).symlink_to(image.resolve())
        args.blemish.fit(folder / "fit", folder / "model", "--fast")
        rows = Rows("drift")
        for order in range(args.orders):
            line = good[1::2] + sorted((args.data / "test/good").iterdir())
            random.Random(order).shuffle(line)
            for name in args.changes.split(","):
                change = CHANGES[name]
                after = watch(args.blemish, folder / f"{name}-{order}", folder / "model", line, change, f"order {order}, {name}")
                kind, after = after or (None, None)
                figure = {"set": args.data.name, "method": "patchcore", "variant": name, "metric": "images after the change began"}
                rows.add(**figure, value="no warning" if after is None else after, seeds=1, note=f"order {order}")
                rows.add(**{**figure, "metric": "what was found"}, value=kind or "nothing", seeds=1, note=f"order {order}")


def watch(blemish, folder, model, line, change, title):
    """What was found and the images between the change and the warning, or None; says so, too."""
    from PIL import Image

    folder.mkdir()
    changing = len(line) - REFERENCE - QUIET
    paths = []
    for at, source in enumerate(line):
        share = max(0, at + 1 - REFERENCE - QUIET) / changing
        paths.append(folder / f"{at:04}.png")
        change(Image.open(source).convert("RGB"), share).save(paths[-1])
    done = blemish.run("predict", model, *paths, "--json", "--monitor", folder / "monitor.json", "--monitor-reference", REFERENCE)
    drift = [report for report in done.progress() if "monitor" in report.values()][-1]["drift"]
    if drift is None:
        print(f"{title}: no warning in {len(line) - REFERENCE} images", flush=True)
        return None
    after = drift["image"] - QUIET
    print(f"{title}: {drift['kind']}, {after} of {changing} images after the change began, {after / changing:.0%} of it", flush=True)
    return drift["kind"], after


if __name__ == "__main__":
    main()
