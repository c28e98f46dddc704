"""Recordings of norms, read by docs/recording-format.md alone."""

from __future__ import annotations

import math
import pathlib
import struct
import zlib
from typing import Any


class Recording:
    """What is in a file: the last header's tensors and facts, and steps as (step, loss, global norm, norm by name)."""

    def __init__(self, path: pathlib.Path) -> None:
        data = path.read_bytes()
        assert data[:8] == b"\x89GSNORM\n" and struct.unpack("<I", data[8:12]) == (1,)
        assert self._checksum(data[:12]) == data[12:16]
        self.tensors: list[tuple[str, int, str]] = []
        self.facts: dict[str, str] = {}
        self.steps: list[tuple[int, float | None, float, dict[str, float]]] = []
        self.headers = 0
        at = 16
        while at < len(data):
            code, (length,) = data[at : at + 4], struct.unpack("<I", data[at + 4 : at + 8])
            assert self._checksum(data[at : at + 8]) == data[at + 8 : at + 12]
            payload = data[at + 12 : at + 12 + length]
            at += 16 + length
            assert at <= len(data) and self._checksum(payload) == data[at - 4 : at]
            {b"HEAD": self._read_header, b"STEP": self._read_step}[code](payload)

    @staticmethod
    def _checksum(data: bytes) -> bytes:
        return struct.pack("<I", zlib.crc32(data))

    def _read_header(self, payload: bytes) -> None:
        def text(at: int) -> tuple[str, int]:
            (length,) = struct.unpack_from("<I", payload, at)
            return payload[at + 4 : at + 4 + length].decode(), at + 4 + length

        tensors, facts = struct.unpack_from("<II", payload)
        at = 8
        self.facts, self.tensors = {}, []
        for _ in range(facts):
            key, at = text(at)
            self.facts[key], at = text(at)
        for _ in range(tensors):
            name, at = text(at)
            (elements,) = struct.unpack_from("<q", payload, at)
            dtype, at = text(at + 8)
            self.tensors.append((name, elements, dtype))
        assert at == len(payload)
        self._header = self._checksum(payload)
        self.headers += 1

    def _read_step(self, payload: bytes) -> None:
        assert payload[:4] == self._header
        step, flags, total = struct.unpack_from("<qId", payload, 4)
        at = 24
        loss = None
        if flags & 1:
            (loss,) = struct.unpack_from("<d", payload, at)
            at += 8
        present = list(range(len(self.tensors)))
        if flags & 2:
            bitmap = payload[at : at + (len(self.tensors) + 7) // 8]
            present = [index for index in present if bitmap[index // 8] >> index % 8 & 1]
            at += len(bitmap)
        kind = "d" if flags & 4 else "f"
        norms = struct.unpack_from(f"<{len(present)}{kind}", payload, at)
        assert at + struct.calcsize(f"<{len(present)}{kind}") == len(payload)
        self.steps.append((step, loss, total, {self.tensors[index][0]: norm for index, norm in zip(present, norms)}))

    def numbers(self) -> list[int]:
        return [step for step, *_ in self.steps]


def expected(named: Any) -> dict[str, float]:
    """Norms of gradients in double, by name."""
    return {name: p.grad.detach().to_dense().abs().double().norm().item() for name, p in named if p.grad is not None}


def check_step(step: tuple[int, float | None, float, dict[str, float]], norms: dict[str, float]) -> None:
    """The norms are those, as exactly as float32 has them, and the global norm is theirs in double. torch sums in another order:
    the relative difference of two sums of n squares is below n 2^-53, and n is below 2^12 here."""
    assert step[3].keys() == norms.keys()
    for name, norm in norms.items():
        assert math.isclose(step[3][name], norm, rel_tol=2**-24 + 2**-41), name
    assert math.isclose(step[2], math.sqrt(math.fsum(norm * norm for norm in norms.values())), rel_tol=2**-41)
