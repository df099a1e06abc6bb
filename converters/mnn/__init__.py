"""MNN: through the tools inside its wheel."""
