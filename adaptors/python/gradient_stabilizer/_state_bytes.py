"""Moments in the bytes of a saved `stabilize`: what lets state of other programs be loaded. docs/state-format.md has
the layout; the native library checks what is made here when it loads it."""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple, Sequence

import torch

_VERSION = 2
_HEADER = struct.Struct("<8sIIQ")  # name, version, CRC-32 and length of the payload
_UPDATES = struct.Struct("<q")
# First and second moment, norms used, skipped for NaN, skipped for zero, exponent, and two of robust moments.
_RECORD = struct.Struct("<ddqqqiid")


class Moments(NamedTuple):
    """What the authors' code keeps of one parameter."""

    m: float  #: first moment of the norm, not bias-corrected
    v: float  #: second moment of the norm, not bias-corrected
    k: int  #: norms that entered
    skipped: int  #: gradients that were zero, NaN or infinite


def with_moments(saved: torch.Tensor, moments: Sequence[Moments]) -> torch.Tensor:
    """`saved`, the state of one `stabilize` per tensor, with these moments in the order of its parameters."""
    data = bytearray(bytes(saved.tolist()))
    name, version, _, length = _HEADER.unpack_from(data)
    records = _RECORD.size * len(moments)
    if name != b"GRADSTAB" or version != _VERSION or length < records:
        raise ValueError(f"state has format version {version}, expected {_VERSION}")
    _UPDATES.pack_into(data, _HEADER.size, max((each.k + each.skipped for each in moments), default=0))
    for i, each in enumerate(moments):
        offset = len(data) - records + i * _RECORD.size
        _RECORD.pack_into(data, offset, each.m, each.v, each.k, each.skipped, 0, 0, 0, 0.0)
    payload = bytes(data[_HEADER.size :])
    _HEADER.pack_into(data, 0, name, version, zlib.crc32(payload), length)
    return torch.tensor(list(data), dtype=torch.uint8)
