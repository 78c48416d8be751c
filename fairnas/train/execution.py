"""Which executor a training gets, and why."""

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
"""Of the free memory of a GPU, what activations may take; the rest is for weights, workspaces and gaps."""
RECORDED_SHARE = 0.6
"""The same where steps are recorded: a CUDA graph keeps its memory between steps, when images are put beside it and
networks are scored."""


@dataclass(frozen=True)
class Execution:
    """An executor, and a line that says why it was taken."""

    executor: Executor
    reason: str


def choose_execution(
    space: SearchSpace, config: TrainConfig, resources: Resources, device: torch.device, group: Group
) -> Execution:
    """The executor that the resources name, or the fastest that fits.

    Args:
        space: resolved for the data, because memory depends on the size of its images.
        config: its strategy says how many paths a step runs together; batch size and precision, how much memory.
        resources: what is asked for.
        device: where. On a GPU, what fits depends on its free memory now.
        group: the processes that share out paths and images.

    Raises:
        ConfigError: if they name one that cannot do what the strategy does.
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
    """Bytes that activations take in lockstep, and those if the insides of blocks are computed again.

    Counting them takes three seconds in a new process: only who may train in lockstep should ask.
    """
    table = activation_table(space)
    images = config.batch_size // group.image_processes
    scale = images * (1 if config.precision == "float32" else 0.5)
    own = -(-together // group.path_processes)  # paths of the process that has most
    return scale * (table.of_all_blocks if static else table.of_paths(own)), scale * table.of_hand_overs(own)


def _free_memory(device: torch.device) -> int:
    """Bytes of a GPU that nobody uses: those that torch keeps from an earlier training for the next are among them.

    So are those between the steps of a recorded one that still lives, which nobody else could use; none does by then.
    """
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + kept


def _wants_lockstep(
    config: TrainConfig, resources: Resources, together: int, static: bool, device: torch.device
) -> bool:
    """Whether the resources ask for lockstep. Raises `ConfigError` if that cannot be, or they contradict each other."""
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
