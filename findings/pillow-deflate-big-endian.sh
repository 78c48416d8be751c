#!/usr/bin/env bash
# Pillow 13.0.0: signed 16-bit, signed 32-bit and floating point TIFF files in big-endian byte order come out with the
# bytes of every value swapped if they are compressed (deflate), and right if they are not. No error, no warning: 300
# becomes 11,265. Unsigned 16-bit files are right either way. tifffile reads all of them back as they were written.
#
# Seen: int16, int32 and float32 wrong when compressed; uint16 right; all right when uncompressed or little-endian.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet pillow==13.0.0 tifffile==2026.3.3 numpy==2.4.6
cd "$work" && "$work/venv/bin/python" - <<'PY'
import itertools

import numpy as np
import PIL
import tifffile
from PIL import Image

values = np.array([[300, 1, 2], [-7, 0, 12345]])
wrong = set()
for kind, order, compression in itertools.product(("uint16", "int16", "int32", "float32"), "<>", (None, "zlib")):
    written = np.abs(values).astype(kind) if kind == "uint16" else values.astype(kind)
    tifffile.imwrite("image.tif", written, byteorder=order, compression=compression, photometric="minisblack")
    assert np.array_equal(tifffile.imread("image.tif"), written)
    with Image.open("image.tif") as image:
        read = np.asarray(image)
    if not np.array_equal(read, written):
        wrong.add((kind, order, compression))
        swapped = np.array_equal(read.astype(written.dtype), written.byteswap(), equal_nan=True)
        print(f"{kind} {order} {compression}: {written.ravel()[0]} became {read.ravel()[0]}, bytes swapped: {swapped}")
print("Pillow", PIL.__version__, "wrong:", sorted(wrong, key=str))
assert wrong == {(kind, ">", "zlib") for kind in ("int16", "int32", "float32")}, "the behaviour has changed"
print("as described")
PY
