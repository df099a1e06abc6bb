"""Print the faces of a binary PPM picture: python3 example.py photo.ppm."""

import sys
from pathlib import Path

from ultraface import Detector, Format

kind, size, _, pixels = Path(sys.argv[1]).read_bytes().split(b"\n", 3)
width, height = map(int, size.split())
if kind != b"P6":
    sys.exit(f"{sys.argv[1]}: is not a binary PPM picture")
with Detector() as detector:
    for face in detector.detect(pixels, width, height, Format.RGB):
        name = detector.class_name(face.label) or ""
        print(*(f"{number:.1f}" for number in face[:4]), f"{face.score:.4f} {name}".rstrip())
