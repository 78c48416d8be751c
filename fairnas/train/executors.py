"""Executors: orders of the computations of a supernet step. None of them changes the result.

`Sequential` runs one path after another and holds the activations of one: the memory of a single network.
`Lockstep` runs all paths layer by layer and holds the activations of all. Under strict fairness with equally many
choices in every layer, each block then runs exactly once per step, and only the assignment of paths to blocks changes:
a static graph, which `RecordedLockstep` records once for the whole training.

The stem sees the same images on every path. It runs once, and its BN statistics change as in one run per path.
"""

import contextlib
import functools
import itertools
from collections.abc import Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from fairnas.config import Precision
from fairnas.nets import Supernet, batch_norms
from fairnas.space import Genome
from fairnas.train.cuda_graph import Capture, GraphedCallable, capture_graph


class Executor(Protocol):
    """Computation of the gradients of some paths on one mini-batch."""

    name: str

    def backward(
        self,
        supernet: Supernet,
        images: Tensor,
        labels: Tensor,
        paths: Sequence[Genome],
        class_weights: Tensor | None = None,
    ) -> Tensor:
        """Add the gradients of all paths to existing ones; return the sum of their losses, a scalar.

        Args:
            supernet: in training mode; BN statistics are updated once per path.
            images: (B, C, S, S), normalised.
            labels: (B,), class indices.
            paths: genomes.
            class_weights: see `loss_of`.
        """
        ...


class Sequential:
    """One path after another: the activations of one path in memory."""

    name: str = "sequential"

    def __init__(self, precision: Precision = "float32") -> None:
        self.precision: Precision = precision

    def backward(
        self,
        supernet: Supernet,
        images: Tensor,
        labels: Tensor,
        paths: Sequence[Genome],
        class_weights: Tensor | None = None,
    ) -> Tensor:
        """See `Executor`."""
        with arithmetic(self.precision, images.device):
            stem = stem_of_all(supernet, images, len(paths))
        features = stem.detach().requires_grad_()
        total = torch.zeros((), dtype=torch.promote_types(images.dtype, torch.float32), device=images.device)
        for genome in paths:
            with arithmetic(self.precision, images.device):
                loss = loss_of(supernet.after_stem(features, genome), labels, class_weights)
            loss.backward()  # the gradient at the stem's output is summed over the paths
            total += loss.detach()
        stem.backward(features.grad)
        return total


class Lockstep:
    """All paths layer by layer, one backward pass: the activations of all paths in memory.

    With `save_memory`, only inputs and outputs of blocks are kept, and their insides are recomputed in the backward
    pass (activation checkpointing); BN statistics are not updated a second time.
    """

    name: str = "lockstep"

    def __init__(self, precision: Precision = "float32", *, save_memory: bool = False) -> None:
        self.precision: Precision = precision
        self.save_memory = save_memory

    def backward(
        self,
        supernet: Supernet,
        images: Tensor,
        labels: Tensor,
        paths: Sequence[Genome],
        class_weights: Tensor | None = None,
    ) -> Tensor:
        """See `Executor`."""
        with arithmetic(self.precision, images.device):
            features = [stem_of_all(supernet, images, len(paths))] * len(paths)
            for layer, choices in enumerate(zip(*paths, strict=True)):
                features = [
                    self.run(supernet.block(layer, choice), each)
                    for choice, each in zip(choices, features, strict=True)
                ]
            total = sum_of([loss_of(supernet.head(each), labels, class_weights) for each in features])
        total.backward()
        return total.detach()

    def run(self, block: nn.Module, features: Tensor) -> Tensor:
        """Run one block, with its insides kept or recomputed."""
        if not self.save_memory:
            return block(features)
        contexts = lambda: (contextlib.nullcontext(), statistics_at_rest(block))  # noqa: E731
        return checkpoint(block, features, use_reentrant=False, preserve_rng_state=False, context_fn=contexts)


class RecordedLockstep:
    """Lockstep as one CUDA graph, in which the paths are data.

    The features of the paths form a stack in the order of the choices of the previous layer. A layer first permutes the
    stack into the order of its own choices, then runs choice 0 on the first entry, choice 1 on the second, ... So every
    step runs the same kernels on the same memory. Needs a strict step: every block on exactly one path.
    """

    name: str = "lockstep"

    def __init__(self, precision: Precision = "float32", *, record: Capture = capture_graph) -> None:
        self.precision: Precision = precision
        self._record: Capture = record
        self._repeated: GraphedCallable | None = None

    def backward(
        self,
        supernet: Supernet,
        images: Tensor,
        labels: Tensor,
        paths: Sequence[Genome],
        class_weights: Tensor | None = None,
    ) -> Tensor:
        """See `Executor`."""
        assert all(len(paths) == count for count in supernet.space.choices), "not a strict step of equal choices"
        orders = torch.tensor(stack_orders(paths))
        both = torch.stack([orders, orders.argsort(1)]).to(images.device, non_blocking=True)
        inputs = (images, labels, both, *(() if class_weights is None else (class_weights,)))
        if self._repeated is None or not self._repeated.fits(supernet, inputs):
            work = functools.partial(_static_passes, self.precision, supernet)
            self._repeated = GraphedCallable(work, supernet, inputs, self._record)
        return self._repeated.run(inputs)


