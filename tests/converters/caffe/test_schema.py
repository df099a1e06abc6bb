"""The message classes: compiled from caffe.proto, and out of pycaffe's way."""

from __future__ import annotations

import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool

from ultraface_deploy.converters.caffe.schema import LayerParameter, NetParameter

PACKAGE = resources.files("ultraface_deploy.converters.caffe")


def compiled() -> descriptor_pb2.FileDescriptorProto:
    content = PACKAGE.joinpath("caffe.desc").read_bytes()
    (file,) = descriptor_pb2.FileDescriptorSet.FromString(content).file
    return file


def test_the_descriptor_is_what_protoc_makes_of_caffe_proto(tmp_path: Path) -> None:
    pytest.importorskip("grpc_tools", reason="grpcio-tools, which carries protoc, is not installed")
    fresh = tmp_path / "caffe.desc"
    with resources.as_file(PACKAGE.joinpath("caffe.proto")) as proto:
        arguments = [f"-I{proto.parent}", f"--descriptor_set_out={fresh}", proto.name]
        subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *arguments], check=True)
    (file,) = descriptor_pb2.FileDescriptorSet.FromString(fresh.read_bytes()).file
    assert file == compiled()


def test_the_descriptor_has_every_message_and_field_of_caffe_proto() -> None:
    lines = PACKAGE.joinpath("caffe.proto").read_text().splitlines()
    declared = {
        (words[2], int(words[4].rstrip(";")))
        for words in map(str.split, lines)
        if words and words[0] in ("optional", "repeated")
    }
    fields = {
        (field.name, field.number) for message in compiled().message_type for field in message.field
    }
    assert fields == declared


def test_field_numbers_are_those_of_the_public_format() -> None:
    numbers = {field.name: field.number for field in LayerParameter.DESCRIPTOR.fields}
    public = {"name": 1, "type": 2, "bottom": 3, "top": 4, "blobs": 7, "convolution_param": 106}
    public |= {"reshape_param": 133, "input_param": 143, "permute_param": 202}
    assert public.items() <= numbers.items()


def test_messages_register_beside_pycaffes_own() -> None:
    theirs = descriptor_pb2.FileDescriptorProto(name="caffe.proto", package="caffe")
    theirs.message_type.add(name="NetParameter")
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(theirs.SerializeToString())
    assert pool.FindMessageTypeByName("caffe.NetParameter") is not NetParameter.DESCRIPTOR
    assert NetParameter.DESCRIPTOR.full_name == "ultraface_deploy.caffe.NetParameter"
