"""The UltraFace detector: a narrow MobileNet-style backbone with four SSD heads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import nn

from ultraface_deploy.family.nets.blocks import BasicRFB, conv_bn, conv_dw, separable_conv
from ultraface_deploy.family.spec import AnchorSpec, Architecture

# (in, out, stride) of the depthwise-separable blocks 1 to 12; block 0 is a plain convolution.
_BLOCKS = (
    (16, 32, 1),
    (32, 32, 2),
    (32, 32, 1),
    (32, 64, 2),
    (64, 64, 1),
    (64, 64, 1),
    (64, 64, 1),
    (64, 128, 2),
    (128, 128, 1),
    (128, 128, 1),
    (128, 256, 2),
    (256, 256, 1),
)
_RFB_BLOCK = 7
# The first three heads read what these blocks of the backbone emit; the fourth reads the extra.
_SOURCE_BLOCKS = (7, 10, 12)
_SOURCE_CHANNELS = (64, 128, 256, 256)


class UltraFace(nn.Module):
    """Slim or RFB network for any input size from 64x64 up.

    Parameter names are those of the published checkpoints: `base_net`, `extras`,
    `classification_headers`, `regression_headers`.
    """

    def __init__(
        self,
        architecture: Architecture = "slim",
        num_classes: int = 2,
        landmarks: int = 0,
        channels: int = 3,
    ) -> None:
        super().__init__()
        self.architecture = architecture
        self.num_classes = num_classes
        anchors_per_cell = [len(sides) for sides in AnchorSpec().min_boxes]
        self.landmarks = landmarks
        self.base_net = _backbone(architecture, channels)
        self.extras = nn.ModuleList(
            [
                nn.Sequential(
                    nn.Conv2d(256, 64, 1), nn.ReLU(), separable_conv(64, 256, stride=2), nn.ReLU()
                )
            ]
        )
        self.classification_headers = _headers([k * num_classes for k in anchors_per_cell])
        self.regression_headers = _headers([k * 4 for k in anchors_per_cell])
        if landmarks:
            self.landmark_headers = _headers([k * 2 * landmarks for k in anchors_per_cell])

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return class logits (B, N, num_classes) and box offsets (B, N, 4).

        Args:
            x: (B, channels, H, W) float32, normalised; see `ModelSpec`.
        """
        return self.predict(self.sources(x))

    def predict(self, sources: Iterable[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return class logits and box offsets as `forward` does, from the four feature maps."""
        logits, offsets = [], []
        heads = zip(self.classification_headers, self.regression_headers, strict=True)
        for features, (classify, regress) in zip(sources, heads, strict=True):
            logits.append(_per_anchor(classify(features), self.num_classes))
            offsets.append(_per_anchor(regress(features), 4))
        return torch.cat(logits, dim=1), torch.cat(offsets, dim=1)

    def with_landmarks(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return what `forward` does, and landmark offsets (B, N, 2 * landmarks)."""
        sources = list(self.sources(x))
        points = [
            _per_anchor(head(features), 2 * self.landmarks)
            for features, head in zip(sources, self.landmark_headers, strict=True)
        ]
        return (*self.predict(sources), torch.cat(points, dim=1))

    def sources(self, x: torch.Tensor) -> Iterator[torch.Tensor]:
        """Yield the four feature maps that the heads read, at strides 8, 16, 32 and 64."""
        for index, block in enumerate(self.base_net):
            x = block(x)
            if index in _SOURCE_BLOCKS:
                yield x
        yield self.extras[0](x)


def _backbone(architecture: Architecture, channels: int) -> nn.Sequential:
    blocks: list[nn.Module] = [conv_bn(channels, 16, 2)]
    blocks += [conv_dw(*block) for block in _BLOCKS]
    if architecture == "rfb":
        blocks[_RFB_BLOCK] = BasicRFB(64, 64)
    return nn.Sequential(*blocks)


def _headers(out_channels: list[int]) -> nn.ModuleList:
    *separable, last = zip(_SOURCE_CHANNELS, out_channels, strict=True)
    return nn.ModuleList(
        [separable_conv(*channels) for channels in separable] + [nn.Conv2d(*last, 3, padding=1)]
    )


def _per_anchor(maps: torch.Tensor, width: int) -> torch.Tensor:
    """(B, k * width, H, W) to (B, H * W * k, width)."""
    return maps.permute(0, 2, 3, 1).reshape(maps.shape[0], -1, width)
