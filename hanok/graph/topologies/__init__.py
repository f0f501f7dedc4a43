"""Float ONNX models of well-known networks with seeded weights, for tests, benchmarks and first trials."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from onnx import ModelProto

from hanok.graph.topologies.image import autoencoder, espcn, unet
from hanok.graph.topologies.mobile import ds_cnn, mobilenet_v1, mobilenet_v2, mobilenet_v3_small
from hanok.graph.topologies.residual import resnet8, resnet18, resnet50

TOPOLOGIES: Mapping[str, Callable[[], ModelProto]] = MappingProxyType(
    {
        "autoencoder": autoencoder,
        "ds_cnn": ds_cnn,
        "espcn": espcn,
        "mobilenet_v1": mobilenet_v1,
        "mobilenet_v2": mobilenet_v2,
        "mobilenet_v3_small": mobilenet_v3_small,
        "resnet8": resnet8,
        "resnet18": resnet18,
        "resnet50": resnet50,
        "unet": unet,
    }
)
"""Builders by name, each callable without arguments."""

__all__ = [
    "TOPOLOGIES",
    "autoencoder",
    "ds_cnn",
    "espcn",
    "mobilenet_v1",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "resnet8",
    "resnet18",
    "resnet50",
    "unet",
]
