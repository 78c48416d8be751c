"""Binary formats: valid examples made on the spot, and bends that know their structure."""

import io
import json
import pickle
import sqlite3
import struct
import tempfile
import zipfile
import zlib
from pathlib import Path
from random import Random

import numpy as np
import torch
from PIL import Image

from benchmarks.fuzz.mutations import NASTY, bent_bytes, bent_json, bent_png, bent_tree
from fairnas.data.formats import readable_formats
from fairnas.search import Archive
from fairnas.train import write_checkpoint

SETTING = "a setting"
DEEP = {"I;16": np.uint16, "I": np.int32, "F": np.float32}


# Checkpoints ----------------------------------------------------------------------------------------------------


def checkpoint() -> bytes:
    """A small checkpoint with all that checkpoints hold: tensors of several types, state of an optimizer, a ledger."""
    weights = {"weight": torch.arange(12.0).reshape(3, 4), "count": torch.tensor(3), "half": torch.ones(2).half()}
    network = torch.nn.Linear(2, 2)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    network(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    content = {"network": weights, "optimizer": optimizer.state_dict(), "extra": {"ledger": {"steps": 3}}, "step": 3}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "checkpoint.pt"
        write_checkpoint(path, "supernet", {"identity": {"a": 1}, "loss_sum": torch.zeros(()), **content})
        return path.read_bytes()


class _Hostile:
    """Unpickled, it calls what it likes."""

    def __init__(self, call: object, *arguments: object) -> None:
        self.made = (call, arguments)

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return self.made


def _pickles() -> list[bytes]:
    import os

    nested: object = ()
    for _ in range(400):
        nested = (nested,)
    hostile = [
        _Hostile(os.system, "echo unpickled >&2; kill $PPID"),
        _Hostile(eval, "1/0"),
        _Hostile(bytearray, 10**12),
        _Hostile(torch.Size, (10**12,)),
        _Hostile(torch.zeros, 10**12),
        _Hostile(__import__, "os"),
        nested,
    ]
    made = [pickle.dumps({"format": "fairnas checkpoint", "version": 1, "kind": "supernet", "x": x}) for x in hostile]
    return [*made, b"", b".", b"(" * 10_000 + b".", b"\x80\x02" + b"]" * 5000 + b"a" * 4999 + b".", b"cos\nsystem\n."]


PICKLES = _pickles()


def bent_archive_of_torch(rng: Random, content: bytes) -> bytes:
    """A ZIP archive with a member replaced, renamed, compressed, lost or added; its checksums are right."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    place = rng.randrange(len(members))
    name, body = members[place]
    kind = rng.randrange(8)
    if kind <= 2:
        place = next(n for n, (name, _) in enumerate(members) if name.endswith("data.pkl"))
        name, body = members[place]
        members[place] = (name, rng.choice(PICKLES) if rng.random() < 0.3 else bent_bytes(rng, body))
    elif kind == 3:
        members[place] = (rng.choice(("../../evil", "/etc/evil", "a\\b", "", name + "\0", "x" * 60_000)), body)
    elif kind == 4:
        del members[place]
    elif kind == 5:
        members[place] = (name, bent_bytes(rng, body))
    elif kind == 6:
        members.append((rng.choice(("archive/data/99", "extra", "../extra", name)), b"\0" * rng.choice((1, 5_000_000))))
    method = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2))
    buffer = io.BytesIO()
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that come twice
        with zipfile.ZipFile(buffer, "w", method) as archive:
            for name, body in members:
                archive.writestr(zipfile.ZipInfo(name or "x"), body, method)
    return buffer.getvalue()


# SQLite ---------------------------------------------------------------------------------------------------------


def archive() -> bytes:
    """An archive of three candidates, one of them failed."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "archive.sqlite"
        with Archive(path, SETTING) as made:
            rows = {(0, 1): {"top1": 0.5, "madds": 5, "params": 7}, (1, 1): {"top1": float("nan")}}
            made.add(rows, 0, {(1, 1): "it diverged"})
            made.add({(0, 0): {"top1": 0.25, "madds": 3, "params": 2}}, 1)
        with sqlite3.connect(path) as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            database.execute("PRAGMA journal_mode = DELETE")
        database.close()
        return path.read_bytes()


_CHANGES = (
    "DROP TABLE candidate",
    "DROP TABLE failure",
    "ALTER TABLE candidate RENAME COLUMN genome TO gene",
    "ALTER TABLE candidate DROP COLUMN measures",
    "ALTER TABLE candidate ADD COLUMN more TEXT",
    "ALTER TABLE failure RENAME COLUMN reason TO why",
    "ALTER TABLE candidate RENAME TO old; CREATE VIEW candidate AS SELECT * FROM old",
    "ALTER TABLE candidate RENAME TO old; CREATE TABLE candidate (id, setting, genome, generation, measures);"
    "INSERT INTO candidate VALUES (1, 'a setting', 7, 'x', x'00ff'), (2, 'a setting', NULL, 1.5, NULL)",
    "ALTER TABLE candidate RENAME TO old; CREATE VIRTUAL TABLE candidate USING fts5(setting, genome, measures)",
    "CREATE TRIGGER t AFTER INSERT ON candidate BEGIN DELETE FROM candidate; END",
    "CREATE TRIGGER t BEFORE INSERT ON candidate BEGIN SELECT hex(zeroblob(900000000)); END",
    "CREATE VIEW v AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n",
    "CREATE TABLE c (a, CHECK ((length(hex(zeroblob(5000)))) > 0)); INSERT INTO c VALUES (1)",
    "CREATE INDEX i ON candidate (length(hex(zeroblob(2000))))",
    "PRAGMA user_version = 2",
    "PRAGMA user_version = -5",
    "PRAGMA application_id = 5",
    "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = 'CREATE TABLE candidate (x)' WHERE name = 'candidate'",
    "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET rootpage = 7",
    "PRAGMA writable_schema = ON; INSERT INTO sqlite_schema VALUES ('table', 'a', 'a', 0, 'nonsense (')",
)


def bent_database(rng: Random, content: bytes) -> bytes:
    """An archive with another schema, other rows or wounded pages."""
    if rng.random() < 0.35:
        return bent_bytes(rng, content)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bent.sqlite"
        path.write_bytes(content)
        database = sqlite3.connect(path)
        try:
            if rng.random() < 0.6:
                measures = bent_json(rng, b'{"top1": 0.5, "madds": 5, "params": 7}').decode("utf-8", "replace")
                values = (rng.choice((measures, str(rng.choice(NASTY)))).replace("\ud800", "?"),)
                column = rng.choice(("measures", "measures", "measures", "genome", "setting"))
                database.execute(f"UPDATE candidate SET {column} = ? WHERE id = {rng.randrange(1, 4)}", values)
                database.execute("UPDATE candidate SET generation = ?", (rng.choice((0, -1, 2**62)),))
            else:
                database.executescript(rng.choice(_CHANGES))
            database.commit()
        except (sqlite3.Error, OverflowError, UnicodeError):
            pass
        finally:
            database.close()
        return path.read_bytes()


# Images ---------------------------------------------------------------------------------------------------------


def images() -> tuple[bytes, ...]:
    """One small image of every format and mode that is read, and more than one frame where there may be."""
    rng = np.random.default_rng(0)
    colours = Image.fromarray(rng.integers(0, 256, (19, 23, 3), dtype=np.uint8))
    made = []
    exif = Image.Exif()
    exif[0x0112] = 6
    for form, mode, options in (
        *(("PNG", mode, {}) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")),
        *(("JPEG", mode, {"exif": exif}) for mode in ("L", "RGB", "CMYK")),
        *(("JPEG", "RGB", options) for options in ({"progressive": True}, {"quality": 5})),
        *(("GIF", "P", options) for options in ({}, {"save_all": True, "append_images": [colours.convert("P")]})),
        *(("WEBP", "RGB", {"exif": exif}), ("WEBP", "RGBA", {"lossless": True}), ("BMP", "RGB", {}), ("BMP", "P", {})),
        *(("TIFF", mode, {"compression": packing}) for mode in ("L", "RGB") for packing in ("raw", "tiff_lzw", "jpeg")),
        *(("PPM", mode, {}) for mode in ("1", "L", "RGB", "I;16")),
        *(("TIFF", mode, {"compression": packing}) for mode in DEEP for packing in ("raw", "tiff_adobe_deflate")),
        *((form, mode, {}) for form in ("JPEG2000", "AVIF") for mode in ("L", "RGB") if form in readable_formats()),
    ):
        buffer = io.BytesIO()
        deep = np.asarray(colours.convert("L"))
        image = Image.fromarray(deep.astype(DEEP[mode])) if mode in DEEP else colours.convert(mode)
        image.save(buffer, form, **options)
        made.append(buffer.getvalue())
    return *made, *(_deep_png(kind, channels) for kind, channels in ((2, 3), (4, 2), (6, 4)))


def bent_image(rng: Random, content: bytes) -> bytes:
    """Wounded bytes; of a PNG file mostly with the right checksums."""
    return bent_png(rng, content) if content[1:4] == b"PNG" and rng.random() < 0.7 else bent_bytes(rng, content)


def _deep_png(kind: int, channels: int) -> bytes:
    """A PNG file of 16 bits per channel, which Pillow does not write."""
    line = b"\0" + np.random.default_rng(kind).integers(0, 256, 5 * channels * 2, np.uint8).tobytes()

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", 5, 4, 16, kind, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(line * 4)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


# safetensors ----------------------------------------------------------------------------------------------------


def bent_safetensors(rng: Random, content: bytes) -> bytes:
    """Another header, another length of it, or wounded bytes. Half of what is changed has the right checksum."""
    kind = rng.randrange(6)
    (length,) = struct.unpack("<Q", content[:8])
    if kind == 0:
        return bent_bytes(rng, content)
    if kind == 1:
        return rng.choice((0, 1, 7, length + 1, 10**8, 2**40, 2**63, 2**64 - 1)).to_bytes(8, "little") + content[8:]
    header, body = json.loads(content[8 : 8 + length]), content[8 + length :]
    if kind == 2:
        header = bent_tree(rng, header)
    elif kind == 3:
        key = rng.choice(sorted(header["__metadata__"]))
        header["__metadata__"][key] = str(rng.choice(NASTY))
    else:
        key = rng.choice(("space", "classes", "preprocessing", "genome"))
        given = header["__metadata__"][key]
        header["__metadata__"][key] = (
            bent_json(rng, given.encode()).decode("utf-8", "replace") if key != "genome" else str(rng.choice(NASTY))
        )
    if rng.random() < 0.6 and isinstance(header, dict) and isinstance(header.get("__metadata__"), dict):
        _sealed(header, body)
    text = json.dumps(header).encode("utf-8", "surrogatepass")
    return len(text).to_bytes(8, "little") + text + body


def _sealed(header: dict, body: bytes) -> None:
    """Give it the checksum of what it holds now, as somebody who means harm would."""
    import contextlib

    from safetensors.torch import load

    from fairnas.export.weights import _digest  # the very function that guards the file

    with contextlib.suppress(Exception):
        text = json.dumps(header).encode()
        header["__metadata__"]["sha256"] = _digest(
            header["__metadata__"], load(len(text).to_bytes(8, "little") + text + body)
        )
