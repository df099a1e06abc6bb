"""The second member of the family: slim and RFB with five landmarks.

Source: github.com/biubug6/Face-Detector-1MB-with-landmark, data/config.py and detect.py.
"""

from __future__ import annotations

from typing import Any

from ultraface_deploy.family.spec import AnchorSpec

WITH_LANDMARKS: dict[str, Any] = {
    "mean": (104.0, 117.0, 123.0),
    "std": (1.0, 1.0, 1.0),
    "color": "bgr",
    "anchors": AnchorSpec(centers="stride", clip=False),
    "landmarks": 5,
}
"""What its networks are trained with, as fields of `ModelSpec`."""
