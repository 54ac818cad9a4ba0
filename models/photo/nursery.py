"""This process's side of the decoders: starting the nursery, having it fork, and speaking with what it has forked."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from typing import Any, Final

import numpy as np

from models.photo.decoder import MESSAGE_BYTES
from models.photo.reading import PhotoLimits
from models.values import INPUT_SIZE, UInt8

_START_S: Final = 30.0
"""Longest that a decoder may take to say that it is there."""

_KEPT_BYTES: Final = 32 * 2**20
"""The shared file may stay this large between photos; beyond it the memory goes back."""

_ALLOCATED_BYTES: Final = 24 * 2**20
"""Blocks up to this size, and twice as much in all, stay with a decoder between photos: a phone's photo needs less."""


class DecoderLost(Exception):
    """The process has ended, or says what makes no sense."""


class Decoder:
    """One process, and what joins it to this one: a socket for messages, a file in memory for bytes and pixels."""

    def __init__(self, channel: socket.socket, memory: int) -> None:
        self._channel = channel
        self._memory = memory
        self._process: int | None = None
        self.photos = 0

    def decode(self, order: dict[str, Any], data: bytes, seconds: float) -> tuple[dict[str, Any], UInt8]:
        """The reply and the pixels; no pixels (0, 0, 3) with an error.

        :raise DecoderLost: the process died. :raise TimeoutError: no reply came in time.
        """
        self.photos += 1
        try:
            if self._process is None:
                # Its start is not the photo's fault; a busy machine takes its time.
                self._process = os.pidfd_open(int(self._receive(max(seconds, _START_S))["pid"]))
            written = 0
            while written < len(data):
                written += os.pwrite(self._memory, memoryview(data)[written:], written)
            self._channel.send(json.dumps(order).encode())
            reply = self._receive(seconds)
            # A small photo is enlarged where it is fitted.
            most = max(PhotoLimits(**order["limits"]).max_pixels, INPUT_SIZE**2)
            return reply, self._pixels(reply, most)
        except TimeoutError:
            raise
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DecoderLost from error
        finally:
            if os.fstat(self._memory).st_size > _KEPT_BYTES:
                os.ftruncate(self._memory, 0)

    def _receive(self, seconds: float) -> dict[str, Any]:
        self._channel.settimeout(max(0.001, seconds))
        message = self._channel.recv(MESSAGE_BYTES)
        if not message:
            raise OSError("the decoder's socket has closed")
        reply = json.loads(message)
        if not isinstance(reply, dict):
            raise TypeError("a reply is a JSON object")
        return reply

    def _pixels(self, reply: dict[str, Any], most: int) -> UInt8:
        """Copied out of the shared file, so that nothing the process does later changes them."""
        if "error" in reply:
            return np.empty((0, 0, 3), np.uint8)
        height, width = int(reply["height"]), int(reply["width"])
        if min(height, width) < 1 or height * width > most:
            raise ValueError(f"{width} x {height} pixels came back")
        pixels = np.empty((height, width, 3), np.uint8)
        view, done = memoryview(pixels.data).cast("B"), 0
        while done < len(view):
            count = os.preadv(self._memory, [view[done:]], done)
            if not count:
                raise ValueError(f"{done} of {len(view)} bytes came back")
            done += count
        return pixels

    def kill(self) -> None:
        """End the process now, wherever it hangs."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._process, signal.SIGKILL)

    def close(self) -> None:
        """Let go of it; a process that waits for an order ends by that."""
        self._channel.close()
        os.close(self._memory)
        if self._process is not None:
            os.close(self._process)
            self._process = None


class Nursery:
    """The process that forks decoders; started when first needed, and again where it has died."""

    def __init__(self, max_pixels: int, photo_s: float) -> None:
        # The decoder's own alarm rings after its caller has given up.
        self._arguments = [str(max_pixels), str(photo_s + 1)]
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    def fork(self) -> Decoder:
        """A decoder, which says that it is there when it is first used."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        memory = os.memfd_create("pickture-photo")
        try:
            with self._lock:
                self._send([theirs.fileno(), memory])
        except BaseException:
            ours.close()
            os.close(memory)
            raise
        finally:
            theirs.close()
        return Decoder(ours, memory)

    def close(self) -> None:
        """End it."""
        with self._lock:
            self._bury()

    def _send(self, descriptors: list[int]) -> None:
        if self._control is not None:
            try:
                socket.send_fds(self._control, [b"f"], descriptors)
            except OSError:
                self._bury()
            else:
                return
        self._start()
        assert self._control is not None
        socket.send_fds(self._control, [b"f"], descriptors)

    def _start(self) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "OPENBLAS_NUM_THREADS": "1",  # its threads would not survive the fork
            # glibc: keep what a photo took for the next one, instead of giving it back and faulting it in anew.
            "MALLOC_MMAP_THRESHOLD_": str(_ALLOCATED_BYTES),
            "MALLOC_TRIM_THRESHOLD_": str(2 * _ALLOCATED_BYTES),
            "MALLOC_ARENA_MAX": "1",  # a second thread's own would stay outside of both, and count as 128 MiB
        }
        with theirs:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    "from models.photo.decoder import main; main()",
                    str(theirs.fileno()),
                    *self._arguments,
                ],
                env=environment,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )

    def _bury(self) -> None:
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._process is not None:
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
