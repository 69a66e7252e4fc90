"""Messages between the service and the engine's process: a JSON head and raw bytes, never pickle.

They travel over a socket pair that no other process can reach. A closed socket is how each side learns that the
other one is gone.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

Message = dict[str, Any]

_HEAD = struct.Struct(">IQ")  # lengths of head and body
_LONGEST_HEAD = 256 * 2**20
_LONGEST_BODY = 4 * 2**30
_DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}


class WireError(ConnectionError):
    """What came is not a message: the two sides do not fit each other."""


@dataclass
class Channel:
    """One end. Any thread may send; one thread receives."""

    socket: socket.socket
    _sending: threading.Lock = field(default_factory=threading.Lock)

    def send(self, message: Message, body: bytes = b"") -> None:
        """Whole or not at all, as seen by the other side. OSError when it is gone."""
        head = json.dumps(message, separators=(",", ":")).encode()
        with self._sending:
            self.socket.sendall(_HEAD.pack(len(head), len(body)) + head)
            if body:
                self.socket.sendall(body)

    def receive(self) -> tuple[Message, bytearray] | None:
        """The next message; None when the other side is gone."""
        lengths = self._exactly(_HEAD.size)
        if lengths is None:
            return None
        head_length, body_length = _HEAD.unpack(lengths)
        if head_length > _LONGEST_HEAD or body_length > _LONGEST_BODY:
            raise WireError(f"a message of {head_length} and {body_length} bytes")
        head, body = self._exactly(head_length), self._exactly(body_length)
        if head is None or body is None:
            return None
        return json.loads(head), body

    def close(self) -> None:
        """Wakes the receiving thread of this side, too."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()

    def _exactly(self, count: int) -> bytearray | None:
        data = bytearray(count)
        view, at = memoryview(data), 0
        while at < count:
            try:
                got = self.socket.recv_into(view[at:])
            except OSError:
                return None
            if not got:
                return None
            at += got
        return data


def pack(keys: Tensor, values: Tensor) -> tuple[Message, bytes]:
    """A fact's tokens [layers, tokens, kv heads, head dim] as shape, precision and bytes."""
    both = torch.stack([keys, values]).detach().cpu().contiguous()
    if both.dtype not in _NAMES:
        both = both.float()
    body = both.view(torch.uint8).numpy().tobytes()
    return {"shape": list(keys.shape), "dtype": _NAMES[both.dtype], "bytes": len(body)}, body


def unpack(head: Message, body: bytearray, offset: int) -> tuple[Tensor, Tensor]:
    """Inverse of `pack`; WireError when the bytes are not what the head says."""
    dtype, shape = _DTYPES.get(head["dtype"]), [2, *head["shape"]]
    if dtype is None or any(not isinstance(size, int) or size < 1 for size in shape):
        raise WireError(f"tokens of {head['dtype']} {shape}")
    count = 1
    for size in shape:
        count *= size
    if count * dtype.itemsize != head["bytes"] or offset + head["bytes"] > len(body):
        raise WireError("a body of another length than its head says")
    keys, values = torch.frombuffer(body, dtype=dtype, count=count, offset=offset).view(shape)
    return keys, values
