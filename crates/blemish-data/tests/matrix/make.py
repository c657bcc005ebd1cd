"""Writes image files of many kinds and a list of the pixels that they hold, for tests/matrix.rs.

usage: make.py FOLDER EVERY

Of all files, each EVERYth is made. FOLDER/list.tsv has a line a file: path, what is expected, and a value:
  u8, u16, f32   SHA-256 of height x width x 3 samples (little-endian), after "HxW "
  near           "HxW MOST MEAN" and FILE: 8-bit samples in FILE, at most so far off, at most so far on average
  same           another file of the list that must hold the same pixels
  refused        a word that the refusal must have
Every random choice has a fixed seed. Needs Pillow and NumPy; with tifffile, cjpeg and jpegtran (libjpeg-turbo) and tiffcp (libtiff) there are
more files. What is missing is said. Exit code 77: nothing could be made.
"""

import hashlib
import io
import pathlib
import shutil
import struct
import subprocess
import sys
import zlib

try:
    import numpy as np
    from PIL import Image
except ImportError as error:
    print(f"missing: {error.name}", file=sys.stderr)
    sys.exit(77)
try:
    import tifffile
except ImportError:
    tifffile = None

FOLDER = pathlib.Path(sys.argv[1])
EVERY = int(sys.argv[2])
SIZES = [(8, 8), (17, 9), (33, 47), (64, 48), (101, 67), (16, 130), (250, 31)]
KINDS = ["ramp", "noise", "flat", "smooth"]
count = 0
lines = []


class Missing(Exception):
    pass


def tool(name):
    path = shutil.which(name)
    if path is None:
        raise Missing(name)
    return path


missing = set()


def take():
    """Whether the next file is to be made."""
    global count
    count += 1
    return (count - 1) % EVERY == 0


