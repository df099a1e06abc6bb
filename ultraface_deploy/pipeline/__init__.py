"""The one road from pixels to faces that every backend shares: preprocess, decode, NMS."""

from ultraface_deploy.family.anchors import make_anchors
from ultraface_deploy.family.boxes import decode, encode, iou, iou_matrix
from ultraface_deploy.pipeline.faces import Face, Faces
from ultraface_deploy.pipeline.maps import join_maps, map_outputs, read_head
from ultraface_deploy.pipeline.nms import NmsKind, nms
from ultraface_deploy.pipeline.postprocess import PostprocessOptions, postprocess
from ultraface_deploy.pipeline.preprocess import preprocess

__all__ = [
    "Face",
    "Faces",
    "NmsKind",
    "PostprocessOptions",
    "decode",
    "encode",
    "iou",
    "iou_matrix",
    "join_maps",
    "make_anchors",
    "map_outputs",
    "nms",
    "postprocess",
    "preprocess",
    "read_head",
]
