#!/usr/bin/env bash
# Pillow 13.0.0: an uncompressed RGB TIFF of 16 bits per channel whose colours lie in planes (PlanarConfiguration 2, as
# scanners and tifffile write it) opens as an RGB image of the right size, and its pixels are another picture: neither
# the high bytes of the values nor anything near them. No error, no warning. The same pixels with the colours side by
# side (PlanarConfiguration 1) come out as their high bytes. tifffile reads both as they were written.
#
# Seen: contiguous: every pixel is value >> 8; planar: most pixels differ.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet pillow==13.0.0 tifffile==2026.3.3 numpy==2.4.6
cd "$work" && "$work/venv/bin/python" - <<'PY'
import numpy as np
import PIL
import tifffile
from PIL import Image

rows, columns = np.mgrid[0:32, 0:48]
ramp = np.stack([rows * 2000, columns * 1300, (rows + columns) * 800], axis=2).astype(np.uint16)  # (H, W, 3)
differ = {}
for layout, pixels in (("contig", ramp), ("separate", ramp.transpose(2, 0, 1))):
    tifffile.imwrite("image.tif", pixels, photometric="rgb", planarconfig=layout)
    assert np.array_equal(tifffile.imread("image.tif"), pixels)
    with Image.open("image.tif") as image:
        assert (image.mode, image.size) == ("RGB", (48, 32))
        read = np.asarray(image)
    differ[layout] = float((read != ramp >> 8).any(axis=2).mean())
    print(f"Pillow {PIL.__version__}, {layout}: {differ[layout]:.0%} of the pixels are not their values >> 8")
assert differ["contig"] == 0 and differ["separate"] > 0.5, "the behaviour has changed"
print("as described")
PY
