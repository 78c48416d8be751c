"""A search killed in any generation, before or after its scores are on the disk, ends as the undisturbed one."""

import subprocess
import sys

import pytest

from fairnas.search import SEARCHERS

GENERATIONS = 6

PROGRAM = """
import os, signal, sys
from pathlib import Path
from fairnas.config import SearchConfig
from fairnas.search import Archive, run_search
from fairnas.space import get_space
from tests.search.conftest import World
import fairnas.search.controller  # torch, once for all children

folder, name = Path(sys.argv[1]), sys.argv[2]
GENERATIONS = int(sys.argv[3])


def searched(path, kill_in=None, scored=False):
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


undisturbed, archived, evaluated = searched(folder / "undisturbed.sqlite")
for scored in (False, True):
    for kill_in in range(1, GENERATIONS + 1):
        path = folder / f"{name}-{kill_in}-{scored}.sqlite"
        child = os.fork()
        if child == 0:
            searched(path, kill_in, scored)
            os._exit(1)  # it should not have lived
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, status
        result, candidates, again = searched(path)
        assert result == undisturbed, (kill_in, scored)
        assert candidates == archived
        done = sum(candidate.generation < kill_in - (not scored) for candidate in archived)
        assert again == evaluated[done:], "a network was scored twice"
print("ok")
"""


@pytest.mark.parametrize("name", SEARCHERS)
def test_killed_in_any_generation_it_ends_as_the_undisturbed_one(tmp_path, name):
    command = [sys.executable, "-W", "error", "-c", PROGRAM, str(tmp_path), name, str(GENERATIONS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "ok\n"
