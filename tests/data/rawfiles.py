"""Image files of every depth, written byte by byte: Pillow writes few of them, and what it reads is in question."""

import struct
import zlib

import numpy as np

UNSIGNED, SIGNED, FLOAT = 1, 2, 3  # TIFF sample formats


def tiff_bytes(
    values: np.ndarray,
    *,
    big_endian: bool = False,
    deflated: bool = False,
    planes: bool = False,
    white_is_zero: bool = False,
    alpha: int | None = None,
) -> bytes:
    """A TIFF file of (H, W) or (H, W, C) values of any type; `alpha` is 2 for a last channel of transparency."""
    height, width = values.shape[:2]
    channels = values.reshape(height, width, -1)
    count = channels.shape[2]
    order = ">" if big_endian else "<"
    stored = channels.astype(channels.dtype.newbyteorder(order))
    strips = [stored[..., place].tobytes() for place in range(count)] if planes else [stored.tobytes()]
    strips = [zlib.compress(strip) for strip in strips] if deflated else strips
    kind = {"u": UNSIGNED, "i": SIGNED, "f": FLOAT}[values.dtype.kind]
    photometric = 2 if count > 2 else 0 if white_is_zero else 1
    entries = [
        (256, "H", [width]), (257, "H", [height]), (258, "H", [values.dtype.itemsize * 8] * count),
        (259, "H", [8 if deflated else 1]), (262, "H", [photometric]), (273, "I", [0] * len(strips)),
        (277, "H", [count]), (278, "H", [height]), (279, "I", [len(strip) for strip in strips]),
        (284, "H", [2 if planes else 1]), *([(338, "H", [alpha])] if alpha is not None else []),
        (339, "H", [kind] * count),
    ]  # fmt: skip
    behind = 8 + 2 + 12 * len(entries) + 4
    long = [struct.calcsize(order + code * len(data)) for _, code, data in entries]
    start = behind + sum(size for size in long if size > 4)
    table, far = b"", b""
    for tag, code, data in entries:
        if tag == 273:
            data = [start + sum(map(len, strips[:place])) for place in range(len(strips))]
        packed = struct.pack(order + code * len(data), *data)
        if len(packed) > 4:
            packed, far = struct.pack(order + "I", behind + len(far)), far + packed
        table += struct.pack(order + "HHI", tag, {"H": 3, "I": 4}[code], len(data)) + packed.ljust(4, b"\0")
    head = (b"MM\0*" if big_endian else b"II*\0") + struct.pack(order + "IH", 8, len(entries))
    return head + table + bytes(4) + far + b"".join(strips)


def png_bytes(values: np.ndarray, *, transparent: tuple[int, ...] | None = None) -> bytes:
    """A PNG file of uint16 values: (H, W), or (H, W, C) of 2 (grey, alpha), 3 or 4 channels."""
    height, width = values.shape[:2]
    channels = values.reshape(height, width, -1).astype(">u2")
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels.shape[2]]

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    lines = b"".join(b"\0" + line.tobytes() for line in channels)
    key = chunk(b"tRNS", struct.pack(f">{len(transparent)}H", *transparent)) if transparent else b""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + key + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


def ppm_bytes(values: np.ndarray, largest: int) -> bytes:
    """A PPM or PGM file of uint16 values (H, W, 3) or (H, W), of which `largest` is white."""
    height, width = values.shape[:2]
    return f"P{6 if values.ndim == 3 else 5}\n{width} {height}\n{largest}\n".encode() + values.astype(">u2").tobytes()
