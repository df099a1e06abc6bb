"""A runtime and a format for ultraface-deploy, installed by entry points alone."""