def picture(kind, width, height, seed=0):
    """H x W x 3, 8 bit."""
    y, x = np.mgrid[0:height, 0:width]
    if kind == "noise":
        return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)
    if kind == "flat":
        return (np.full((height, width, 3), (37, 120, 200)) + (x[..., None] > width // 2) * 30).astype(np.uint8)
    if kind == "smooth":
        waves = [128 + 90 * np.sin(x / 17 + c) + 30 * np.cos(y / 11 + c) for c in range(3)]
        return np.clip(np.stack(waves, -1), 0, 255).astype(np.uint8)
    return np.stack([(x * (c + 1) + y * 3) % 256 for c in range(3)], -1).astype(np.uint8)


def rgb(samples):
    samples = np.asarray(samples)
    if samples.ndim == 2:
        samples = samples[..., None]
    return np.repeat(samples, 3, -1) if samples.shape[-1] < 3 else samples[..., :3]


def add(path, samples):
    """A file that must hold exactly these samples."""
    samples = np.ascontiguousarray(rgb(samples))
    kind = {"uint8": "u8", "uint16": "u16", "float32": "f32"}[samples.dtype.name]
    digest = hashlib.sha256(samples.astype(samples.dtype.newbyteorder("<")).tobytes()).hexdigest()
    lines.append(f"{path}\t{kind}\t{samples.shape[0]}x{samples.shape[1]} {digest}")


def add_near(path, samples, most, mean):
    samples = np.ascontiguousarray(rgb(samples))
    raw = FOLDER / f"{len(lines)}.raw"
    raw.write_bytes(samples.astype(np.uint8).tobytes())
    lines.append(f"{path}\tnear\t{samples.shape[0]}x{samples.shape[1]} {most} {mean}\t{raw}")


def file(name):
    return FOLDER / f"{len(lines):05d}-{name}"


def run(*arguments):
    subprocess.run([str(argument) for argument in arguments], check=True, capture_output=True)


def saved(image, name, **options):
    path = file(name)
    image.save(path, **options)
    return path


def reread(path):
    """What Pillow sees, alpha dropped."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGBA").convert("RGB") if image.mode in ("P", "PA") else image.convert("RGB"))


# --- PNG, BMP, GIF, WebP, PNM -----------------------------------------------------------------------------------------------------------


def png_of(width, height, depth, colour, rows, palette=b"", transparency=b""):
    """A PNG by hand, for kinds that Pillow does not write; rows are filtered with type 0."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    data = b"".join(b"\0" + row for row in rows)
    parts = [chunk(b"IHDR", head)]
    parts += [chunk(b"PLTE", palette)] if palette else []
    parts += [chunk(b"tRNS", transparency)] if transparency else []
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def packed_rows(values, bits):
    """Rows of samples of 1 to 16 bits, each row beginning with a byte of its own."""
    shifts = np.arange(bits - 1, -1, -1)
    spread = (values.astype(np.int64)[..., None] >> shifts) & 1
    spread = spread.reshape(values.shape[0], -1).astype(np.uint8)
    return [np.packbits(row).tobytes() for row in spread]


def common():
    for kind in KINDS:
        for width, height in SIZES:
            samples = picture(kind, width, height)
            image = Image.fromarray(samples)
            grey, alpha = samples[..., 0], samples[..., 1]
            for mode in ["RGB", "RGBA", "L", "LA", "1", "P"]:
                if mode == "RGBA":
                    one = Image.fromarray(np.dstack([samples, alpha]))
                elif mode == "LA":
                    one = Image.merge("LA", [Image.fromarray(grey), Image.fromarray(alpha)])
                elif mode == "P":
                    one = image.quantize(16 if width % 2 else 200)
                elif mode == "1":
                    one = Image.fromarray(grey).convert("1")
                else:
                    one = image if mode == "RGB" else Image.fromarray(grey)
                expected = {"RGBA": samples, "LA": grey}.get(mode)
                if expected is None:
                    expected = np.asarray(one.convert("RGB"))
                if take():
                    add(saved(one, f"{kind}-{mode}.png"), expected)
                if mode in ("RGB", "L", "1", "P", "RGBA") and take():
                    add(saved(one, f"{kind}-{mode}.bmp"), expected)
                if mode in ("L", "P", "1") and take():
                    path = saved(one, f"{kind}-{mode}.gif", interlace=width % 2)
                    add(path, reread(path))
                if mode in ("RGB", "RGBA") and take():
                    add(saved(one, f"{kind}-{mode}.webp", lossless=True, exact=True), expected)
                if mode == "RGB" and take():
                    path = saved(one, f"{kind}-lossy.webp", quality=80)
                    add_near(path, reread(path), 6, 0.6)
                if mode in ("RGB", "L", "1") and take():
                    add(saved(one, f"{kind}-{mode}.{ {'RGB': 'ppm', 'L': 'pgm', '1': 'pbm'}[mode] }"), expected)
            wide = samples.astype(np.uint16) * 200 + 7
            if take():
                path = file(f"{kind}-16.png")
                path.write_bytes(png_of(width, height, 16, 2, [row.astype(">u2").tobytes() for row in wide]))
                add(path, wide)
            if take():
                add(saved(Image.fromarray(wide[..., 0]), f"{kind}-16-grey.png"), wide[..., 0])
            for bits in [1, 2, 4]:
                small = grey >> (8 - bits)
                if take():
                    path = file(f"{kind}-{bits}.png")
                    path.write_bytes(png_of(width, height, bits, 0, packed_rows(small, bits)))
                    add(path, (small.astype(int) * 255 // (2**bits - 1)).astype(np.uint8))
                if take():
                    palette = np.random.default_rng(bits).integers(0, 256, (2**bits, 3)).astype(np.uint8)
                    path = file(f"{kind}-{bits}-palette.png")
                    path.write_bytes(png_of(width, height, bits, 3, packed_rows(small, bits), palette.tobytes(), b"\0\x80"))
                    add(path, palette[small])
            pnm(kind, width, height, samples, wide)
            if take():
                second = Image.fromarray(255 - samples)
                path = saved(image.quantize(64), f"{kind}-two.gif", save_all=True, append_images=[second.quantize(64)])
                add(path, reread(path))


def pnm(kind, width, height, samples, wide):
    for most in [255, 100, 4095, 65535]:
        values = (samples.astype(np.int64) * most // 255) if most < 65535 else wide.astype(np.int64)
        scale = 255 if most < 256 else 65535
        # Values are spread over the whole depth, rounded to the nearest in single precision.
        spread = np.floor(values.astype(np.float32) * np.float32(scale / most) + 0.5) if most not in (255, 65535) else values
        expected = spread.astype(np.uint8 if scale == 255 else np.uint16)
        binary = values.astype(">u1" if most < 256 else ">u2")
        for name, head, data, wanted in [
            ("P6", f"P6\n# a note\n{width} {height}\n{most}\n", binary.tobytes(), expected),
            ("P5", f"P5 {width} {height} {most}\n", binary[..., 0].tobytes(), expected[..., 0]),
            ("P3", f"P3\n{width}\n{height}\n{most}\n", " ".join(map(str, values.ravel())).encode(), expected),
            ("P2", f"P2 {width} {height} {most} ", "\n".join(map(str, values[..., 0].ravel())).encode(), expected[..., 0]),
            ("P7", f"P7\nWIDTH {width}\nHEIGHT {height}\nDEPTH 3\nMAXVAL {most}\nTUPLTYPE RGB\nENDHDR\n", binary.tobytes(), expected),
        ]:
            if take():
                path = file(f"{kind}-{name}-{most}.pnm")
                path.write_bytes(head.encode() + data)
                add(path, wanted)


# --- JPEG -------------------------------------------------------------------------------------------------------------------------------

SCRIPTS = {
    "apart": "0;\n1;\n2;\n",
    "backwards": "2;\n1;\n0;\n",
    "colours": "0;\n1 2;\n",
    "two-one": "0 1;\n2;\n",
}


def jpeg():
    scripts = {}
    for name, text in SCRIPTS.items():
        scripts[name] = FOLDER / f"{name}.txt"
        scripts[name].write_text(text)
    number = 0
    for kind in KINDS:
        for width, height in SIZES:
            source = FOLDER / "source.ppm"
            samples = picture(kind, width, height)
            Image.fromarray(samples).save(source)
            for sampling in ["1x1", "2x1", "1x2", "2x2", "4x1", "1x4", "4x2", "2x4"]:
                number += 1
                quality = [90, 75, 50, 95][number % 4]
                options = [["-optimize"], ["-restart", "1"], ["-progressive"], []][number % 4]
                if not take():
                    continue
                path = file(f"{kind}-{sampling}.jpg")
                run(tool("cjpeg"), "-quality", quality, "-sample", sampling, *options, "-outfile", path, source)
                # Decoders may round the cosine transform and enlarge the colours in their own ways.
                add_near(path, reread(path), 255 if kind == "noise" else 90, 7.5 if kind == "noise" else 3.5)
                whole = path
                if "-progressive" in options:
                    whole = file(f"{kind}-{sampling}-sequential.jpg")
                    run(tool("jpegtran"), "-outfile", whole, path)
                for script, scans in scripts.items():
                    for restart in [[], ["-restart", "3"], ["-restart", "7B"]][: 1 + number % 3]:
                        if (len(scans.name) + number) % 3 and script != "apart":
                            continue
                        path = file(f"{kind}-{sampling}-{script}.jpg")
                        run(tool("jpegtran"), "-scans", scans, *restart, "-outfile", path, whole)
                        lines.append(f"{path}\tsame\t{whole}")
                for script in ["progressive", "fine"]:
                    path = file(f"{kind}-{sampling}-{script}.jpg")
                    more = ["-progressive"] if script == "progressive" else ["-progressive", "-restart", "2"]
                    run(tool("jpegtran"), *more, "-outfile", path, whole)
                    lines.append(f"{path}\tsame\t{whole}")
            if take():
                path = saved(Image.fromarray(samples[..., 0]), f"{kind}-grey.jpg", quality=85)
                add_near(path, reread(path), 3, 0.5)
            if take():
                path = saved(Image.fromarray(np.dstack([samples, samples[..., :1]]), "CMYK"), f"{kind}-cmyk.jpg", quality=95)
                add_near(path, reread(path), 90, 7.5)
            if take():
                path = file(f"{kind}-rgb.jpg")
                run(tool("cjpeg"), "-rgb", "-quality", 90, "-outfile", path, source)
                add_near(path, reread(path), 3, 0.5)
            if take():
                path = file(f"{kind}-arithmetic.jpg")
                run(tool("cjpeg"), "-arithmetic", "-outfile", path, source)
                lines.append(f"{path}\trefused\tarithmetic")
            for mode in [{}, {"progressive": True}, {"subsampling": 2}]:
                if kind == "flat" or not take():
                    continue
                data = io.BytesIO()
                Image.fromarray(samples).save(data, "jpeg", quality=90, **mode)
                body = data.getvalue()
                start = body.rindex(b"\xff\xda")
                path = file(f"{kind}-cut-with-end-mark.jpg")
                cut = body[: start + (len(body) - start) // 2].rstrip(b"\xff")
                path.write_bytes(cut + b"\xff\xd9")
                lines.append(f"{path}\trefused\tcut short")


# --- TIFF -------------------------------------------------------------------------------------------------------------------------------

PACKINGS = ["none", "lzw:1", "lzw:2", "zip:1", "zip:2", "packbits"]
LAYOUTS = [
    [],
    ["-r", "5"],
    ["-t", "-w", "16", "-l", "16"],
    ["-t", "-w", "64", "-l", "32"],
    ["-p", "separate"],
    ["-p", "separate", "-t", "-w", "32", "-l", "16"],
    ["-f", "lsb2msb"],
    ["-B"],
    ["-8", "-L"],
]


def tiff_by_libtiff():
    number = 0
    for kind in KINDS:
        for width, height in SIZES:
            samples = picture(kind, width, height)
            wide = samples.astype(np.uint16) * 200 + 7
            for name, values in [("rgb", samples), ("grey", samples[..., 0]), ("rgb16", wide), ("grey16", wide[..., 0])]:
                for packing in PACKINGS:
                    for layout in [LAYOUTS[number % len(LAYOUTS)], LAYOUTS[(number + 4) % len(LAYOUTS)]]:
                        number += 1
                        if values.ndim == 2 and "separate" in layout:
                            layout = ["-t", "-w", "128", "-l", "16"]
                        if not take():
                            continue
                        source = FOLDER / "source.tif"
                        plain_tiff(source, values)
                        path = file(f"{kind}-{name}-{packing.replace(':', '')}{''.join(layout)}.tif")
                        try:
                            run(tool("tiffcp"), "-c", packing, *layout, source, path)
                        except subprocess.CalledProcessError:
                            # It gives a plane to each colour of 8 bit only.
                            run(tool("tiffcp"), "-c", packing, "-t", "-w", "48", "-l", "16", source, path)
                        add(path, values)
            bits = Image.fromarray(samples[..., 0]).convert("1")
            for packing in ["none", "packbits", "lzw:1", "zip:1", "g4", "g3:1d:fill", "g3:1d"]:
                for layout in [[], ["-f", "lsb2msb"], ["-r", "7"]]:
                    if not take():
                        continue
                    source = FOLDER / "source.tif"
                    bits.save(source)
                    path = file(f"{kind}-1-{packing.replace(':', '')}{''.join(layout)}.tif")
                    run(tool("tiffcp"), "-c", packing, *layout, source, path)
                    add(path, np.asarray(bits.convert("L")))
            for packing, layout in [("lzw:1", []), ("zip:1", ["-t", "-w", "32", "-l", "32"]), ("packbits", ["-B"])]:
                if not take():
                    continue
                source = FOLDER / "source.tif"
                palette = Image.fromarray(samples).quantize(100)
                palette.save(source)
                path = file(f"{kind}-palette-{packing.replace(':', '')}{''.join(layout)}.tif")
                run(tool("tiffcp"), "-c", packing, *layout, source, path)
                add(path, np.asarray(palette.convert("RGB")))
            for packing in ["jpeg:90", "jpeg:r:90"]:
                for layout in [["-r", "16"], ["-t", "-w", "32", "-l", "32"]]:
                    if not take():
                        continue
                    source = FOLDER / "source.tif"
                    plain_tiff(source, samples)
                    path = file(f"{kind}-{packing.replace(':', '')}{''.join(layout)}.tif")
                    run(tool("tiffcp"), "-c", packing, *layout, source, path)
                    # libtiff decodes each piece alone, as we do.
                    add_near(path, reread(path), 255 if kind == "noise" else 90, 7.5 if kind == "noise" else 3.5)


def plain_tiff(path, values):
    """A TIFF of one strip by hand, so that nothing but NumPy decides what it holds."""
    height, width = values.shape[:2]
    samples = 1 if values.ndim == 2 else values.shape[2]
    bits = values.dtype.itemsize * 8
    data = values.astype(values.dtype.newbyteorder("<")).tobytes()
    path.write_bytes(tiff_of(width, height, samples, bits, data, photometric=2 if samples >= 3 else 1))


def tiff_of(width, height, samples, bits, data, photometric, colours=None, extra=()):
    tags = [
        (256, 4, [width]), (257, 4, [height]), (258, 3, [bits] * samples), (259, 3, [1]), (262, 3, [photometric]),
        (273, 4, [8]), (277, 3, [samples]), (278, 4, [height]), (279, 4, [len(data)]), (284, 3, [1]),
    ] + ([(320, 3, colours)] if colours is not None else []) + list(extra)  # fmt: skip
    body = data + b"\0" * (len(data) % 2)
    out = struct.pack("<2sHI", b"II", 42, 8 + len(body)) + body
    entries, beyond = b"", b""
    after = len(out) + 2 + 12 * len(tags) + 4
    for tag, kind, values in sorted(tags):
        packed = struct.pack(f"<{len(values)}{'H' if kind == 3 else 'I'}", *values)
        if len(packed) <= 4:
            field = packed.ljust(4, b"\0")
        else:
            field = struct.pack("<I", after + len(beyond))
            beyond += packed + b"\0" * (len(packed) % 2)
        entries += struct.pack("<HHI", tag, kind, len(values)) + field
    return out + struct.pack("<H", len(tags)) + entries + b"\0\0\0\0" + beyond


def tiff_by_hand():
    for kind in KINDS:
        for width, height in SIZES[1:5]:
            samples = picture(kind, width, height)
            grey = samples[..., 0]
            for bits in [1, 2, 3, 4, 5, 6, 7, 10, 12, 14]:
                most = 2**bits - 1
                for is_rgb in [False, True]:
                    values = (samples if is_rgb else grey).astype(np.int64)
                    values = values >> (8 - bits) if bits < 8 else values << (bits - 8)
                    spread = values * (255 if bits < 8 else 65535) // most
                    expected = spread.astype(np.uint8 if bits < 8 else np.uint16)
                    data = b"".join(packed_rows(values, bits))
                    if take():
                        path = file(f"{kind}-{bits}-{'rgb' if is_rgb else 'grey'}.tif")
                        path.write_bytes(tiff_of(width, height, 3 if is_rgb else 1, bits, data, 2 if is_rgb else 1))
                        add(path, expected)
                    if not is_rgb and take():
                        path = file(f"{kind}-{bits}-inverted.tif")
                        path.write_bytes(tiff_of(width, height, 1, bits, data, 0))
                        # Turned before it is spread.
                        turned = (most - values) * (255 if bits < 8 else 65535) // most
                        add(path, turned.astype(expected.dtype))
            for bits in [1, 2, 4, 8]:
                indices = grey >> (8 - bits)
                colours = np.random.default_rng(bits).integers(0, 256, (3, 2**bits))
                for scale, name in [(257, "16"), (1, "8"), (256, "shifted")]:
                    if take():
                        path = file(f"{kind}-palette-{bits}-{name}.tif")
                        stored = (colours * scale).ravel().tolist()
                        data = b"".join(packed_rows(indices, bits))
                        path.write_bytes(tiff_of(width, height, 1, bits, data, 3, colours=stored))
                        add(path, colours.T[indices].astype(np.uint8))


def tiff_by_tifffile():
    if tifffile is None:
        raise Missing("tifffile")
    number = 0
    for kind in KINDS:
        for width, height in SIZES:
            samples = picture(kind, width, height)
            unit = (samples.astype(np.float64) / 255).astype(np.float32)
            for name, values, expected in [
                ("f32", unit, unit), ("f16", unit.astype(np.float16), unit.astype(np.float16).astype(np.float32)),
                ("f64", unit.astype(np.float64), unit), ("grey-f32", unit[..., 0], unit[..., 0]),
            ]:  # fmt: skip
                for order in "<>":
                    for packing in [{}, {"compression": "zlib"}, {"compression": "zlib", "predictor": True}]:
                        number += 1
                        layout = [{}, {"tile": (32, 16)}, {"rowsperstrip": 3}, {"planarconfig": "separate"}][number % 4]
                        if values.ndim == 2:
                            layout.pop("planarconfig", None)
                        elif "planarconfig" not in layout:
                            layout = {**layout, "planarconfig": "contig"}
                        if not take():
                            continue
                        stored = values if layout.get("planarconfig") != "separate" else np.moveaxis(values, -1, 0)
                        path = file(f"{kind}-{name}-{order == '<'}-{number}.tif")
                        photometric = "minisblack" if values.ndim == 2 else "rgb"
                        try:
                            tifffile.imwrite(path, stored, byteorder=order, photometric=photometric, **packing, **layout)
                        except (ValueError, ImportError) as error:
                            missing.add(f"imagecodecs ({error})")
                            continue
                        add(path, expected)


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    for part in [common, jpeg, tiff_by_libtiff, tiff_by_hand, tiff_by_tifffile]:
        try:
            part()
        except Missing as error:
            missing.add(str(error))
    (FOLDER / "list.tsv").write_text("\n".join(lines) + "\n")
    versions = f"Pillow {Image.__version__}, NumPy {np.__version__}"
    left_out = f"; missing: {', '.join(sorted(missing))}" if missing else ""
    print(f"{len(lines)} files, {versions}{left_out}")


main()
