"""Building blocks of the UltraFace backbones and heads.

Sub-module names and orders are those of the published checkpoints' state dicts.
"""

# Tested by tests/family/nets/test_ultraface.py.

from __future__ import annotations

import torch
from torch import nn


def conv_bn(in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
    """3x3 convolution, BatchNorm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


def conv_dw(in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
    """Depthwise 3x3 then pointwise 1x1, each with BatchNorm and ReLU (MobileNet v1)."""
    return nn.Sequential(
        nn.Conv2d(in_channels, in_channels, 3, stride, 1, groups=in_channels, bias=False),
        nn.BatchNorm2d(in_channels),
        nn.ReLU(inplace=True),
        nn.Conv2d(in_channels, out_channels, 1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


def separable_conv(in_channels: int, out_channels: int, stride: int = 1) -> nn.Sequential:
    """Depthwise 3x3, ReLU, pointwise 1x1; with biases, without BatchNorm (heads and extra)."""
    return nn.Sequential(
        nn.Conv2d(in_channels, in_channels, 3, stride, 1, groups=in_channels),
        nn.ReLU(),
        nn.Conv2d(in_channels, out_channels, 1),
    )


class BasicConv(nn.Module):
    """Convolution without bias, BatchNorm, and a ReLU on request."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, dilation: int = 1, relu: bool = True
    ) -> None:
        super().__init__()
        padding = dilation * (kernel // 2)
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel, padding=padding, dilation=dilation, bias=False
        )
        self.bn = nn.BatchNorm2d(out_channels, eps=1e-5, momentum=0.01)
        self.relu = nn.ReLU(inplace=True) if relu else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in_channels, H, W) to (N, out_channels, H, W)."""
        x = self.bn(self.conv(x))
        return x if self.relu is None else self.relu(x)


class BasicRFB(nn.Module):
    """Receptive field block (Liu et al. 2018): three branches of growing dilation, and a shortcut.

    The branches are concatenated, mixed by a 1x1 convolution and added to the shortcut.
    """

    def __init__(self, in_channels: int, out_channels: int, map_reduce: int = 8) -> None:
        super().__init__()
        narrow = in_channels // map_reduce
        wide, middle = 2 * narrow, narrow // 2 * 3
        self.branch0 = nn.Sequential(
            BasicConv(in_channels, narrow, 1, relu=False),
            BasicConv(narrow, wide, 3),
            BasicConv(wide, wide, 3, dilation=2, relu=False),
        )
        self.branch1 = nn.Sequential(
            BasicConv(in_channels, narrow, 1, relu=False),
            BasicConv(narrow, wide, 3),
            BasicConv(wide, wide, 3, dilation=3, relu=False),
        )
        self.branch2 = nn.Sequential(
            BasicConv(in_channels, narrow, 1, relu=False),
            BasicConv(narrow, middle, 3),
            BasicConv(middle, wide, 3),
            BasicConv(wide, wide, 3, dilation=5, relu=False),
        )
        self.ConvLinear = BasicConv(3 * wide, out_channels, 1, relu=False)
        self.shortcut = BasicConv(in_channels, out_channels, 1, relu=False)
        self.relu = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in_channels, H, W) to (N, out_channels, H, W)."""
        branches = torch.cat([self.branch0(x), self.branch1(x), self.branch2(x)], dim=1)
        out: torch.Tensor = self.relu(self.ConvLinear(branches) + self.shortcut(x))
        return out
