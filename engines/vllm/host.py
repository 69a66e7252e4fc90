"""The engine's own process: `python -m engines.vllm.host FD`, with one end of a socket pair as file descriptor FD.

It ends when the other end closes, whatever it is doing, and takes its workers with it: nothing is left behind by a
service that was killed. When vLLM fails it says so and ends; the service starts another.
"""

from __future__ import annotations

import os
import queue
import signal
import socket
import sys
import threading
import time
from collections import deque
from typing import Any

from engines.vllm.wire import Channel, Message, WireError, unpack

_ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # the scheduler runs in this process
    "VLLM_USE_V2_MODEL_RUNNER": "0",  # our steps are told by the first one
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_PLUGINS": "interleaf",
    "VLLM_HOST_IP": "127.0.0.1",  # its workers meet on the loopback interface
    "GLOO_SOCKET_IFNAME": "lo",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
}
_WARNING_LEVEL = "WARNING"


def set_environment() -> None:
    """Before vLLM is imported."""
    os.environ.update(_ENVIRONMENT)
    os.environ.setdefault("VLLM_LOGGING_LEVEL", _WARNING_LEVEL)


class Host:
    """Feeds a core from a channel. One thread receives, the caller's runs the model."""

    def __init__(self, channel: Channel, core: Any) -> None:
        self._channel, self._core = channel, core
        self._inbox: queue.SimpleQueue[tuple[Message, bytearray]] = queue.SimpleQueue()
        self._waiting: deque[Message] = deque()

    def run(self) -> None:
        """Never returns while the other side is there."""
        threading.Thread(target=self._receive, name="receive", daemon=True).start()
        while True:
            self._take_messages()
            if self._core.busy:
                self._step()

    def _receive(self) -> None:
        try:
            while (got := self._channel.receive()) is not None:
                self._inbox.put(got)
        finally:
            end()

    def _take_messages(self) -> None:
        """All that are there; waits for one when there is nothing to do."""
        message, body = (None, bytearray())
        if not self._core.busy:
            message, body = self._inbox.get()
        while True:
            if message is not None:
                self._obey(message, body)
            try:
                message, body = self._inbox.get_nowait()
            except queue.Empty:
                return

    def _obey(self, message: Message, body: bytearray) -> None:
        from engines.vllm.core_requests import Refused

        try:
            if message["type"] == "put":
                self._put(message, body)
            elif message["type"] == "drop":
                self._core.drop(message["row"])
            elif message["type"] == "cancel":
                self._core.cancel(message["name"])
            elif message["type"] == "run":
                self._submit(message)
            else:
                raise Refused("type", f"unknown message {message['type']!r}")
        except (Refused, WireError, KeyError, TypeError, ValueError) as error:
            self._refuse(message, error)

    def _refuse(self, message: Message, error: Exception) -> None:
        self._channel.send(
            {
                "type": "refused",
                "name": message.get("name"),
                "row": message.get("row"),
                "field": getattr(error, "field", "request"),
                "message": getattr(error, "message", f"{type(error).__name__}: {error}"),
            }
        )

    def _put(self, message: Message, body: bytearray) -> None:
        keys, values = unpack(message["tokens"], body, 0)
        self._core.put(message["row"], keys, values, message["said"])

    def _submit(self, message: Message) -> None:
        from engines.vllm.core_requests import CoreRequest, UsedFact

        facts = [UsedFact(row, float(bias), order) for row, bias, order in message["facts"]]
        self._core.submit(message["name"], CoreRequest(facts=facts, **message["request"]))

    def _step(self) -> None:
        from engines.vllm.core_requests import Produced

        tokens: list[Any] = []
        for item in self._core.step():
            if isinstance(item, Produced):
                said = (item.token, item.log_probability, item.mass, item.layers, item.finished)
                tokens.append([item.name, *said])
            else:
                self._channel.send(
                    {
                        "type": "scored",
                        "name": item.name,
                        "log_probabilities": item.log_probabilities,
                        "mass": item.mass,
                    }
                )
        if tokens:
            self._channel.send({"type": "tokens", "tokens": tokens})


def end() -> None:
    """This process and its workers, now: whatever runs is of no use to anybody."""
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(0)


def main(descriptor: int) -> None:
    """Waits for the settings, loads, says that it is ready, serves."""
    set_environment()
    os.set_inheritable(descriptor, False)  # an end that a worker held would never close
    channel = Channel(socket.socket(fileno=descriptor))
    first = channel.receive()
    if first is None:
        return
    stop_watching = _watch_while_loading(channel)
    try:
        began = time.perf_counter()
        from engines.vllm.core import VllmCore
        from engines.vllm.start import CoreSettings

        core = VllmCore(CoreSettings(**first[0]["settings"]))
        stop_watching()
        channel.send({"type": "ready", "seconds": time.perf_counter() - began, "pid": os.getpid()})
        Host(channel, core).run()
    except Exception as error:
        channel.send({"type": "failed", "message": f"{type(error).__name__}: {error}"})
        raise
    finally:
        sys.stderr.flush()


def _watch_while_loading(channel: Channel) -> Any:
    """Ends this process when the other side goes before anything was received. Loading takes long."""
    loaded = threading.Event()

    def watch() -> None:
        while not loaded.wait(0.5):
            try:
                if not channel.socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT):
                    end()
            except BlockingIOError:
                continue
            except OSError:
                end()

    watcher = threading.Thread(target=watch, name="watch", daemon=True)
    watcher.start()

    def stop() -> None:
        loaded.set()
        watcher.join()

    return stop


if __name__ == "__main__":
    main(int(sys.argv[1]))
