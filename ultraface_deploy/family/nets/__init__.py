"""The UltraFace networks in torch. Importing this package imports torch."""

from ultraface_deploy.family.nets.heads import DecodedHead, RawHead, deployed
from ultraface_deploy.family.nets.ultraface import UltraFace

__all__ = ["DecodedHead", "RawHead", "UltraFace", "deployed"]
