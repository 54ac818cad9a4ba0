"""The processes that decode photos: a nursery with everything imported, which forks a decoder whenever it is told to.

``models.photo.pool`` starts the nursery as ``main`` and speaks with each decoder over a socket of its own. What a
decoder sends back is data (JSON, and pixels in a shared file), never anything that runs: hostile bytes may have taken
it over. It has no network connection, no database and no other file of the service.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from models.errors import PhotoError, PhotoTooLarge, PhotoUndecodable
from models.photo.reading import PhotoLimits, open_upright, read_photo
from models.values import UInt8

MESSAGE_BYTES: Final = 64 * 1024
"""No order and no reply is longer."""

_BYTES_A_PIXEL: Final = 32
"""Memory that decoding takes at its worst: 16-bit grey, scaled as 64-bit numbers."""
_BYTES_BESIDE: Final = 512 * 2**20
"""Address space for the file as it came, libraries loaded late (HEIC) and their threads' stacks."""


def main() -> None:
    """Fork a decoder for every pair of descriptors that comes over the socket ``argv[1]``, until that closes.

    argv: number of the control socket; ``max_pixels`` of the largest photo; seconds that one photo may take.
    """
    control = socket.socket(fileno=int(sys.argv[1]))
    max_pixels, seconds = int(sys.argv[2]), float(sys.argv[3])
    # A stop of the service reaches the whole group; the photos in work are still to be decoded then. The end of the
    # sockets ends everybody here.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel buries them
    cv2.setNumThreads(1)  # there is a decoder a core
    gc.freeze()  # what is imported stays shared with the decoders
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, 1, 2)
        if not message:
            return
        if os.fork() == 0:
            _be_decoder(control, descriptors, max_pixels, seconds)
        for descriptor in descriptors:
            os.close(descriptor)


def _be_decoder(control: socket.socket, descriptors: list[int], max_pixels: int, seconds: float) -> None:
    """Serve to the end, and never return into the nursery's loop."""
    try:
        control.close()
        channel, memory = socket.socket(fileno=descriptors[0]), descriptors[1]
        _bound(max_pixels)
        channel.send(json.dumps({"pid": os.getpid()}).encode())
        while order := channel.recv(MESSAGE_BYTES):
            # Ends this process however deep in a decoder it hangs, also when nobody is left to kill it.
            signal.setitimer(signal.ITIMER_REAL, seconds)
            reply = _obey(json.loads(order), memory)
            signal.setitimer(signal.ITIMER_REAL, 0)
            channel.send(json.dumps(reply).encode())
    except BaseException:  # noqa: BLE001  whatever it was, the other side sees the socket close
        os._exit(1)
    os._exit(0)


def _bound(max_pixels: int) -> None:
    """Limit this process's memory, keep shoppers' photos out of core files, and go first when memory runs out."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limit = mapped + _BYTES_BESIDE + _BYTES_A_PIXEL * max_pixels
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    with suppress(OSError):  # not every container has it
        Path("/proc/self/oom_score_adj").write_text("1000")


def _obey(order: dict[str, Any], memory: int) -> dict[str, Any]:
    """Decode what lies in ``memory``, put the pixels in its place, and say what they are; or what is wrong with it."""
    try:
        data = _read(memory, order["size_bytes"])
        limits = PhotoLimits(**order["limits"])
        if order["full_size"]:
            facts, pixels = {}, np.ascontiguousarray(open_upright(data, limits), dtype=np.uint8)
        else:
            photo = read_photo(
                data,
                limits,
                with_advice=order["with_advice"],
                content_hash=order["content_hash"],
                fit=order["fit"],
            )
            pixels = photo.pixels
            facts = {
                "format": photo.format,
                "source_width": photo.source_width,
                "source_height": photo.source_height,
                "advice": [[hint.code, hint.message] for hint in photo.advice],
            }
        _write(memory, pixels)
    except PhotoError as error:
        return {"error": error.code, "message": str(error)}
    except MemoryError:
        return {
            "error": PhotoTooLarge.code,
            "message": "The photo needs more memory than one photo may take. Send it at a smaller size.",
        }
    except Exception as error:  # noqa: BLE001  one photo must not cost more than itself
        return {
            "error": PhotoUndecodable.code,
            "message": f"The photo cannot be decoded ({type(error).__name__}). Take it again.",
        }
    return {**facts, "height": pixels.shape[0], "width": pixels.shape[1]}


def _read(memory: int, size_bytes: int) -> bytes:
    data = os.pread(memory, size_bytes, 0)
    if len(data) != size_bytes:
        raise OSError(f"the shared file holds {len(data)} of {size_bytes} bytes")
    return data


def _write(memory: int, pixels: UInt8) -> None:
    view, done = memoryview(pixels.data).cast("B"), 0
    while done < len(view):
        done += os.pwrite(memory, view[done:], done)
