"""Modules in inference form: copies that share nothing with what they are copied from.

They are put together part by part: `copy.deepcopy` of a block takes several times as long as folding it, because it
copies what folding replaces, and the many dictionaries that every module has.
"""

import copy
import itertools

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from fairnas.nets import batch_norms


def folded(module: nn.Module) -> nn.Module:
    """A copy in eval mode in which convolution and BN, wherever they follow each other, are one convolution."""
    return _copied(module, fold=True)


def normalised_by_batch(module: nn.Module) -> nn.Module:
    """A copy in eval mode whose BN uses the statistics of each batch."""
    copied = _copied(module, fold=False)
    for norm in batch_norms(copied):
        norm.track_running_stats = False
        norm.running_mean = norm.running_var = None
    return copied


def _copied(module: nn.Module, fold: bool) -> nn.Module:
    twin = _bare(module)
    for name, weight in module._parameters.items():
        twin.register_parameter(name, None if weight is None else _fixed(weight.detach().clone()))
    for name, buffer in module._buffers.items():
        persistent = name not in module._non_persistent_buffers_set
        twin.register_buffer(name, None if buffer is None else buffer.detach().clone(), persistent)
    folds = _pairs(module) if fold else {}
    for name, part in module._modules.items():
        if name in folds:
            twin._modules[name] = _one_convolution(*folds[name])
        elif any(part is norm for _, norm in folds.values()):
            twin._modules[name] = nn.Identity().eval()
        else:
            twin._modules[name] = None if part is None else _copied(part, fold)
    return twin


def _pairs(module: nn.Module) -> dict[str, tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """Convolutions that a BN follows, by the name of the convolution."""
    if not isinstance(module, nn.Sequential):
        return {}
    return {
        name: (first, second)
        for (name, first), (_, second) in itertools.pairwise(module._modules.items())
        if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d)
    }


def _bare(module: nn.Module) -> nn.Module:
    """A module of the same kind and settings in eval mode, without weights, parts and hooks."""
    twin = type(module).__new__(type(module))
    nn.Module.__init__(twin)
    own = vars(twin)
    own.update({name: copy.deepcopy(value) for name, value in vars(module).items() if name not in own})
    twin.training = False
    return twin


def _one_convolution(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    """A convolution that computes both."""
    assert norm.running_mean is not None, "only running statistics can be folded"
    assert norm.running_var is not None
    fused = _bare(conv)
    assert isinstance(fused, nn.Conv2d)
    with torch.no_grad():
        weight, bias = fuse_conv_bn_weights(
            conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
        )
    fused.weight, fused.bias = _fixed(weight), _fixed(bias)
    return fused


def _fixed(weight: Tensor) -> nn.Parameter:
    return nn.Parameter(weight.detach(), requires_grad=False)
