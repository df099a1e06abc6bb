"""BatchNorms that say what a network's activations are, before they learn from batches again."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from ultraface_deploy.train import processes
from ultraface_deploy.train.batches import Batch


@torch.no_grad()
def settle(net: nn.Module, batches: Iterable[Batch]) -> None:
    """Bring every BatchNorm's statistics to those of its input; what the network gives stays.

    Weights that were trained with frozen statistics have left them behind. In training a BatchNorm
    normalises by its batch, so there such a network, as the shipped ones are, gives something else
    at once, and learns from that. Each scale and shift takes up the difference.

    Args:
        net: in either mode; it is left in evaluation mode.
        batches: what the statistics are measured on.
    """
    net.eval()
    sums: dict[nn.BatchNorm2d, torch.Tensor] = {}

    def count(norm: nn.BatchNorm2d, given: tuple[torch.Tensor]) -> None:
        values = given[0].double()
        mean, square = values.mean((0, 2, 3)), values.square().mean((0, 2, 3))
        found = torch.stack([mean, square, torch.ones_like(mean)])
        sums[norm] = sums.get(norm, torch.zeros_like(found)) + found

    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    hooks = [norm.register_forward_pre_hook(count) for norm in norms]
    for batch in batches:
        net(batch.images)
    for hook in hooks:
        hook.remove()
    for norm, total in sums.items():
        mean, square = processes.joint_mean(total / total[2, 0])[:2]
        _restate(norm, mean, (square - mean.square()).clamp(min=0))


def _restate(norm: nn.BatchNorm2d, mean: torch.Tensor, variance: torch.Tensor) -> None:
    assert norm.running_mean is not None and norm.running_var is not None
    mean, variance = mean.to(norm.running_mean), variance.to(norm.running_var)
    before, after = (norm.running_var + norm.eps).sqrt(), (variance + norm.eps).sqrt()
    norm.bias.add_(norm.weight * (mean - norm.running_mean) / before)
    norm.weight.mul_(after / before)
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance)
