"""Training: augmentation, matching, losses, distillation and the loop.

Importing this package raises `MissingDependency` where torch is not installed.
"""

from ultraface_deploy.errors import MissingDependency

try:
    import torch as _torch  # noqa: F401
except ImportError as error:
    raise MissingDependency.package("torch", "train", "training") from error
