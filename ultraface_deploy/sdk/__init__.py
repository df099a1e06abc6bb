"""A C++ project that finds the same faces as the Python pipeline, for one artifact."""

from ultraface_deploy.sdk.project import RUNTIMES, Runtime, parse_runtime, write_project

__all__ = ["RUNTIMES", "Runtime", "parse_runtime", "write_project"]
