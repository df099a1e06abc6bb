"""Pulls the default checkpoint from another address: `python -m tests.faults.pulling URL`."""

from __future__ import annotations

import sys
from dataclasses import replace

from ultraface_deploy.errors import InputError
from ultraface_deploy.models import find
from ultraface_deploy.models.pull import pull

if __name__ == "__main__":
    try:
        pull(replace(find("slim-320"), file=None, url=sys.argv[1]))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
