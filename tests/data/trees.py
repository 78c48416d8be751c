"""Folders of empty files, grown from a line of text; what reads layouts opens none of them."""

from pathlib import Path


def grow(root: Path, tree: str) -> Path:
    """Make the files of a line such as `cat*3 dog/old*2 notes.txt`: three images in cat/, and so on.

    `*3.png` gives another ending, and `~` stands for a space. A name without a star is a file.
    """
    root.mkdir(parents=True, exist_ok=True)
    for item in tree.split():
        folder, star, rest = item.replace("~", " ").partition("*")
        if not star:
            (root / folder).parent.mkdir(parents=True, exist_ok=True)
            (root / folder).touch()
            continue
        count, dot, ending = rest.partition(".")
        (root / folder).mkdir(parents=True, exist_ok=True)
        for number in range(int(count)):
            (root / folder / f"{number:03}.{ending if dot else 'jpg'}").touch()
    return root
