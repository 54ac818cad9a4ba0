"""Phones on a bad line: many connections that each send a photo at a few kilobytes a second."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection

_TICK_S = 0.5
_BOUNDARY = "pickture-slow-8a7c"
_START_S = 120.0


@dataclass(frozen=True, slots=True)
class SlowPlan:
    """port, token: of the service. phones: connections. upload_bytes: of each photo. bytes_per_s: of each phone."""

    port: int
    token: str
    photo: bytes
    phones: int
    upload_bytes: int
    bytes_per_s: int


@contextmanager
def slow_uploads(plan: SlowPlan) -> Iterator[dict[str, int]]:
    """Have the phones send, over and over, until the block ends; the dictionary then says what they were answered.

    The block begins when all of them have begun to send. Keys: a status, ``cut off`` (the service hung up), ``refused``
    (no connection) and ``still sending`` (at the end).
    """
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_run, args=(plan, theirs), daemon=True)
    process.start()
    told: dict[str, int] = {}
    try:
        if not ours.poll(_START_S + plan.phones / 10):
            raise TimeoutError(f"{plan.phones} slow phones did not begin to send")
        ours.recv()
        yield told
        ours.send("stop")
        if ours.poll(_START_S):
            told |= ours.recv()
    finally:
        process.kill()
        process.join()


def _run(plan: SlowPlan, line: Connection) -> None:
    asyncio.run(_all(plan, line))


async def _all(plan: SlowPlan, line: Connection) -> None:
    told: Counter[str] = Counter()
    begun = asyncio.Semaphore(0)
    phones = [asyncio.create_task(_phone(plan, number, told, begun)) for number in range(plan.phones)]
    for _ in phones:
        await begun.acquire()
    line.send("begun")
    while not line.poll():
        await asyncio.sleep(_TICK_S)
    told["still sending"] = sum(not phone.done() for phone in phones)
    line.send(dict(told))


async def _phone(plan: SlowPlan, number: int, told: Counter[str], begun: asyncio.Semaphore) -> None:
    """One phone. It begins at a moment of its own, so that the pieces do not come all at once."""
    await asyncio.sleep(number * _TICK_S / plan.phones)
    is_first = True
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", plan.port)
        except OSError:
            told["refused"] += 1
            await asyncio.sleep(1.0)
            continue
        finally:
            if is_first:
                begun.release()
                is_first = False
        try:
            told[await _upload(plan, reader, writer)] += 1
        except (OSError, asyncio.IncompleteReadError):
            told["cut off"] += 1
        finally:
            writer.close()
        await asyncio.sleep(1.0)


async def _upload(plan: SlowPlan, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
    """Send one photo, piece by piece; returns the status of the answer, which may come before the last piece."""
    head = (
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="photo"; filename="a.jpg"\r\n'
        "Content-Type: image/jpeg\r\n\r\n"
    ).encode()
    tail = f"\r\n--{_BOUNDARY}--\r\n".encode()
    # JPEG decoders stop at the end of the picture: what follows makes the upload as long as it is to be.
    body = head + plan.photo.ljust(plan.upload_bytes, b"\0") + tail
    writer.write(
        (
            f"POST /v1/search HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {plan.token}\r\n"
            "Connection: close\r\n"
            f"Content-Type: multipart/form-data; boundary={_BOUNDARY}\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode()
    )
    answer = asyncio.create_task(reader.readline())
    piece = int(plan.bytes_per_s * _TICK_S)
    due = time.monotonic()
    for start in range(0, len(body), piece):
        writer.write(body[start : start + piece])
        await writer.drain()
        due += _TICK_S
        done, _ = await asyncio.wait({answer}, timeout=max(0.0, due - time.monotonic()))
        if done:
            break
    words = (await answer).decode("latin-1").split()
    return words[1] if len(words) > 1 else "cut off"
