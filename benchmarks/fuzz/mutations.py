"""Valid files bent: bytes, text, trees of plain data, images. Every result is a function of the generator.

Each function takes a generator and valid content, and returns content that is probably not valid any more.
"""

import copy
import json
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

import tomli_w

Bend = Callable[[Random, bytes], bytes]

# What JSON and TOML writers refuse, by marks that are replaced in the text.
_RAW = {
    "@nested@": lambda rng: "[" * (depth := rng.choice((60, 70, 900, 100_000))) + "]" * depth,
    "@tables@": lambda rng: '{"a":' * (depth := rng.choice((70, 900, 50_000))) + "1" + "}" * depth,
    "@digits@": lambda rng: rng.choice("19") * rng.choice((18, 19, 31, 400, 5000)),
    "@exponent@": lambda rng: rng.choice(("1e999", "-1e999", "1e-999", "NaN", "nan", "Infinity", "inf")),
    "@hex@": lambda rng: "0x" + "f" * rng.choice((16, 17, 5000)),
    "@date@": lambda rng: rng.choice(("1979-05-27", "07:32:00", "9999-12-31T23:59:59Z", "0000-00-00")),
}
NASTY: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 7, 37, 255, 2**31, 2**53, 2**63, -(2**63), 10**12, 10**29),
    *(0.5, -0.0, 1e-300, 1e308, float("nan"), float("inf"), -float("inf")),
    *(
        "",
        " ",
        "0",
        "a",
        "nan",
        "1e999",
        "9" * 5000,
        "x" * 70_000,
        "\n",
        "a\nb\r\nc",
        "\x1b[2J\x1b[31m",
        "\0",
        "\ud800",
    ),
    *("\u202e\u2028", "\u0660\u0661", "\uff10", "é", "../../etc/passwd", "/etc/passwd", "..", ".", "a/b", "C:\\x"),
    *("x.py:y", "folder:/", "</script><script>alert(1)</script>", "%s%n{0}{0.__class__}", "file:///etc/passwd"),
    *([], {}, [[]], [None], [1] * 40, {"": 0}, {"a": {}}, *_RAW),
)


def bent_bytes(rng: Random, content: bytes) -> bytes:
    """One to four wounds: bits, bytes, extreme numbers, spans cut, doubled, moved or filled."""
    result = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        size = len(result)
        place = rng.randrange(size + 1)
        kind = rng.randrange(9)
        if kind == 0 and size:
            result[min(place, size - 1)] ^= 1 << rng.randrange(8)
        elif kind == 1 and size:
            result[min(place, size - 1)] = rng.choice((0, 1, 9, 10, 34, 92, 127, 128, 255))
        elif kind == 2:
            del result[place:]
        elif kind == 3:
            result[place:place] = rng.randbytes(rng.choice((1, 2, 8, 64)))
        elif kind == 4:
            del result[place : place + rng.choice((1, 2, 4, 16, 256))]
        elif kind == 5:
            result[place:place] = result[place : place + rng.choice((1, 8, 64, 1024))]
        elif kind == 6:
            number = rng.choice((0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 2**63 - 1, 2**64 - 1))
            width = rng.choice((1, 2, 4, 8))
            order = rng.choice(("little", "big"))
            result[place : place + width] = (number % 256**width).to_bytes(width, order)  # pyright: ignore
        elif kind == 7:
            other = rng.randrange(size + 1)
            result[place:] = result[other:]
        else:
            result[place:place] = rng.choice((b"\0", b"\xff", b"[", b"{", b'"', b"\n")) * rng.choice((1, 100, 10_000))
    return bytes(result[: 1 << 24])


