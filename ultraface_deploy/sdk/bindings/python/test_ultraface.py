"""Finds what the conformance set says, in one thread and in eight, and refuses what is wrong."""

import json
import resource
import sys
import threading
import unittest
from pathlib import Path
from typing import Any

from ultraface import Detector, Error, Face, Format

CONFORMANCE = Path(__file__).resolve().parent.parent.parent / "conformance"
EXPECTED = json.loads((CONFORMANCE / "cases.json").read_text())
INVALID_ARGUMENT = 1


def find(detector: Detector, case: dict[str, Any], pixels: Any = None) -> list[Face]:
    """Look at a picture of the set."""
    faces: list[Face] = detector.detect(
        (CONFORMANCE / case["file"]).read_bytes() if pixels is None else pixels,
        case["width"],
        case["height"],
        Format[case["format"].upper()],
        stride=case["stride"],
        rotation=case["rotation"],
        mirrored=case["mirrored"],
        region=case["region"],
    )
    return faces


class Conformance(unittest.TestCase):
    """The faces of the Python pipeline."""

    def check(self, case: dict[str, Any], faces: list[Face]) -> None:
        """Compare with what is expected."""
        self.assertEqual(len(faces), len(case["faces"]), case["name"])
        for face, expected in zip(faces, case["faces"], strict=True):
            for actual, wanted in zip(face[:4], expected["box"], strict=True):
                self.assertAlmostEqual(actual, wanted, delta=EXPECTED["box_tolerance_px"])
            self.assertAlmostEqual(face.score, expected["score"], delta=EXPECTED["score_tolerance"])
            self.assertEqual(face.label, expected["label"])

    def test_same_faces(self) -> None:
        """All pictures, from bytes and from memory that can be written."""
        self.assertEqual(len(EXPECTED["cases"]), 12)
        for case in EXPECTED["cases"]:
            with Detector(keep_aspect=case["keep_aspect"]) as detector:
                self.check(case, find(detector, case))
                self.check(
                    case, find(detector, case, bytearray((CONFORMANCE / case["file"]).read_bytes()))
                )

    def test_class_names(self) -> None:
        """Those of the labels from 1, and of no other."""
        wanted = [None, *EXPECTED["class_names"], None]
        with Detector() as detector:
            self.assertEqual([detector.class_name(label) for label in range(len(wanted))], wanted)
            self.assertIsNone(detector.class_name(-1))

    def test_a_thousand_detections_keep_no_memory(self) -> None:
        """The peak of the memory stays where the first hundred left it."""
        case = EXPECTED["cases"][5]
        pixels = (CONFORMANCE / case["file"]).read_bytes()
        with Detector() as detector:
            for count in range(1100):
                if count == 100:
                    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
                find(detector, case, pixels)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        self.assertLess(grown, 2048, "kB")

    def test_eight_threads(self) -> None:
        """One detector for all, then one each."""
        case = EXPECTED["cases"][5]
        with Detector() as shared:
            for detectors in ([shared] * 8, [Detector() for _ in range(8)]):
                found: list[list[Face]] = []

                def work(detector: Detector, found: list[list[Face]] = found) -> None:
                    found.extend(find(detector, case) for _ in range(10))

                threads = [threading.Thread(target=work, args=(each,)) for each in detectors]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
                self.assertEqual(len(found), 80)
                for faces in found:
                    self.check(case, faces)

    def test_refusals(self) -> None:
        """Nothing, no size, a stride below the row, a buffer cut short, a closed detector."""
        pixels = bytes(3 * 64 * 48)
        detector = Detector()
        wrong: list[tuple[Any, int, int, dict[str, Any]]] = [
            (None, 64, 48, {}),
            (b"", 64, 48, {}),
            (pixels, 0, 48, {}),
            (pixels, 64, 0, {}),
            (pixels, 64, 48, {"stride": 191}),
            (pixels[:-1], 64, 48, {}),
            (pixels, 64, 48, {"rotation": 45}),
            (pixels, 64, 48, {"region": (60, 0, 5, 48)}),
        ]
        for buffer, width, height, how in wrong:
            with self.assertRaises(Error) as raised:
                detector.detect(buffer, width, height, **how)
            self.assertEqual(raised.exception.status, INVALID_ARGUMENT)
        with self.assertRaises(Error):
            Detector(score_threshold=2)
        detector.close()
        with self.assertRaises(Error):
            detector.detect(pixels, 64, 48)


def frames(count: int) -> None:
    """Detect one picture again and again."""
    case = EXPECTED["cases"][5]
    pixels = (CONFORMANCE / case["file"]).read_bytes()
    with Detector() as detector:
        for _ in range(count):
            find(detector, case, pixels)


if __name__ == "__main__":
    if sys.argv[1:2] == ["frames"]:
        frames(int(sys.argv[2]))
    else:
        unittest.main()
