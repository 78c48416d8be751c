"""Words for directions in several languages, and characters that look alike when mirrored. No torch."""

from dataclasses import dataclass
from typing import Literal

Move = Literal["horizontal", "vertical", "quarter"]
"""Horizontal flip, vertical flip, or quarter turns."""
MOVES: tuple[Move, ...] = ("horizontal", "vertical", "quarter")
_FLIPS: tuple[Move, ...] = ("horizontal", "vertical")


@dataclass(frozen=True)
class Direction:
    """Words of one kind of direction."""

    say: str
    """Phrase for messages, to follow the names of classes."""
    changed_by: tuple[Move, ...]
    pairs: tuple[str, ...]
    """Pairs of words, with a slash between them; a word counts only if the other occurs as well."""
    alone: frozenset[str] = frozenset()
    """Words that count alone."""


RIGHT = frozenset({"right", "rightward", "rightwards", "righthand", "rightturn", "rightmost"})
LEFT = frozenset({"left", "leftward", "leftwards", "lefthand", "leftturn", "leftmost"})

DIRECTIONS = (
    Direction(
        "say left and right",
        MOVES,
        (
            *("left/right", "lefts/rights", "port/starboard", "sinistral/dextral", "sinister/dexter", "lh/rh"),
            *("lhs/rhs", "od/os", "west/east", "westbound/eastbound", "northwest/northeast", "southwest/southeast"),
            *("nw/ne", "sw/se", "backward/forward", "backwards/forwards", "less/greater", "lt/gt"),
            *("links/rechts", "linke/rechte", "linker/rechter", "linkes/rechtes", "gauche/droite", "gauche/droit"),
            *("izquierda/derecha", "izquierdo/derecho", "esquerda/direita", "esquerdo/direito"),
            *("sinistra/destra", "sinistro/destro", "vänster/höger", "venstre/højre", "venstre/høyre", "vasen/oikea"),
            *("lewo/prawo", "lewy/prawy", "lewa/prawa", "levo/pravo", "lijevo/desno", "лево/право", "левый/правый"),
            *("левая/правая", "налево/направо", "sol/sağ", "kiri/kanan", "左/右", "왼쪽/오른쪽", "يسار/يمين"),
        ),
        LEFT | RIGHT,
    ),
    Direction(
        "say a sense of rotation",
        _FLIPS,
        ("cw/ccw", "cw/acw", "levo/dextro", "laevo/dextro"),
        frozenset({"clockwise", "anticlockwise", "counterclockwise"}),
    ),
    Direction(
        "say rising and falling",
        _FLIPS,
        (
            *("ascending/descending", "rising/falling", "increasing/decreasing", "waxing/waning", "uptrend/downtrend"),
            *("bullish/bearish", "uphill/downhill", "upslope/downslope"),
        ),
    ),
    Direction(
        "say whether an image is mirrored",
        _FLIPS,
        (),
        frozenset({"mirrored", "unmirrored", "flipped", "unflipped"}),
    ),
    Direction(
        "say up and down",
        ("vertical", "quarter"),
        (
            *("up/down", "upward/downward", "upwards/downwards", "top/bottom", "above/below"),
            *("upper/lower", "upright/inverted", "upright/rotated", "upright/reversed", "north/south"),
            *("oben/unten", "haut/bas", "arriba/abajo", "cima/baixo", "su/giù", "上/下", "вверх/вниз", "atas/bawah"),
        ),
        frozenset({"upsidedown"}),
    ),
)
LETTERS_OF_SIDES = ("l/r", "s/z")
"""Letters for left and right if two names differ in nothing else, such as `hand_l` and `hand_r`."""
OTHER_RIGHT = frozenset({"whale", "angle", "angled", "triangle", "triangled", "answer", "way"})
"""Words after which a `right` before them is no side, as in `right whale`."""
CORRECTNESS = frozenset({"wrong", "incorrect", "false", "correct", "ok", "error"})
"""Words of other classes that show that `right` means correct."""

NUMBER_WORDS = frozenset({"zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"})
PRINTED = frozenset(
    {
        *("letter", "char", "character", "glyph", "alphabet", "asl", "digit", "number", "numeral", "sign", "speed"),
        *("limit", "kmh", "km", "mph", "kph", "upper", "lower", "uppercase", "lowercase", "capital"),
    }
)
"""Words beside a letter or a number that show that the image shows that character."""
ALIKE: dict[Move, frozenset[str]] = {
    "horizontal": frozenset("018ahimotuvwxyAHIMOTUVWXY+-=*.:|^_"),
    "vertical": frozenset("0138BCDEHIKOXcolx+-=*:|"),
    "quarter": frozenset("01oOxX+*."),
}
"""Characters that look about the same afterwards. (Classes 0 and 1 mostly mean no and yes, not digits.)"""
