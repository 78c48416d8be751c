"""A search killed in any generation, before or after its scores are on the disk, ends as the undisturbed one."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fairnas.search import SEARCHERS

GENERATIONS = 6

PROGRAM = """
import json, os, signal, sys
from pathlib import Path
from fairnas.config import SearchConfig
from fairnas.search import Archive, run_search
from fairnas.space import get_space
from tests.search.conftest import World
import fairnas.search.controller  # torch, once for all children

folder = Path(sys.argv[1])
names, killed_in, GENERATIONS = json.loads(sys.argv[2])


def searched(path, name, kill_in=None, scored=False):
    world = World(get_space("digits"))
    generation = 0

    def evaluate(genomes):
        nonlocal generation
        generation += 1
        if kill_in == generation and not scored:
            os.kill(os.getpid(), signal.SIGKILL)
        return world.evaluate(genomes)

    def progress(done, total, text):
        if kill_in == done and scored:
            os.kill(os.getpid(), signal.SIGKILL)

    config = SearchConfig(searcher=name, population=8, generations=GENERATIONS)
    with Archive(path, "s") as archive:
        result = run_search(world.space, config, evaluate, world.costs, archive, seed=5, on_progress=progress)
        return result, archive.candidates(), world.evaluated


for name in names:
    undisturbed, archived, evaluated = searched(folder / f"{name}.sqlite", name)
    for scored in (False, True):
        for kill_in in killed_in:
            path = folder / f"{name}-{kill_in}-{scored}.sqlite"
            child = os.fork()
            if child == 0:
                searched(path, name, kill_in, scored)
                os._exit(1)  # it should not have lived
            _, status = os.waitpid(child, 0)
            assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, status
            result, candidates, again = searched(path, name)
            assert result == undisturbed, (name, kill_in, scored)
            assert candidates == archived, (name, kill_in, scored)
            done = sum(candidate.generation < kill_in - (not scored) for candidate in archived)
            assert again == evaluated[done:], (name, kill_in, scored, "a network was scored twice")
print("ok")
"""


def require_same_end(folder: Path, names: list[str], killed_in: list[int]) -> None:
    given = json.dumps([names, killed_in, GENERATIONS])
    command = [sys.executable, "-W", "error", "-c", PROGRAM, str(folder), given]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "ok\n"


@pytest.mark.slow
def test_every_searcher_killed_in_a_generation_ends_as_the_undisturbed_one(tmp_path: Path) -> None:
    """In one process for all: importing torch takes seconds."""
    require_same_end(tmp_path, list(SEARCHERS), [1, 4])


@pytest.mark.slow
@pytest.mark.full
@pytest.mark.parametrize("name", SEARCHERS)
def test_killed_in_any_generation_it_ends_as_the_undisturbed_one(tmp_path: Path, name: str) -> None:
    require_same_end(tmp_path, [name], list(range(1, GENERATIONS + 1)))
