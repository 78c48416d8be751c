"""DARTS (Liu, Simonyan, Yang, 2019): softmax mixture of all blocks; weights and architecture learn in turn."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from fairnas.config import Precision, TrainConfig
from fairnas.train.all_reduce import PathShare
from fairnas.train.executors import arithmetic, loss_of
from fairnas.train.step import Batch, StepContext, StepResult, finish_step
from fairnas.train.strategies.alphas import Alphas, LearnsAlphas
from fairnas.train.strategies.strategy import StrategyEntry

SHARE, LR, BETAS, DECAY = 0.5, 3e-4, (0.5, 0.999), 1e-3  # settings of the architecture, as published
FINITE_DIFFERENCE = 0.01
"""Length of the step in weights for estimating the second-order term."""


class Darts(LearnsAlphas):
    """Layers are sums of all their blocks, weighted by the softmax of architecture parameters.

    A step first updates these by the loss on images that are never used for weights, then the weights. The second order
    takes the response of the weights into account: the loss is computed after one of their steps, and the effect of
    this step estimated by finite differences. On a chain each layer has its own parameters, and the architecture is the
    largest of every layer; the paper shares them between cells, and has a `none` operation. Weights use `train.lr`, as
    in all strategies.
    """

    def __init__(self, choices: tuple[int, ...], config: TrainConfig, seed: int, *, second_order: bool) -> None:
        ours = config.architecture
        self.choices, self.seed, self.second_order = choices, seed, second_order
        self.architecture_share = SHARE if ours.share is None else ours.share
        self.lr, self.warm_up = LR if ours.lr is None else ours.lr, ours.warm_up or 0.0

    def begin(self, context: StepContext) -> None:
        """Create the architecture parameters; choices start nearly equal."""
        device = next(context.supernet.parameters()).device
        self.alphas = Alphas(self.choices, self.seed, device, lr=self.lr, betas=BETAS, weight_decay=DECAY)

    def step(self, context: StepContext, batches: Sequence[Batch], step: int, total: int) -> StepResult:
        """Update the architecture, then the weights."""
        passes = 0
        if step >= self.warm_up * total:
            assert context.architecture_images is not None
            passes = self._teach_architecture(context, batches[0], context.architecture_images(step))
        context.optimizer.zero_grad(set_to_none=True)
        loss = self._loss(context, batches[0], [row.detach() for row in self.alphas.probabilities()])
        loss.backward()
        every_block = np.ones(sum(self.choices), dtype=np.int64)
        result = finish_step(context, loss.detach().double(), None, [PathShare(every_block, 1)])
        return result.with_architecture(passes, passes * len(every_block))

    def _loss(
        self, context: StepContext, batch: Batch, weights: Sequence[Tensor], precision: Precision | None = None
    ) -> Tensor:
        images, labels = batch
        with arithmetic(precision or context.config.precision, images.device):
            logits = context.supernet.weighted(images, [dict(enumerate(row)) for row in weights])
            return loss_of(logits, labels, context.class_weights)

    def _teach_architecture(self, context: StepContext, batch: Batch, held_out: Batch) -> int:
        """Update the architecture; return the number of backward passes."""

        def loss_on(images_and_labels: Batch, precision: Precision | None = None) -> Tensor:
            return self._loss(context, images_and_labels, self.alphas.probabilities(), precision)

        if not self.second_order:
            self.alphas.update(torch.autograd.grad(loss_on(held_out), self.alphas.layers))
            return 1
        weights = [weight for weight in context.supernet.parameters() if weight.requires_grad]
        losses = (lambda: loss_on(batch), lambda: loss_on(held_out), lambda: loss_on(batch, "float32"))
        direct, implicit = _unrolled(context, weights, self.alphas.layers, *losses)
        rate = context.optimizer.param_groups[0]["lr"]
        self.alphas.update([a - rate * b for a, b in zip(direct, implicit, strict=True)])
        return 4


def _unrolled(
    context: StepContext,
    weights: Sequence[Tensor],
    alphas: Sequence[Tensor],
    train_loss: Callable[[], Tensor],
    held_out_loss: Callable[[], Tensor],
    exact_train_loss: Callable[[], Tensor],
) -> tuple[list[Tensor], list[Tensor]]:
    """Gradients of the held-out loss after one step of the weights w' = w - xi (momentum v + grad + decay w).

    The two sides of the finite difference use `exact_train_loss`: they are so close that numbers of 16 bits, or
    convolutions with 10 bits (TF32), would leave little but rounding errors.

    Returns:
        Gradient with respect to alpha at w', and the mixed second derivative times the gradient with respect to w',
        which is to be multiplied by xi.
    """
    config, rate = context.config, context.optimizer.param_groups[0]["lr"]
    start = [weight.detach().clone() for weight in weights]
    gradients = torch.autograd.grad(train_loss(), weights)
    with torch.no_grad():
        for weight, gradient in zip(weights, gradients, strict=True):
            velocity = context.optimizer.state[weight].get("momentum_buffer", 0.0)
            weight -= rate * (config.momentum * velocity + gradient + config.weight_decay * weight)
    found = torch.autograd.grad(held_out_loss(), [*alphas, *weights])
    direct, towards = list(found[: len(alphas)]), found[len(alphas) :]
    length = FINITE_DIFFERENCE / torch.linalg.vector_norm(torch.stack([part.norm() for part in towards]))
    sides = []
    for sign in (1, -1):
        with torch.no_grad():
            for weight, begun, part in zip(weights, start, towards, strict=True):
                weight.copy_(begun + sign * length * part)
        cudnn = torch.backends.cudnn
        with cudnn.flags(cudnn.enabled, cudnn.benchmark, deterministic=cudnn.deterministic, allow_tf32=False):
            sides.append(torch.autograd.grad(exact_train_loss(), alphas))
    with torch.no_grad():
        for weight, begun in zip(weights, start, strict=True):
            weight.copy_(begun)
    return direct, [(plus - minus) / (2 * length) for plus, minus in zip(*sides, strict=True)]


_OPTIONS = ("architecture.share", "architecture.lr", "architecture.warm_up")
ENTRIES = {
    "darts": StrategyEntry(
        "softmax mixture of all blocks; architecture and weights learn in turn, on different images; first order",
        "DARTS, Liu et al. 2019",
        lambda choices, config, seed: Darts(choices, config, seed, second_order=False),
        _OPTIONS,
        statistics="batch",
        claims="DARTS",
    ),
    "darts_second_order": StrategyEntry(
        "as darts, but the architecture learns from the loss after a step of the weights",
        "DARTS, Liu et al. 2019, equations 6 to 8",
        lambda choices, config, seed: Darts(choices, config, seed, second_order=True),
        _OPTIONS,
        statistics="batch",
        claims="DARTS",
    ),
}