def _static_passes(
    precision: Precision,
    supernet: Supernet,
    images: Tensor,
    labels: Tensor,
    orders: Tensor,
    class_weights: Tensor | None = None,
) -> Tensor:
    """Forward and backward pass of all paths; `orders` (2, L + 1, m) are those of the stack, and their inverses."""
    with arithmetic(precision, images.device):
        count = len(supernet.layers[0])  # pyright: ignore[reportArgumentType]
        features = [stem_of_all(supernet, images, count)] * count
        for layer in range(len(supernet.layers)):
            if layer > 0:
                features = reordered(features, orders[:, layer])
            features = [supernet.block(layer, choice)(each) for choice, each in enumerate(features)]
        features = reordered(features, orders[:, -1])  # the head's BN needs the paths in their order
        total = sum_of([loss_of(supernet.head(each), labels, class_weights) for each in features])
    total.backward()
    return total.detach()


def stack_orders(paths: Sequence[Genome]) -> list[list[int]]:
    """Positions in the previous layer's stack from which each layer takes its inputs, (L + 1, m).

    Entry c of row l is the choice that the path through block c of layer l took in layer l - 1; row 0 is unused. The
    last row gives the choice of path k in the last layer, which puts the stack into the order of the paths.
    """
    columns = list(zip(*paths, strict=True))
    rows = [list(range(len(paths)))]
    for before, column in itertools.pairwise(columns):
        rows.append([before[column.index(choice)] for choice in range(len(paths))])
    return [*rows, list(columns[-1])]


def reordered(features: Sequence[Tensor], order: Tensor) -> list[Tensor]:
    """Permute features by a copy: indices are data, so the recorded computation stays the same. Keeps channels_last.

    Args:
        features: m of equal shape, (B, C, H, W).
        order: (2, m): the source of each place, and the place of each source.
    """
    return list(_Reordered.apply(order, *features))  # pyright: ignore[reportArgumentType]


class _Reordered(torch.autograd.Function):
    """Permutation whose gradient is the inverse copy; that of torch's index_select would add, entry by entry."""

    @staticmethod
    def forward(ctx: FunctionCtx, order: Tensor, *features: Tensor) -> tuple[Tensor, ...]:
        ctx.save_for_backward(order)
        return _picked(features, order[0])

    @staticmethod
    @once_differentiable
    def backward(ctx, *grads: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        (order,) = ctx.saved_tensors
        return None, *_picked(grads, order[1])


def _picked(features: Sequence[Tensor], order: Tensor) -> tuple[Tensor, ...]:
    stack = torch.stack([each.permute(0, 2, 3, 1) for each in features]).index_select(0, order)
    return tuple(each.permute(0, 3, 1, 2) for each in stack.unbind())


def stem_of_all(supernet: Supernet, images: Tensor, count: int) -> Tensor:
    """Output of the stem for a mini-batch that `count` paths share; its BN is updated as in `count` runs."""
    norms = batch_norms(supernet.stem)
    usual = [norm.momentum for norm in norms]
    try:
        for norm, momentum in zip(norms, usual, strict=True):
            assert momentum is not None
            norm.momentum = 1 - (1 - momentum) ** count
        output = supernet.stem(images)
    finally:
        for norm, momentum in zip(norms, usual, strict=True):
            norm.momentum = momentum
    for norm in norms:
        _counter(norm).add_(count - 1)
    return output


@contextlib.contextmanager
def statistics_at_rest(module: nn.Module) -> Iterator[None]:
    """BN uses the batch as in training, without updating its running statistics."""
    norms = batch_norms(module)
    before = [(norm.momentum, _counter(norm).clone()) for norm in norms]
    for norm in norms:
        norm.momentum = 0.0  # not `track_running_stats`: autograd must see the same call as in the first pass
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, before, strict=True):
            norm.momentum = momentum
            _counter(norm).copy_(count)


def _counter(norm: nn.BatchNorm2d) -> Tensor:
    assert norm.num_batches_tracked is not None
    return norm.num_batches_tracked


def arithmetic(precision: Precision, device: torch.device) -> contextlib.AbstractContextManager[object]:
    """Context for the precision of convolutions."""
    if precision == "float32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16, cache_enabled=False)


def loss_of(logits: Tensor, labels: Tensor, class_weights: Tensor | None = None, *, smoothing: float = 0.0) -> Tensor:
    """Mean cross-entropy over the images, at least in single precision.

    Args:
        logits: (B, classes).
        labels: (B,), class indices.
        class_weights: (classes,), loss weight of the images of each class, 1 on average over the training images. The
            sum is divided by B and not, as in torch, by the sum of weights in the batch: so gradients are those of
            the weighted loss of all images, and halves of a batch average to the whole.
        smoothing: share of the target that is spread evenly over all classes. An image is weighted by its own class;
            in torch, weights would move its target towards classes with large weights.
    """
    exact = logits.to(torch.promote_types(logits.dtype, torch.float32))
    if class_weights is None:
        return functional.cross_entropy(exact, labels, label_smoothing=smoothing)
    losses = functional.cross_entropy(exact, labels, label_smoothing=smoothing, reduction="none")
    return (losses * class_weights[labels]).mean()


def sum_of(losses: Sequence[Tensor]) -> Tensor:
    """The sum of scalars."""
    return torch.stack(list(losses)).sum()
