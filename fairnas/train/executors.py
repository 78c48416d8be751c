"""Executors: in what order the blocks of a supernet step are computed. None changes what is computed.

`Sequential` takes one path after another and holds the activations of one: the memory of a single network.
`Lockstep` takes all paths layer by layer and holds the activations of all. Under strict fairness with equally many
choices in every layer, each block then runs exactly once per step and only the order in which the paths meet them
changes: a static graph, which `RecordedLockstep` records once for the whole training.

The stem sees the same images on every path. It runs once, and its BN moves as far as it would in as many runs.
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
    """Computes the gradients of some paths on one mini-batch."""

    name: str

    def backward(
        self,
        supernet: Supernet,
        images: Tensor,
        labels: Tensor,
        paths: Sequence[Genome],
        class_weights: Tensor | None = None,
    ) -> Tensor:
        """Add the gradients of all paths to those that are there; return the sum of their losses, a scalar.

        Args:
            supernet: in training mode; BN statistics move once per path.
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
            loss.backward()  # the gradient at the stem's output adds up over the paths
            total += loss.detach()
        stem.backward(features.grad)
        return total


class Lockstep:
    """All paths layer by layer, one backward pass: the activations of all paths in memory.

    With `save_memory`, only what blocks hand to each other is kept, and their insides are computed again on the way
    back (activation checkpointing); BN statistics don't move a second time.
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
        """One block, kept or to be computed again."""
        if not self.save_memory:
            return block(features)
        contexts = lambda: (contextlib.nullcontext(), statistics_at_rest(block))  # noqa: E731
        return checkpoint(block, features, use_reentrant=False, preserve_rng_state=False, context_fn=contexts)


class RecordedLockstep:
    """Lockstep as one CUDA graph, in which the paths are data.

    Paths travel as a stack in the order of the choices of the layer before; a layer first puts the stack into the
    order of its own choices, then runs choice 0 on the first entry, choice 1 on the second, ... So every step does the
    same on the same memory. Needs a strict step: every block on exactly one path.
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
    """Forward and backward of all paths; `orders` (2, L + 1, m) are those of the stack, and the way back."""
    with arithmetic(precision, images.device):
        count = len(supernet.layers[0])  # pyright: ignore[reportArgumentType]
        features = [stem_of_all(supernet, images, count)] * count
        for layer in range(len(supernet.layers)):
            if layer > 0:
                features = reordered(features, orders[:, layer])
            features = [supernet.block(layer, choice)(each) for choice, each in enumerate(features)]
        features = reordered(features, orders[:, -1])  # the head's BN meets the paths in their order
        total = sum_of([loss_of(supernet.head(each), labels, class_weights) for each in features])
    total.backward()
    return total.detach()


def stack_orders(paths: Sequence[Genome]) -> list[list[int]]:
    """Where each layer finds its inputs in the stack that the layer before left, (L + 1, m).

    Entry c of row l is the choice that the path through block c of layer l took in layer l - 1; row 0 is unused. The
    last row gives the choice of path k in the last layer, which puts the stack into the order of the paths.
    """
    columns = list(zip(*paths, strict=True))
    rows = [list(range(len(paths)))]
    for before, column in itertools.pairwise(columns):
        rows.append([before[column.index(choice)] for choice in range(len(paths))])
    return [*rows, list(columns[-1])]


def reordered(features: Sequence[Tensor], order: Tensor) -> list[Tensor]:
    """Features in another order, by a copy: indices are data, so the computation stays the same. Channels stay last.

    Args:
        features: m of equal shape, (B, C, H, W).
        order: (2, m): for each place whose features it gets, and for each of them which place.
    """
    return list(_Reordered.apply(order, *features))  # pyright: ignore[reportArgumentType]


class _Reordered(torch.autograd.Function):
    """Its gradient is the same copy back; that of torch's index_select would add, entry by entry."""

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
    """The stem's output for a mini-batch that `count` paths share; its BN moves as in `count` runs."""
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
    """BN normalises by the batch as in training, and its running statistics stay as they are."""
    norms = batch_norms(module)
    before = [(norm.momentum, _counter(norm).clone()) for norm in norms]
    for norm in norms:
        norm.momentum = 0.0  # not `track_running_stats`: autograd must see the same call as the first time
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
    """The precision of convolutions while this lasts."""
    if precision == "float32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16, cache_enabled=False)


def loss_of(logits: Tensor, labels: Tensor, class_weights: Tensor | None = None, *, smoothing: float = 0.0) -> Tensor:
    """Mean cross-entropy over the images, in single precision at least.

    Args:
        logits: (B, classes).
        labels: (B,), class indices.
        class_weights: (classes,), how much the loss of an image of each class counts, 1 on average over the training
            images. The sum is divided by B and not, as torch does, by the weights that happen to be in the batch: so
            gradients are those of the weighted loss of all images, and halves of a batch average to the whole.
        smoothing: share of the target that is spread evenly over all classes. An image counts by its own class, while
            torch's weights would move its target towards the classes with large ones.
    """
    exact = logits.to(torch.promote_types(logits.dtype, torch.float32))
    if class_weights is None:
        return functional.cross_entropy(exact, labels, label_smoothing=smoothing)
    losses = functional.cross_entropy(exact, labels, label_smoothing=smoothing, reduction="none")
    return (losses * class_weights[labels]).mean()


def sum_of(losses: Sequence[Tensor]) -> Tensor:
    """The sum of scalars."""
    return torch.stack(list(losses)).sum()
