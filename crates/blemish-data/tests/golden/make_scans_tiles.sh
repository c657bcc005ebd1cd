#!/usr/bin/env bash
# Makes scans/* and tiles/*: one picture coded in several ways by libjpeg-turbo 2.1 and libtiff 4.5, which readers have got wrong.
# Needs cjpeg, jpegtran, tiffcp and Python with Pillow and NumPy. Run in this folder.
set -eu
work=$(mktemp -d)
python3 - "$work" <<'PYTHON'
import sys
import numpy as np
from PIL import Image

y, x = np.mgrid[0:37, 0:53]
waves = np.stack([128 + 90 * np.sin(x / 7 + c) + 30 * np.cos(y / 5 + c) for c in range(3)], -1)
Image.fromarray(np.clip(waves, 0, 255).astype(np.uint8)).save(sys.argv[1] + "/waves.ppm")
flat = np.zeros((96, 120, 3), np.uint8) + np.array([90, 100, 110], np.uint8)
flat[40:50, 30:70] = [200, 10, 10]
Image.fromarray(flat).save(sys.argv[1] + "/flat.tif")
Image.fromarray(flat).save("tiles/expected.png", optimize=True)
PYTHON
printf '0;\n1;\n2;\n' >"$work/apart"
printf '2;\n1;\n0;\n' >"$work/backwards"
printf '0 1;\n2;\n' >"$work/two_one"
cjpeg -quality 85 -sample 2x2 -outfile scans/one.jpg "$work/waves.ppm"
cjpeg -quality 85 -arithmetic -outfile scans/arithmetic.jpg "$work/waves.ppm"
jpegtran -scans "$work/apart" -outfile scans/apart.jpg scans/one.jpg
jpegtran -scans "$work/backwards" -outfile scans/backwards.jpg scans/one.jpg
jpegtran -scans "$work/two_one" -restart 7B -outfile scans/two_one_restart.jpg scans/one.jpg
jpegtran -progressive -outfile scans/progressive.jpg scans/one.jpg
tiffcp -c lzw -t -w 64 -l 16 "$work/flat.tif" tiles/lzw.tif
tiffcp -c lzw:2 -t -w 64 -l 32 "$work/flat.tif" tiles/lzw_differences.tif
tiffcp -c lzw -p separate -t -w 128 -l 128 "$work/flat.tif" tiles/planar.tif
rm -r "$work"
