"""The suites behind README's figures, each a command: `python -m ultraface_deploy.benchmarks.X`.

`bench/` is the instrument that users measure with; these are experiments made with it, and the
proof that it can be believed (`trust`). Nothing in the package imports them.
"""
