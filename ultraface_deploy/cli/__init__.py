"""The command line: it parses, calls the library, prints. One file per command."""

from ultraface_deploy.cli.app import main

__all__ = ["main"]
