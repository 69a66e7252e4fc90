"""Messages between the service and the engine's process."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest
import torch

from engines.vllm.wire import Channel, WireError, pack, unpack


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Channel]]:
    left, right = (Channel(end) for end in socket.socketpair())
    yield left, right
    left.close()
    right.close()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_tokens_arrive_as_they_were(dtype: torch.dtype, ends: tuple[Channel, Channel]) -> None:
    keys, values = torch.randn(2, 3, 4, 2, 8).to(dtype)
    head, body = pack(keys, values)
    ends[0].send({"type": "put", "tokens": head}, body)
    got = ends[1].receive()
    assert got is not None
    there, back = unpack(got[0]["tokens"], got[1], 0)
    assert there.dtype == dtype
    assert torch.equal(there, keys)
    assert torch.equal(back, values)


def test_messages_stay_whole_when_many_threads_send(ends: tuple[Channel, Channel]) -> None:
    def talk(who: int) -> None:
        for number in range(50):
            ends[0].send({"who": who, "number": number}, bytes([who]) * (who * 1000))

    threads = [threading.Thread(target=talk, args=(who,)) for who in range(4)]
    for thread in threads:
        thread.start()
    heard: dict[int, list[int]] = {who: [] for who in range(4)}
    for _ in range(200):
        got = ends[1].receive()
        assert got is not None
        message, body = got
        assert body == bytes([message["who"]]) * (message["who"] * 1000)
        heard[message["who"]].append(message["number"])
    for thread in threads:
        thread.join()
    assert all(numbers == list(range(50)) for numbers in heard.values())


def test_an_end_that_is_gone_is_noticed(ends: tuple[Channel, Channel]) -> None:
    ends[0].socket.sendall(b"\x00\x00")  # half a message
    ends[0].close()
    assert ends[1].receive() is None
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        ends[1].send({"type": "run"}, bytes(10_000_000))


@pytest.mark.parametrize(
    "change",
    [{"dtype": "int64"}, {"shape": [1, 2, 3]}, {"shape": [0]}, {"bytes": 7}, {"shape": [2**40]}],
)
def test_tokens_that_are_not_what_they_say_are_refused(change: dict[str, object]) -> None:
    head, body = pack(torch.zeros(1, 2, 1, 4), torch.zeros(1, 2, 1, 4))
    with pytest.raises(WireError):
        unpack({**head, **change}, bytearray(body), 0)


def test_a_flood_is_no_message(ends: tuple[Channel, Channel]) -> None:
    ends[0].socket.sendall(b"\xff" * 12)
    with pytest.raises(WireError):
        ends[1].receive()
