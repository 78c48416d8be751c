#!/usr/bin/env bash
# tyro 1.0.17: a field `Literal["none", "horizontal"] | None` makes a flag for which both `none` and `None` are valid,
# and they mean different things: the string and the absence of a value. `--flip None`, typed by somebody who means
# "no flip", silently gives the default. The help prints both, side by side.
#
# Seen: `--flip none` gives 'none', `--flip None` gives None, and no message tells them apart.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet tyro==1.0.17
cd "$work" && "$work/venv/bin/python" - <<'PY'
from dataclasses import dataclass
from typing import Literal

import tyro


@dataclass
class Settings:
    flip: Literal["none", "horizontal"] | None = None


found = {given: tyro.cli(Settings, args=["--flip", given]).flip for given in ("none", "None", "horizontal")}
print(tyro.__version__, found)
assert found == {"none": "none", "None": None, "horizontal": "horizontal"}, "the behaviour has changed"
print("as described")
PY
