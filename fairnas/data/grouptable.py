"""Table of `data.group FILE.csv:COLUMN`: the group of each image."""

import csv
import os
from pathlib import Path

from fairnas.data.class_folders import shown
from fairnas.errors import DataError, UnknownNameError

_FILE_COLUMNS = (
    "filename",
    "file_name",
    "file",
    "filepath",
    "file_path",
    "path",
    "image",
    "image_name",
    "image_path",
    "image_id",
    "img",
    "name",
    "id",
)
"""Names of the column with the image files; if there is none of them, the first column is used."""


def read_table(file: str, column: str) -> dict[str, str]:
    """Read the cells of a column, keyed by the names of the files. Raises `DataError`."""
    try:
        text = Path(os.path.expanduser(file)).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise DataError(f"data.group: cannot read {file}: {reason}; give FILE.csv:COLUMN") from None
    header = text.partition("\n")[0]
    try:
        rows = list(csv.reader(text.splitlines(), delimiter=max(",;\t", key=header.count), strict=True))
    except csv.Error as error:
        raise DataError(f"data.group: {file} is no CSV file: {error}; save it as one") from None
    columns = [each.strip() for each in rows[0]] if rows else []
    if column not in columns:
        raise DataError(f"data.group: {UnknownNameError('column', column, columns)} in {file}")
    of_groups = columns.index(column)
    others = [each.lower() if place != of_groups else "" for place, each in enumerate(columns)]
    of_files = next((others.index(name) for name in _FILE_COLUMNS if name in others), 0)
    if of_files == of_groups:
        raise DataError(f"data.group: {file} has no column with file names beside '{column}'; name one 'filename'")
    cells: dict[str, str] = {}
    for number, row in enumerate(rows[1:], 2):
        if not any(row):
            continue
        if len(row) != len(columns):
            raise DataError(
                f"data.group: line {number} of {file} has {len(row)} cells, its header {len(columns)}; mend it"
            )
        name, group = row[of_files].strip().replace("\\", "/").removeprefix("./"), row[of_groups].strip()
        if cells.setdefault(name, group) != group:
            raise DataError(
                f"data.group: {file} gives '{shown(name)}' the groups '{cells[name]}' and '{group}'; keep one"
            )
    return cells
