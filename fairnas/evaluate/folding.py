"""Modules in inference form: copies that share no memory with the originals.

They are assembled part by part: `copy.deepcopy` of a block takes several times as long as folding it, because it
also copies what folding replaces, and the many dictionaries of every module.
"""

import copy

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from fairnas.evaluate.normalised import NormalisedConvolution
from fairnas.kernels.batch_norm import ceiling_of
from fairnas.nets import batch_norms


def folded(module: nn.Module) -> nn.Module:
    """Copy in eval mode in which every convolution followed by BN is one convolution."""
    return _copied(module, fold=True)


def normalised_by_batch(module: nn.Module) -> nn.Module:
    """Copy in eval mode whose BN uses the statistics of each batch, or given ones (`normalised.py`)."""
    copied = _copied(module, fold=False)
    assert not batch_norms(copied), "every BN follows a convolution"
    return copied


def _copied(module: nn.Module, fold: bool) -> nn.Module:
    """Copy of a module; `fold` is True if BN has running statistics, which can be folded."""
    twin = _bare(module)
    for name, weight in module._parameters.items():
        twin.register_parameter(name, None if weight is None else _fixed(weight.detach().clone()))
    for name, buffer in module._buffers.items():
        persistent = name not in module._non_persistent_buffers_set
        twin.register_buffer(name, None if buffer is None else buffer.detach().clone(), persistent)
    together = _together(module)
    absorbed = {id(part) for _, *others in together.values() for part in (others if not fold else others[:1])}
    for name, part in module._modules.items():
        if name in together:
            conv, norm, act = together[name]
            twin._modules[name] = _one_convolution(conv, norm) if fold else NormalisedConvolution(conv, norm, act)
        elif id(part) in absorbed and part is not None:
            twin._modules[name] = nn.Identity().eval()
        else:
            twin._modules[name] = None if part is None else _copied(part, fold)
    return twin


def _together(module: nn.Module) -> dict[str, tuple[nn.Conv2d, nn.BatchNorm2d, nn.Module | None]]:
    """Convolutions followed by BN, with the BN and, if the fast passes include it, the activation; by name."""
    if not isinstance(module, nn.Sequential):
        return {}
    parts = list(module._modules.items())
    found = {}
    for number, (name, first) in enumerate(parts[:-1]):
        second = parts[number + 1][1]
        if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
            third = parts[number + 2][1] if number + 2 < len(parts) else None
            found[name] = first, second, third if third is not None and ceiling_of(third) is not None else None
    return found


def _bare(module: nn.Module) -> nn.Module:
    """Module of the same kind and settings in eval mode, without weights, children and hooks."""
    twin = type(module).__new__(type(module))
    nn.Module.__init__(twin)
    own = vars(twin)
    own.update({name: copy.deepcopy(value) for name, value in vars(module).items() if name not in own})
    twin.training = False
    return twin


def _one_convolution(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    """Single convolution equal to convolution and BN."""
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
