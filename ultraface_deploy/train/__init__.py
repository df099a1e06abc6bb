"""Training: augmentation, matching, losses, distillation and the loop.

`data` and `recipe` work everywhere; the other modules import torch.
"""

# Tested by tests/train/test_command.py.

from importlib.util import find_spec

from ultraface_deploy.errors import MissingDependency


def require_torch() -> None:
    """Refuse to go on without torch.

    Raises:
        MissingDependency: says what to install.
    """
    if find_spec("torch") is None:
        raise MissingDependency.package("torch", "train", "training")
