"""Data sets of faces: readers for the WIDER, RetinaFace and VOC layouts, and the VOC writer."""

from ultraface_deploy.train.data.samples import Sample
from ultraface_deploy.train.data.source import read_dataset

__all__ = ["Sample", "read_dataset"]
