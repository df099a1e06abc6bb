"""Data sets of faces: readers for the WIDER, RetinaFace, VOC and YOLO layouts, the VOC writer."""

from ultraface_deploy.train.data.classes import Classes
from ultraface_deploy.train.data.samples import Sample
from ultraface_deploy.train.data.source import read_dataset

__all__ = ["Classes", "Sample", "read_dataset"]
