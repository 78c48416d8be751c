"""Labels from a text file: one row per image, with its file name, its class and perhaps its split. No torch.

The file may come from anywhere, so its size, encoding and content are checked, and a fault is reported in one line.
"""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fairnas.data.finding import Finding, RefusedImages
from fairnas.data.formats import is_image_name
from fairnas.data.names import quoted, shortened

MOST_BYTES = 256_000_000
"""Size limit: a million rows take about 50 MB."""
_LONGEST_LABEL = 200  # characters; longer cells are texts, not classes
_FILE = ("filename", "filepath", "file", "imagename", "imagepath", "imageid", "image", "img", "path", "name", "id")
_LABEL = ("label", "class", "target", "category", "labelname", "classname", "labels", "classes", "species")
_SPLIT = ("split", "set", "subset", "partition")
_KINDS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing", "eval"), "test"),
}
_READ = "is read: a header such as filename,label, then one row per image"


@dataclass(frozen=True)
class Row:
    """One image: its file as written, its class, and its split (`train`, `val`, `test`) if given."""

    file: str
    label: str
    split: str | None
    line: int


@dataclass(frozen=True)
class LabelsFile:
    """Rows of a labels file, and the names of the columns that they were read from."""

    path: Path
    rows: tuple[Row, ...]
    columns: tuple[str, ...]


def unreadable(path: Path, why: str, remedy: str = "correct it") -> RefusedImages:
    """Refusal of a labels file."""
    return RefusedImages(Finding("labels-unreadable", f"{path} {why}; {remedy}"))


def read_labels(path: Path) -> LabelsFile:
    """Read a labels file with columns separated by comma, semicolon or tab, in UTF-8 or UTF-16.

    Columns are recognised by their names, in any case. A table of two columns needs only one known name. Without a
    header, the first column is the file, recognised by its extension, and the second the class.

    Raises:
        RefusedImages: naming the file, the line and what is wrong.
    """
    table = _table(path, _text(path))
    first = next(table, None)
    if first is None:
        raise unreadable(path, "is empty", f"a labels file {_READ}")
    columns = _columns(first[1], lenient=True)
    if columns is None and not _is_row(first[1]):
        names = shortened([cell.strip() for cell in first[1]], 8)
        raise unreadable(
            path,
            f"has no columns for files and classes; its header is {names[:300]}",
            "name two columns filename and label",
        )
    if columns is None:
        rows = [_row(path, first, (0, 1, None))]
        rows += [_row(path, each, (0, 1, None)) for each in table]
        return LabelsFile(path, tuple(rows), ("first column", "second column"))
    rows = [_row(path, each, columns) for each in table]
    if not rows:
        raise unreadable(path, "has a header and no rows", "add one row per image")
    return LabelsFile(path, tuple(rows), tuple(first[1][place].strip() for place in columns if place is not None))


def is_labels_file(path: Path) -> bool:
    """True if the first line of a file names columns for files and classes, or is a row with an image."""
    try:
        with open(path, "rb") as file:
            head = file.read(100_000) if path.is_file() else b""
        first = next(_table(path, _decoded(path, head[: head.rfind(b"\n") + 1] or head)), None)
    except (OSError, RefusedImages):
        return False
    return first is not None and (_columns(first[1], lenient=False) is not None or _is_row(first[1]))


def _text(path: Path) -> str:
    try:
        if not path.is_file():  # reading a pipe would block
            raise unreadable(path, "is not a file" if path.exists() else "does not exist", "give a CSV file")
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise unreadable(path, f"has {size:,} bytes, {MOST_BYTES:,} are read", "divide it, or sort into folders")
        content = path.read_bytes()
    except OSError as error:
        raise unreadable(path, f"cannot be read: {error.strerror}", "make it readable") from None
    return _decoded(path, content)


def _decoded(path: Path, content: bytes) -> str:
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise unreadable(path, f"is not UTF-8 text (byte {error.start:,})", "save it as UTF-8") from None
    if "\0" in text:
        raise unreadable(path, "holds zero bytes, so it is no text", "save it as a CSV file")
    return text


def _table(path: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of every row that is not empty."""
    head = next((line for line in text[:100_000].splitlines() if line.strip()), "")
    delimiter = max("\t;,", key=head.count)  # tab first, because names in a table of tabs may contain commas
    if not head.count(delimiter):
        delimiter = " "
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True)
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield reader.line_num, cells
    except csv.Error as error:
        raise unreadable(path, f"is no table (line {reader.line_num:,}: {error})") from None


def _columns(header: Sequence[str], *, lenient: bool) -> tuple[int, int, int | None] | None:
    """Indices of the columns for file, class and split; None if the header does not name them.

    With `lenient`, one known name of two is enough.
    """
    names = [re.sub(r"[\W_]", "", cell).lower() for cell in header]
    file, label, split = (_place(names, known) for known in (_FILE, _LABEL, _SPLIT))
    if lenient and len(names) == 2 and (file is None) != (label is None):
        file, label = (1 - label, label) if label is not None else (file, 1 - (file or 0))
    if file is None or label is None or _is_row(header):
        return None
    return file, label, split


def _place(names: Sequence[str], known: Sequence[str]) -> int | None:
    return next((names.index(name) for name in known if name in names), None)


def _is_row(cells: Sequence[str]) -> bool:
    """True if a first line is already a row: an image file and something after it."""
    return len(cells) > 1 and is_image_name(cells[0].strip())


def _row(path: Path, numbered: tuple[int, list[str]], columns: tuple[int, int, int | None]) -> Row:
    line, cells = numbered
    cells += [""] * (max(place or 0 for place in columns) + 1 - len(cells))
    file, label, split = cells[columns[0]].strip(), cells[columns[1]].strip(), None
    if columns[2] is not None:
        split = cells[columns[2]].strip()
    if not file or not label:
        missing = "label" if file else "file name"
        raise unreadable(path, f"has no {missing} in line {line:,}", "complete the line or remove it")
    if len(label) > _LONGEST_LABEL or not label.isprintable():
        raise unreadable(
            path, f"has no class name in line {line:,}: {quoted(label[:60])}", "give short printable names"
        )
    kind = None if split is None else _KINDS.get(split.lower())
    if split is not None and kind is None:
        raise unreadable(path, f"has the split {quoted(split[:60])} in line {line:,}", "give train, val or test")
    return Row(file, label, kind, line)
