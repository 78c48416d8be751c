"""Fills `messages.md`: every message that a wrong input can meet, collected from the code when the site is built.

The code is read, not imported. A message is the text that an exception of `fairnas/errors.py`, or of a class derived
from one, is made with; the text of a finding about images; the text of any other exception that is raised with one,
because it ends up within such a message; why a strategy cannot train a space; and what the command line prints beside.
What is filled in at run time stands as `…`.
"""

import ast
import functools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "fairnas"
MARK = "<!-- every message, by room -->"
ROOTS = (
    *("FairnasError", "LostProcessError", "LostTrainingError", "LostWorkersError"),
    *("ProcessesDisagree", "UnfairTraining"),
)
OURS = ("AssertionError", "AttributeError", "KeyError", "SystemExit")  # never meet a user of the command line
FINDERS = ("Finding", "refusal", "unreadable")  # what makes findings of an identifier and texts
GAP = "…"


@dataclass(frozen=True, order=True)
class Message:
    """One text that a user can meet."""

    room: str  # the directory under fairnas/, or the file where there is none
    text: str
    kind: str  # class of the exception; empty for a part of another message
    file: str  # under fairnas/

    @functools.cached_property
    def pattern(self) -> re.Pattern[str]:
        """Pattern that finds the message in a line, with its gaps filled in."""
        return re.compile(".*".join(re.escape(part) for part in self.text.split(GAP)))


def on_page_markdown(markdown: str, **_) -> str:
    """The hook of mkdocs: put the list where the mark is."""
    return markdown.replace(MARK, as_markdown(all_messages())) if MARK in markdown else markdown


def as_markdown(messages: list[Message]) -> str:
    """One heading per room, one line per message."""
    lines: list[str] = []
    for room in dict.fromkeys(message.room for message in messages):
        lines += [f"## {room}", ""]
        lines += [f"- `` {each.text} ``{_place(each)}" for each in messages if each.room == room]
        lines += [""]
    return "\n".join(lines)


def _place(message: Message) -> str:
    return f" &nbsp; {message.kind or 'part of a message'}, `{message.file}`"


def all_messages(package: Path = PACKAGE) -> list[Message]:
    """Every message of the package, by room and in the order of the alphabet; the same text once per file."""
    trees = {path: ast.parse(path.read_text()) for path in sorted(package.rglob("*.py"))}
    kinds = _for_users(trees.values())
    found: dict[tuple[str, str], Message] = {}
    for path, tree in trees.items():
        file = str(path.relative_to(package))
        for kind, text in _said_in(tree, kinds):
            found.setdefault((file, text), Message(file.split("/")[0].removesuffix(".py"), text, kind, file))
    return sorted(found.values())


def _for_users(trees: Iterable[ast.Module]) -> frozenset[str]:
    """Names of the exceptions that speak to users: the roots, and all that derive from them."""
    classes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    names = set(ROOTS)
    while more := {each.name for each in classes if names & {ast.unparse(base) for base in each.bases}} - names:
        names |= more
    return frozenset(names)


def _said_in(tree: ast.Module, kinds: frozenset[str]) -> Iterator[tuple[str, str]]:
    """Pairs of an exception's name and a text of it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            yield from (("Finding", text) for text in _named_before(node))
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name in kinds:
            yield from ((node.name, text) for text in _texts(node, "super().__init__"))
        elif isinstance(node, ast.FunctionDef) and node.name == "unsupported_reason":
            returned = [each.value for each in ast.walk(node) if isinstance(each, ast.Return)]
            yield from (("", text) for value in returned if (text := _text(value)))
        elif isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "_WORDS" and node.value:
            # pairs of a pattern and our words for it, where \1 is a gap
            words = [re.sub(r"\\\d", GAP, ours) for _, ours in ast.literal_eval(node.value)]
            yield from (("UsageError", text) for text in words if text.strip(GAP + " :"))
        elif isinstance(node, ast.Call) and _name(node) in FINDERS:
            if text := _found(node):
                yield "Finding", text
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("narrator.say"):
            if text := _text(_first(node)):
                yield "printed", text
        elif isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            name = _name(node.exc)
            if name not in (*kinds, *OURS, *FINDERS) and (text := _text(_first(node.exc))):
                yield "", text
        elif isinstance(node, ast.Call) and (text := _text(_first(node))):
            name = _name(node)
            if name == "UnknownNameError":
                yield name, f"unknown {text} {GAP}"
            elif name in kinds:
                yield name, text
            elif name == "print" and any(ast.unparse(each.value) == "sys.stderr" for each in node.keywords):
                yield "printed", text


def _named_before(function: ast.FunctionDef) -> Iterator[str]:
    """Texts of findings that a function first gives a name."""
    calls = [node for node in ast.walk(function) if isinstance(node, ast.Call) and _name(node) in FINDERS]
    names = {each.id for call in calls for each in call.args[1:] if isinstance(each, ast.Name)}
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and {ast.unparse(each) for each in node.targets} & names:
            yield from filter(None, [_text(node.value)])


def _found(call: ast.Call) -> str:
    """The text of a finding: what comes after its identifier, or after the file that it is about."""
    texts = [_text(each) for each in call.args[1:]]
    subject = [GAP] if _name(call) == "unreadable" else []
    return " ".join([*subject, "; ".join(texts)]) if texts and all(texts) else ""


def _texts(tree: ast.AST, function: str) -> Iterator[str]:
    """First arguments of the calls of a function."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == function and (text := _text(_first(node))):
            yield text


def _name(call: ast.Call) -> str:
    return ast.unparse(call.func).split(".")[-1]


def _first(call: ast.Call) -> ast.expr | None:
    return call.args[0] if call.args else None


def _text(node: ast.expr | None) -> str:
    """A text with its gaps; empty if the node is none, or nothing but a gap."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        text = node.value
    elif isinstance(node, ast.JoinedStr):
        text = "".join(str(part.value) if isinstance(part, ast.Constant) else GAP for part in node.values)
    else:
        return ""
    text = " ".join(text.split())
    return text if text.strip(GAP + " :;()") else ""
