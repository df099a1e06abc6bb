"""Training: augmentation, matching, losses, distillation and the loop.

`data` and `recipe` work everywhere; the other modules import torch.
"""

# Tested by tests/train/test_command.py.

from importlib.util import find_spec

from ultraface_deploy.errors import MissingDependency
from ultraface_deploy.pages.plots import require_matplotlib


def require_torch() -> None:
    """Refuse to go on without torch, or without what draws the page at the end of a run.

    Raises:
        MissingDependency: says what to install.
    """
    if find_spec("torch") is None:
        raise MissingDependency.package("torch", "train", "training")
    require_matplotlib("train", "training")
