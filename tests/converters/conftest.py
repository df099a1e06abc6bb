"""INT8 of the formats is tested on the same networks as quantisation."""

from tests.quantize.conftest import case, make_case, rfb, slim

__all__ = ["case", "make_case", "rfb", "slim"]
