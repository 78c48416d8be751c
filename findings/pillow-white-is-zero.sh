#!/usr/bin/env bash
# Pillow 13.0.0: a grey TIFF that says that zero is white (PhotometricInterpretation 0, common in X-ray and fax images) is
# inverted on reading if it has 8 bits per pixel, and not if it has 16. So the same picture in both depths comes out once
# as a positive and once as a negative, without a word.
#
# Seen: 8 bits: value 10 becomes 245; 16 bits: value 2,570 stays 2,570.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet pillow==13.0.0 tifffile==2026.3.3 numpy==2.4.6
cd "$work" && "$work/venv/bin/python" - <<'PY'
import numpy as np
import PIL
import tifffile
from PIL import Image

small = np.array([[10, 100, 250], [0, 255, 128]], np.uint8)
read = {}
for pixels in (small, small.astype(np.uint16) * 257):
    tifffile.imwrite("image.tif", pixels, photometric="miniswhite")
    with Image.open("image.tif") as image:
        read[pixels.dtype.itemsize * 8] = (image.mode, np.asarray(image).astype(int))
for bits, (mode, values) in read.items():
    print(f"Pillow {PIL.__version__}, {bits} bits, mode {mode}: {values[0].tolist()}")
assert np.array_equal(read[8][1], 255 - small.astype(int)), "8 bits are no longer inverted"
assert np.array_equal(read[16][1], small.astype(int) * 257), "16 bits are inverted by now: the surprise is gone"
print("as described")
PY
