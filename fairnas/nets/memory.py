"""Activation memory: what training keeps for the backward pass, counted on the meta device or measured."""

import contextlib
import functools
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import nn
from torch.autograd.graph import saved_tensors_hooks

from fairnas.nets.blocks import Head, make_block, make_stem
from fairnas.space import Genome, Layer, SearchSpace


@dataclass(frozen=True)
class ActivationTable:
    """Bytes per image, in single precision, that a backward pass needs, part by part."""

    stem: int
    blocks: tuple[tuple[int, ...], ...]
    head: int
    handed_on: tuple[int, ...]
    """Outputs of stem and layers: what remains if the insides of blocks are recomputed."""

    def of_path(self, genome: Genome) -> int:
        """Bytes of one path."""
        chosen = sum(layer[choice] for layer, choice in zip(self.blocks, genome, strict=True))
        return self.stem + chosen + self.head

    @property
    def of_largest_path(self) -> int:
        """Bytes of the largest path."""
        return self.stem + sum(map(max, self.blocks)) + self.head

    @property
    def of_all_blocks(self) -> int:
        """Bytes of a strict step in lockstep: every block once, and the head on every path."""
        paths = max(map(len, self.blocks))
        return self.stem + sum(map(sum, self.blocks)) + paths * self.head

    def of_paths(self, count: int) -> int:
        """Upper bound for `count` paths in lockstep: the stem once, and the largest path `count` times."""
        return self.stem + count * (self.of_largest_path - self.stem)

    def of_hand_overs(self, count: int) -> int:
        """Upper bound for `count` checkpointed paths: outputs of blocks, and the inside of the largest block."""
        return self.stem + count * (sum(self.handed_on) + self.head) + max(map(max, self.blocks))


@functools.lru_cache(maxsize=32)
def activation_table(space: SearchSpace) -> ActivationTable:
    """Count every block of a space once, on the meta device."""
    known: dict[tuple[Layer, int], tuple[tuple[int, ...], torch.Tensor]] = {}
    with torch.device("meta"):
        images = torch.empty(2, space.image_channels, space.image_size, space.image_size)
        stem, features = _kept(make_stem(space), images)
        handed_on, rows = [_bytes(features)], []
        for layer in space.layers:
            key = (layer, features.shape[-1])
            if key not in known:
                counted = [_kept(make_block(block, layer, space.activation), features) for block in layer.choices]
                known[key] = tuple(count for count, _ in counted), counted[0][1]
            row, features = known[key]
            rows.append(row)
            handed_on.append(_bytes(features))
        head, _ = _kept(Head(space), features)
    return ActivationTable(stem, tuple(rows), head, tuple(handed_on))


def _bytes(tensor: torch.Tensor) -> int:
    return tensor[0].numel() * tensor.element_size()


def _kept(module: nn.Module, inputs: torch.Tensor) -> tuple[int, torch.Tensor]:
    """Bytes per image that the module keeps besides its input and weights, and the module's output."""
    own = {id(tensor) for tensor in (*module.parameters(), *module.buffers())}
    seen: dict[int, torch.Tensor] = {}  # holds the tensors themselves, so that no id is used twice

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        if id(tensor) not in own and tensor.dim() > 1:
            seen[tensor.untyped_storage()._cdata] = tensor
        return tensor

    inputs = inputs.detach().requires_grad_()
    with saved_tensors_hooks(pack, lambda tensor: tensor):
        outputs = module.train()(inputs)
    seen.pop(inputs.untyped_storage()._cdata, None)
    return sum(_bytes(tensor) for tensor in seen.values()), outputs.detach()


def measured_peak(work: Callable[[], object], device: torch.device) -> int:
    """Peak of allocated bytes while `work` runs, beyond what was allocated before.

    On a GPU that is the allocator's own record; on the CPU every allocation of a tensor's memory is traced.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        work()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    activities = [torch.profiler.ProfilerActivity.CPU]
    with _quiet_stderr(), torch.profiler.profile(activities=activities, profile_memory=True) as profile:
        work()
    assert profile.profiler is not None
    traced = profile.profiler.kineto_results.events()  # pyright: ignore[reportOptionalMemberAccess]
    events = [event for event in traced if event.name() == "[memory]"]
    changes = sorted((event.start_ns(), event.nbytes()) for event in events)  # pyright: ignore[reportAttributeAccessIssue]
    now = peak = 0
    for _, change in changes:
        now += change
        peak = max(peak, now)
    return peak


@contextlib.contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Silence standard error: torch's tracer writes to it whatever its settings are."""
    sys.stderr.flush()
    usual = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(usual, 2)
        os.close(usual)
        os.close(nowhere)
