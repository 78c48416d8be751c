"""`fairnas doctor`: versions, device, missing parts, and the commands that help."""

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairnas.cli.lists import ListArguments
from fairnas.cli.output import print_json, print_table
from fairnas.cli.parsing import parse
from fairnas.directory_lock import has_locks
from fairnas.versions import PACKAGES, version_of


@dataclass(frozen=True)
class DoctorVerb(ListArguments):
    """Show versions and device, and test what a run needs.

    Example:
        fairnas doctor
    """

    data: Path = Path("data")
    """Folder in which to look for cifar10 and imagenet."""


def main(arguments: Sequence[str]) -> None:
    """Parse, examine, print."""
    given = parse(DoctorVerb, arguments, "doctor")
    result = examine(given.data)
    if given.json:
        print_json(result)
        return
    print_table(("what", "found"), [[name, str(value)] for name, value in result["found"].items()])
    print_table(("package", "version"), [[name, version or "missing"] for name, version in result["packages"].items()])
    for problem in result["problems"]:
        print(f"problem   {problem['what']}\n  mend    {problem['mend']}")
    if not result["problems"]:
        print("Nothing is missing.")


def examine(data: Path) -> dict[str, Any]:
    """Return versions, device and data as found, and problems with their remedies."""
    packages = {name: version_of(name) for name in PACKAGES}
    problems = [
        {"what": f"the package {name} is missing", "mend": f"pip install {name}"}
        for name, version in packages.items()
        if version is None
    ]
    if not has_locks():
        what = f"{platform.system()} lacks the file locks that runs are held with; exported networks can be used"
        problems.append({"what": what, "mend": "use Linux or macOS; on Windows, WSL"})
    found: dict[str, Any] = {
        "fairnas": version_of("fairnas") or "not installed",
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
    }
    if packages["torch"]:
        import torch

        has_gpu = torch.cuda.is_available()
        found["device"] = torch.cuda.get_device_name(0) if has_gpu else "CPU"
        found["threads"] = torch.get_num_threads()
        if not has_gpu and torch.version.cuda and Path("/dev/nvidia0").exists():
            mend = "update the NVIDIA driver, or install the torch build for the one you have"
            problems.append(
                {"what": f"there is a GPU, but torch (CUDA {torch.version.cuda}) cannot use it", "mend": mend}
            )
    for name, marks in (("cifar10", ("cifar-10-batches-bin", "train")), ("imagenet", ("train",))):
        there = [data / name / mark for mark in marks if (data / name / mark).is_dir()]
        found[name] = str(there[0].parent) if there else f"not in {data}/ (only the {name} recipes need it)"
    return {"found": found, "packages": packages, "problems": problems}
