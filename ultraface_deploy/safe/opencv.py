"""OpenCV, or on a small board what stands in its place and says so where it is needed.

Reading and writing JPEG, resizing, finding and marking faces go without it; what else the package
does with pixels, videos and windows takes it from here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ultraface_deploy.errors import MissingDependency

__all__ = ["available", "cv2"]


class Missing:
    """Looks like the module `cv2`; whatever is taken from it raises."""

    class error(Exception):  # noqa: N801, N818 - OpenCV's name
        """For `except cv2.error`: never raised."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise MissingDependency(
            f"this install is without OpenCV, which {name} is part of: "
            "pip install 'opencv-python-headless<5'"
        )


if TYPE_CHECKING:
    import cv2
else:
    try:
        import cv2
    except ImportError:
        cv2 = Missing()


def available() -> bool:
    """Whether OpenCV is installed."""
    return not isinstance(cv2, Missing)
