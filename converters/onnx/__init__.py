"""ONNX and simplified ONNX: from a checkpoint or from other people's files."""
