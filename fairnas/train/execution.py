"""Choice of the executor of a training, with the reason."""

from dataclasses import dataclass

import torch

from fairnas.config import Resources, TrainConfig
from fairnas.errors import ConfigError
from fairnas.nets.memory import activation_table
from fairnas.space import SearchSpace
from fairnas.train.executors import Executor, Lockstep, RecordedLockstep, Sequential
from fairnas.train.process_group import Group
from fairnas.train.strategies import strategy_facts

SHARE_OF_MEMORY = 0.8
"""Share of the free memory of a GPU that activations may take; the rest is for weights, workspaces and fragmentation.
"""
RECORDED_SHARE = 0.6
"""Share if steps are recorded: a CUDA graph keeps its memory between steps, when images and the scoring of networks
need memory as well.
"""


@dataclass(frozen=True)
class Execution:
    """Executor, and a line with the reason for its choice."""

    executor: Executor
    reason: str


def choose_execution(
    space: SearchSpace, config: TrainConfig, resources: Resources, device: torch.device, group: Group
) -> Execution:
    """Choose the executor that the resources name, or the fastest that fits.

    Args:
        space: resolved for the data, because memory depends on the size of its images.
        config: strategy, which determines the number of paths in a step; batch size and precision, which determine
            memory.
        resources: the user's settings.
        device: device of the training. On a GPU, the choice depends on its free memory now.
        group: the processes that share paths and images.

    Raises:
        ConfigError: if the named executor cannot run the strategy.
    """
    strategy = strategy_facts(config, space.choices)
    together = strategy.passes_together
    static = strategy.fairness == "strict" and set(space.choices) == {together} and group.path_processes == 1
    wants_lockstep = _wants_lockstep(config, resources, together, static, device)
    records = resources.compile == "on" or (resources.compile == "auto" and device.type == "cuda" and static)

    def lockstep(save_memory: bool, reason: str) -> Execution:
        does = f"{together} paths layer by layer, {reason}"
        if save_memory:
            executor = Lockstep(config.precision, save_memory=True)
            return Execution(executor, f"lockstep, insides of blocks computed twice: {does}")
        if records:
            return Execution(RecordedLockstep(config.precision), f"lockstep, as one CUDA graph: {does}")
        return Execution(Lockstep(config.precision), f"lockstep: {does}")

    if wants_lockstep:
        whole, lean = _lockstep_memory(space, config, group, together, static)
        needed = lean if resources.save_memory else whole
        return lockstep(resources.save_memory, f"as the settings say; activations take about {_gigabytes(needed)}")
    one_by_one = Sequential(config.precision)
    if resources.executor == "sequential":
        return Execution(one_by_one, "sequential: one path after another, as the settings say")
    if together == 1:
        return Execution(one_by_one, f"sequential: '{config.strategy}' trains one path at a time")
    if device.type != "cuda":
        return Execution(one_by_one, "sequential: one path after another, which is as fast as lockstep on a CPU")
    free = _free_memory(device)
    whole, lean = _lockstep_memory(space, config, group, together, static)
    room = free * (RECORDED_SHARE if records else SHARE_OF_MEMORY), free * SHARE_OF_MEMORY
    for save_memory, needed, given in ((False, whole, room[0]), (True, lean, room[1])):
        if needed <= given:
            return lockstep(save_memory, f"activations take about {_gigabytes(needed)} of {_gigabytes(given)}")
    return Execution(
        one_by_one, f"sequential: lockstep would take {_gigabytes(lean)}, and {_gigabytes(room[1])} are at hand"
    )


def _lockstep_memory(
    space: SearchSpace, config: TrainConfig, group: Group, together: int, static: bool
) -> tuple[float, float]:
    """Bytes of activations in lockstep, and bytes if the insides of blocks are recomputed.

    Counting takes three seconds in a new process, so call this only if lockstep is possible.
    """
    table = activation_table(space)
    images = config.batch_size // group.image_processes
    scale = images * (1 if config.precision == "float32" else 0.5)
    own = -(-together // group.path_processes)  # paths of the process with the most paths
    return scale * (table.of_all_blocks if static else table.of_paths(own)), scale * table.of_hand_overs(own)


def _free_memory(device: torch.device) -> int:
    """Unused bytes of a GPU, including those that torch keeps from an earlier training for reuse.

    Memory of a CUDA graph that still exists counts as unused between its steps, although nothing else can use it; no
    graph exists when this is called.
    """
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + kept


def _wants_lockstep(
    config: TrainConfig, resources: Resources, together: int, static: bool, device: torch.device
) -> bool:
    """True if the resources request lockstep. Raises `ConfigError` if it is impossible or contradictory."""
    wants = [
        text
        for text, asked in (
            ("resources.executor = 'lockstep'", resources.executor == "lockstep"),
            ("resources.save_memory", resources.save_memory),
            ("resources.compile = 'on'", resources.compile == "on"),
        )
        if asked
    ]
    if wants and together == 1:
        raise ConfigError(
            f"{wants[0]} needs several paths on one mini-batch, and '{config.strategy}' trains one at a time; "
            "leave it out, or use strategy 'strict'"
        )
    if resources.executor == "sequential" and wants:
        raise ConfigError(f"{wants[0]} is for the lockstep executor, but resources.executor is 'sequential'; drop one")
    if resources.compile == "on" and not static:
        raise ConfigError(
            "resources.compile = 'on' needs a step that runs every block once: strategy 'strict', equally many choices "
            "in every layer, and resources.path_processes = 1"
        )
    if resources.compile == "on" and resources.save_memory:
        raise ConfigError("resources.save_memory works without a CUDA graph only; drop it or resources.compile = 'on'")
    if resources.compile == "on" and device.type != "cuda":
        raise ConfigError(
            f"resources.compile = 'on' records a CUDA graph, but the device is '{device}'; leave it out, or give "
            "resources.device = 'cuda' where there is a GPU"
        )
    return bool(wants)


def _gigabytes(count: float) -> str:
    return f"{count / 1e9:.2g} GB" if count < 1e11 else f"{count / 1e9:,.0f} GB"
