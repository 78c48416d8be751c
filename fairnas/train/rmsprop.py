"""RMSProp as TensorFlow computes it, with which MnasNet was trained (paper 4.1 b).

Three things differ from `torch.optim.RMSprop`: epsilon is inside the square root, mean squares begin at one, and
momentum sums steps that are already multiplied by the learning rate of their time. With epsilon 0.001, as used here,
and small gradients, the first difference alone changes the length of a step by a large factor.
"""

# Foreach operations, one call for all tensors, as in torch's optimisers: hundreds of small calls would stall a GPU.
# pyright: reportPrivateImportUsage=false

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn


class RMSProp(torch.optim.Optimizer):
    """Steps by gradients divided by their root mean square, with momentum.

    With gradient g, mean square s and momentum m of a parameter w: g + weight_decay * w -> g;
    decay * s + (1 - decay) * g^2 -> s; momentum * m + lr * g / sqrt(s + epsilon) -> m; w - m -> w.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter] | Iterable[dict[str, Any]],
        lr: float,
        *,
        decay: float = 0.9,
        momentum: float = 0.9,
        epsilon: float = 1e-3,
        weight_decay: float = 0.0,
    ) -> None:
        """Prepare the state of every parameter.

        Args:
            parameters: parameters, or groups with `params` and settings of their own.
            lr: learning rate.
            decay: decay of the mean square.
            momentum: momentum of the steps.
            epsilon: added to the mean square.
            weight_decay: L2.
        """
        settings = {"lr": lr, "decay": decay, "momentum": momentum, "epsilon": epsilon, "weight_decay": weight_decay}
        super().__init__(parameters, settings)
        for group in self.param_groups:
            for parameter in group["params"]:
                self.state[parameter]["square"] = torch.ones_like(parameter, requires_grad=False)
                self.state[parameter]["momentum"] = torch.zeros_like(parameter, requires_grad=False)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Update every parameter that has a gradient."""
        assert closure is None, "gradients are there already"
        for group in self.param_groups:
            trained = [parameter for parameter in group["params"] if parameter.grad is not None]
            if trained:
                self._update(trained, [parameter.grad for parameter in trained], group)

    def _update(self, weights: list[Tensor], gradients: list[Tensor], group: dict[str, Any]) -> None:
        squares, momenta = ([self.state[weight][name] for weight in weights] for name in ("square", "momentum"))
        if group["weight_decay"]:
            gradients = list(torch._foreach_add(gradients, weights, alpha=group["weight_decay"]))
        torch._foreach_mul_(squares, group["decay"])
        torch._foreach_addcmul_(squares, gradients, gradients, value=1 - group["decay"])
        roots = torch._foreach_add(squares, group["epsilon"])
        torch._foreach_sqrt_(roots)
        torch._foreach_mul_(momenta, group["momentum"])
        torch._foreach_addcdiv_(momenta, gradients, roots, value=group["lr"])
        torch._foreach_sub_(weights, momenta)
