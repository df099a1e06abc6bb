"""How Caffe's layers change the extent of a blob."""

from __future__ import annotations


def convolved_size(size: int, pad: int, kernel: int, stride: int, dilation: int) -> int:
    """Extent after a convolution: rounded down."""
    return (size + 2 * pad - dilation * (kernel - 1) - 1) // stride + 1


def pooled_size(size: int, pad: int, kernel: int, stride: int) -> int:
    """Extent after a pooling: rounded up, but no window starts in the far padding."""
    pooled = -(-(size + 2 * pad - kernel) // stride) + 1
    return pooled - 1 if pad and (pooled - 1) * stride >= size + pad else pooled
