"""What a core does of very many pictures: as loose files, in tar and in Parquet files.

python -m ultraface_deploy.benchmarks.shards [--model slim-320] [--pictures 200]

Of pictures of 640x480 and of 12 megapixels: pictures per second of CPU time, the share of reading
and decoding, bytes read and bytes of rows a picture. At the end the most memory that was used.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import tarfile
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from ultraface_deploy.benchmarks.command import command, network
from ultraface_deploy.detect.detector import Detector, open_detector
from ultraface_deploy.integrations.shards import find_shards
from ultraface_deploy.integrations.work import ShardSource, look
from ultraface_deploy.safe.images import PHOTOS, read_image

SIZES = {"640x480": (640, 480), "12 megapixels": (4000, 3000)}
_ENOUGH = 2


def make(folder: Path, size: tuple[int, int], pictures: int) -> list[tuple[str, Path]]:
    """Make JPEGs out of the photographs that ship; return how they are stored, and where."""
    import pyarrow
    from pyarrow import parquet

    loose = folder / "loose"
    loose.mkdir()
    photos = [read_image(path) for path in sorted(PHOTOS.glob("*.jpg"))]
    for number in range(pictures):
        # No two alike, or Parquet would keep one.
        photo = np.roll(photos[number % len(photos)], number, axis=1)
        picture = cv2.resize(photo, size, interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(loose / f"{number:06}.jpg"), picture)
    paths = sorted(loose.iterdir())
    with tarfile.open(folder / "all.tar", "w") as archive:
        for path in paths:
            archive.add(path, path.name)
    schema = pyarrow.schema({"file": pyarrow.string(), "image": pyarrow.binary()})
    with parquet.ParquetWriter(folder / "all.parquet", schema, use_dictionary=False) as writer:
        for path in paths:
            columns = {"file": [path.name], "image": [path.read_bytes()]}
            writer.write_table(pyarrow.table(columns, schema))
    return [("files", loose), ("tar", folder / "all.tar"), ("Parquet", folder / "all.parquet")]


def row(detector: Detector, store: Path, pictures: int, out: Path) -> str:
    """Return the figures of one store in Markdown."""
    (shard,) = find_shards([str(store)], pictures)

    def read() -> None:
        source = ShardSource(shard, patient=True)
        source.enough(_ENOUGH * detector.spec.width, _ENOUGH * detector.spec.height)
        for _ in source:
            pass

    reading = _cpu_seconds(read)
    whole = _cpu_seconds(lambda: look(detector, shard, str(out), full_decode=False))
    files = [store] if store.is_file() else store.iterdir()
    size = sum(path.stat().st_size for path in files) / pictures
    rows = (out / shard.output).stat().st_size / pictures
    (out / shard.output).unlink()
    return (
        f"{pictures / whole:.0f} | {reading / whole:.0%} | {size / 1000:.0f} kB | {rows:.0f} bytes"
    )


def _cpu_seconds(do: Callable[[], object]) -> float:
    began = time.process_time()
    do()
    return time.process_time() - began


def main() -> None:
    """Print the table and the memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--model", type=network, default="slim-320")
    asked = parser.parse_args()
    cv2.setNumThreads(1)
    print("| pictures | stored as | a CPU second | of it reading | read each | rows each |")
    print("|---|---|---:|---:|---:|---:|")
    # Its own process makes the pictures: the memory at the end is that of looking at them.
    makers = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
    with open_detector(asked.model) as detector, makers as maker:
        for name, size in SIZES.items():
            with tempfile.TemporaryDirectory() as folder:
                made = maker.submit(make, Path(folder), size, asked.pictures).result()
                for stored, store in made:
                    figures = row(detector, store, asked.pictures, Path(folder))
                    print(f"| {name} | {stored} | {figures} |", flush=True)
    print(f"most memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10} MiB")


if __name__ == "__main__":
    command(main)
