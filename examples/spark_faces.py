"""Faces in pictures with Spark, where there is no Ray: spark-submit spark_faces.py IN OUT."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pandas as pd
from pyspark.sql import SparkSession

COLUMNS = "path string, boxes array<array<float>>, scores array<float>, error string"


def look(batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Take pictures (path, content), give a row for each; one detector per task."""
    from ultraface_deploy import Detector
    from ultraface_deploy.errors import InputError
    from ultraface_deploy.safe.images import decode_picture

    with Detector.open("slim-320", threads=1) as detector:
        for batch in batches:
            rows = []
            for path, content in zip(batch["path"], batch["content"], strict=True):
                try:
                    picture = decode_picture(content, path, least=(640, 480))
                    faces = detector.detect(picture.image, picture.reduction)
                    rows.append((path, faces.boxes.tolist(), faces.scores.tolist(), None))
                except InputError as error:
                    rows.append((path, None, None, str(error)))
            yield pd.DataFrame(rows, columns=["path", "boxes", "scores", "error"])


if __name__ == "__main__":
    spark = SparkSession.builder.appName("faces").getOrCreate()
    pictures = spark.read.format("binaryFile").load(sys.argv[1]).select("path", "content")
    pictures.mapInPandas(look, COLUMNS).write.mode("overwrite").parquet(sys.argv[2])