def bent_tree(rng: Random, tree: Any) -> Any:
    """Plain data with one to three values replaced, removed, added, doubled or moved."""
    tree = copy.deepcopy(tree)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        places = list(places_of(tree))
        if not places:
            return rng.choice(NASTY)
        if rng.random() < 0.02:
            return rng.choice(NASTY)
        parent, key = rng.choice(places)
        kind = rng.randrange(8)
        if kind <= 3:
            parent[key] = copy.deepcopy(rng.choice(NASTY))
        elif kind == 4:
            del parent[key]
        elif kind == 5:
            other, place = rng.choice(places)
            parent[key] = copy.deepcopy(other[place])
        elif isinstance(parent, list):
            parent.insert(key, copy.deepcopy(rng.choice((parent[key], rng.choice(NASTY)))))
        elif kind == 6:
            parent[str(rng.choice(NASTY))] = parent.pop(key)  # renamed
        else:
            parent[str(rng.choice(NASTY))] = copy.deepcopy(rng.choice(NASTY))
    return tree


def places_of(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Every value of plain data, as its list or object and its place in it, from the root down."""
    waiting = [tree]
    while waiting:
        parent = waiting.pop()
        keys = parent.keys() if isinstance(parent, dict) else range(len(parent)) if isinstance(parent, list) else ()
        for key in keys:
            yield parent, key
            waiting.append(parent[key])


def _unmarked(rng: Random, text: str) -> str:
    for mark, make in _RAW.items():
        quoted = f'"{mark}"'
        while quoted in text and rng.random() < 0.9:
            text = text.replace(quoted, make(rng), 1)
    return text


def bent_json(rng: Random, content: bytes) -> bytes:
    """JSON with other values, and sometimes keys that come twice, or wounded bytes."""
    tree = bent_tree(rng, json.loads(content))
    text = _unmarked(rng, json.dumps(tree))
    if rng.random() < 0.05 and text.startswith("{"):
        text = "{" + text[1:-1] + ("," if len(text) > 2 else "") + text[1:]  # every key twice
    encoded = text.encode("utf-8", "surrogatepass")
    return bent_bytes(rng, encoded) if rng.random() < 0.2 else encoded


def bent_lines(rng: Random, content: bytes) -> bytes:
    """JSON lines: one of them bent, or some lost, doubled or moved."""
    lines = content.splitlines()
    place = rng.randrange(len(lines))
    lines[place] = bent_json(rng, lines[place])
    if rng.random() < 0.3:
        rng.shuffle(lines)
    joined = b"\n".join(lines) + rng.choice((b"", b"\n"))
    return bent_bytes(rng, joined) if rng.random() < 0.2 else joined


def bent_toml(rng: Random, content: bytes) -> bytes:
    """TOML with other values, or wounded bytes."""
    import tomllib

    tree = bent_tree(rng, tomllib.loads(content.decode()))
    text = ""
    if isinstance(tree, dict):
        try:
            text = tomli_w.dumps(_without_none(tree))
        except (TypeError, ValueError):
            text = content.decode()
    text = _unmarked(rng, text)
    encoded = text.encode("utf-8", "surrogatepass")
    return bent_bytes(rng, encoded) if rng.random() < 0.3 else encoded


def _without_none(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _without_none(value) for key, value in tree.items() if value is not None}
    return [_without_none(value) for value in tree if value is not None] if isinstance(tree, list) else tree


def bent_png(rng: Random, content: bytes) -> bytes:
    """Chunks of a PNG file with other content and the right checksum, so that decoders look at them."""
    result, place = bytearray(content[:8]), 8
    chunks = []
    while place + 12 <= len(content):
        (length,) = struct.unpack(">I", content[place : place + 4])
        chunks.append((content[place + 4 : place + 8], content[place + 8 : place + 8 + length]))
        place += 12 + length
    target = rng.randrange(len(chunks))
    for number, (kind, body) in enumerate(chunks):
        if number == target:
            if kind == b"IHDR" and rng.random() < 0.7:
                sides = [rng.choice((0, 1, 9, 300, 9000, 40_000, 2**31 - 1, 2**32 - 1)) for _ in range(2)]
                body = struct.pack(">II", *sides) + bytes(rng.choice((b, b, rng.randrange(17))) for b in body[8:])
            else:
                body = bent_bytes(rng, body)
        result += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return bytes(result)


def one_of(bends: Sequence[Bend]) -> Bend:
    """A bend that is one of several."""
    return lambda rng, content: rng.choice(bends)(rng, content)
