"""What is deployed: the network with its softmax, and the box decoding on request."""

# Tested by tests/family/nets/test_ultraface.py.

from __future__ import annotations

import torch
from torch import nn

from ultraface_deploy.family.anchors import make_anchors
from ultraface_deploy.family.nets.ultraface import UltraFace
from ultraface_deploy.family.spec import ModelSpec


class RawHead(nn.Module):
    """Scores (B, N, C) after softmax, undecoded offsets (B, N, 4) and, if any, of landmarks."""

    def __init__(self, net: UltraFace) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """(B, channels, H, W) to scores and offsets."""
        logits, *offsets = self.net.with_landmarks(x) if self.net.landmarks else self.net(x)
        return torch.softmax(logits, dim=2), *offsets


class DecodedHead(nn.Module):
    """Scores (B, N, C) after softmax and boxes (B, N, 4) as corners in 0..1; landmarks too."""

    anchors: torch.Tensor

    def __init__(self, net: UltraFace, spec: ModelSpec) -> None:
        super().__init__()
        self.raw = RawHead(net)
        self.spec = spec
        self.register_buffer("anchors", torch.from_numpy(make_anchors(spec).copy()))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """(B, channels, H, W) to scores and corners; the formulas are those of `family.boxes`."""
        scores, offsets, *points = self.raw(x)
        coding, anchors = self.spec.anchors, self.anchors
        centers = offsets[..., :2] * coding.center_variance * anchors[:, 2:] + anchors[:, :2]
        halves = torch.exp(offsets[..., 2:] * coding.size_variance) * anchors[:, 2:] * 0.5
        decoded = [torch.cat([centers - halves, centers + halves], dim=2)]
        for each in points:
            scale = (anchors[:, 2:] * coding.center_variance).repeat(1, self.spec.landmarks)
            decoded.append(each * scale + anchors[:, :2].repeat(1, self.spec.landmarks))
        return scores, *decoded


def deployed(net: UltraFace, spec: ModelSpec) -> nn.Module:
    """Return the network in evaluation mode with the head that `spec` asks for.

    Where the network shall end at its convolutions, the rest of the raw head stands here: it is
    what such an artifact is compared with.
    """
    head = DecodedHead(net, spec) if spec.head == "decoded" else RawHead(net)
    return head.eval()
