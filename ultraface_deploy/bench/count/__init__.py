"""An Arm core without a board: the real aarch64 packages under qemu-user.

Shows that every artifact computes the same on Arm, and how many instructions an inference
executes. Instructions rank kernels on one core; they are not latencies, and emulated seconds mean
nothing, so none are shown.
"""
