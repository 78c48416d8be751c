"""Readers that are given places rather than files: a folder of images, and the live page's socket."""

import functools
import json
import os
import socket
import threading
from pathlib import Path
from random import Random

from benchmarks.fuzz import formats
from benchmarks.fuzz.mutations import bent_bytes
from fairnas.config import DataConfig
from fairnas.data import load_dataset
from fairnas.data.folder_scan import scan_folder
from fairnas.report.live import LivePage
from fairnas.report.server import LiveServer
from fairnas.rundir import RunDirectory

# A folder of images ---------------------------------------------------------------------------------------------
# As JSON: a name per entry; a list for a folder, a number for an image, text for a link's target or other content.

_NAMES = (
    *("a.png", "b.jpg", "train", "test", "val", "valid", "c", "d", ".hidden", "Thumbs.db", "x.txt", "y" * 200),
    *("a\nb", "\x1b[31m.png", "\udcff", "\udcff.png", "é", " ", "-rf", "%s{0}", "CON", "a\u2028.png", "__MACOSX"),
)
_FOLDER = {name: {f"{number}.png": number for number in range(6)} for name in ("cat", "dog", "cow")}


def folders() -> tuple[bytes, ...]:
    """Class folders, and class folders below train/ and test/."""
    return (json.dumps(_FOLDER).encode(), json.dumps({"train": _FOLDER, "test": _FOLDER}).encode())


def bent_folder(rng: Random, content: bytes) -> bytes:
    """Entries renamed, removed, doubled; links, pipes, empty and broken files where images or folders were."""
    tree = json.loads(content)
    for _ in range(rng.choice((1, 1, 2, 4))):
        folders = list(_folders(tree))
        folder = rng.choice(folders)
        name = rng.choice([*folder, *_NAMES])
        kind = rng.randrange(6)
        if kind == 0:
            folder.pop(name, None)
        elif kind == 1:
            folder[rng.choice(_NAMES)] = folder.pop(name, 3)
        elif kind == 2:
            folder[name] = rng.choice(("@link:/etc/passwd", "@link:.", "@link:..", "@link:../..", "@link:nowhere"))
        elif kind == 3:
            folder[name] = rng.choice(("@pipe", "@link:/dev/zero", "@link:/", "@link:" + str(name)))
        elif kind == 4:
            folder[name] = "@bent:" + bent_bytes(rng, rng.choice(formats.images())).hex()
        else:
            folder[name] = rng.choice((json.loads(json.dumps(rng.choice(folders))), {}, 0, "", "text"))
    return json.dumps(tree).encode()


def _folders(tree):
    if isinstance(tree, dict):
        yield tree
        for inner in tree.values():
            yield from _folders(inner)


def _laid_out(path: Path, tree: dict, depth: int = 0) -> None:
    path.mkdir(exist_ok=True)
    for name, entry in tree.items():
        inner = path / os.fsdecode(os.fsencode(name)[:240])
        if isinstance(entry, dict):
            _laid_out(inner, entry, depth + 1)
        elif isinstance(entry, int):
            inner.write_bytes(formats_images()[entry % len(formats_images())])
        elif entry.startswith("@link:"):
            inner.symlink_to(entry.removeprefix("@link:"))
        elif entry == "@pipe":
            os.mkfifo(inner)
        elif entry.startswith("@bent:"):
            inner.write_bytes(bytes.fromhex(entry.removeprefix("@bent:")))
        else:
            inner.write_text(entry)


@functools.cache
def formats_images() -> tuple[bytes, ...]:
    """Small images, made once."""
    return formats.images()


def read_folder(folder: Path, content: bytes) -> None:
    """Lay the folder out, look at it, and load it."""
    root = folder / "images"
    _laid_out(root, json.loads(content))
    scan_folder(root)
    config = DataConfig(name=f"folder:{root}", validation_per_class=1, test_per_class=1, copies="none")
    load_dataset(config, image_size=8, image_channels=None, seed=0)


# The live page --------------------------------------------------------------------------------------------------

_REQUESTS = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /version HTTP/1.1\r\nHost: 127.0.0.1:80\r\nAccept: */*\r\n\r\n",
)
_WORDS = (
    *(b"GET", b"POST", b"HEAD", b"get", b"/", b"/version", b"/config.toml", b"/../config.toml", b"/%2e%2e/config.toml"),
    *(
        b"//etc/passwd",
        b"http://localhost/",
        b"*",
        b"/version?token=x",
        b"HTTP/1.1",
        b"HTTP/0.9",
        b"HTTP/9.9",
        b"HTTP/2",
    ),
    *(b"Host: evil.example", b"Host: localhost", b"Host: [::1", b"Host: " + b"a" * 70_000, b"X: y\r\n" * 200, b"\0"),
    *(b"Content-Length: 99999999999", b"Transfer-Encoding: chunked", b"Expect: 100-continue", b"/" * 70_000, b"\xff"),
)
_STATUS = {b"200", b"400", b"403", b"404", b"405", b"414", b"417", b"431", b"505", b"100"}


def requests() -> tuple[bytes, ...]:
    """The two requests that are answered."""
    return _REQUESTS


def bent_request(rng: Random, content: bytes) -> bytes:
    """Words replaced, lines added, bytes wounded."""
    words = content.split(b" ")
    words[rng.randrange(len(words))] = rng.choice(_WORDS)
    joined = b" ".join(words)
    if rng.random() < 0.3:
        joined = joined.replace(b"\r\n", b"\r\n" + rng.choice(_WORDS) + b"\r\n", 1)
    return bent_bytes(rng, joined) if rng.random() < 0.5 else joined


class _Recording(LiveServer):
    faults: list[BaseException]

    def handle_error(self, request: object, client_address: object) -> None:
        import sys

        error = sys.exception()
        if error is not None and not isinstance(error, OSError):
            self.faults.append(error)


@functools.cache
def _served() -> _Recording:
    """A server that answers for the rest of this process, with a page of a run that holds nothing."""
    import tempfile

    folder = Path(tempfile.mkdtemp(prefix="fairnas-fuzz-"))
    (folder / "config.toml").write_text("SECRET")
    page = LivePage(RunDirectory(folder))
    page.page()
    server = _Recording(page, "127.0.0.1", 0)
    server.faults = []
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    return server


def answer(_: Path, content: bytes) -> None:
    """Send bytes; what comes back is one of the few answers that there are, and nothing of a file."""
    server = _served()
    server.faults.clear()
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=5) as connection:
        got = b""
        try:
            connection.sendall(content)
            connection.shutdown(socket.SHUT_WR)
            while part := connection.recv(1 << 20):
                got += part
        except OSError:
            pass  # it was sent more than it reads, and hung up
    assert not server.faults, f"the server raised {server.faults[0]!r}"
    assert b"SECRET" not in got, "it gave out a file"
    if got.startswith(b"HTTP/"):
        status = got.split(b" ", 2)[1]
        assert status in _STATUS, status
        if status == b"200":
            assert content.startswith((b"GET / ", b"GET /?", b"GET /version")), content[:80]
