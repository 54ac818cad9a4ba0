"""A decoder, or PostgreSQL, is killed while shoppers search: clear errors, no restart, nothing lost."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil

from tests.bench import checks
from tests.bench.installation import BenchFailed, wait_for
from tests.bench.load.clients import Load
from tests.bench.load.judging import Row, answers, speeds
from tests.bench.load.photos import read_all
from tests.bench.load.place import Place
from tests.bench.shoppers import Journal, Ledger, Phone, Shopper, counted, faults

_CLIENTS = 4
_NURSERY = "models.photo.decoder"
"""In the command of the process that forks the decoders; they have its command too, being forks of it."""
_BACK_S = 60.0
_SHOPPERS = 2


def decoder(place: Place) -> dict[str, Any]:
    """Kill -9 the busiest decoder in the middle of a load."""
    with place.served():
        place.load("12mp", clients=_CLIENTS, seconds=2)
        web = {process.pid for process in place.installation.web_processes()}
        before = _decoders(place)
        if not before:
            place.rows.append(Row("decoder killed", "errors", "no decoder processes", "", "one request", None))
            return {"decoders": 0}
        seconds = place.long_s
        with ThreadPoolExecutor(1) as beside:
            running = beside.submit(place.load, "12mp", clients=_CLIENTS, seconds=seconds)
            time.sleep(seconds / 2)
            # Those of this moment: one that has decoded its share has been replaced.
            max(_decoders(place), key=_core_seconds).kill()
            killed_at = time.monotonic()
            load = running.result()
        after = _decoders(place)
        same = {process.pid for process in place.installation.web_processes()} == web
    failed = [entry for entry in load.entries if entry.status != 200]
    unclear = [entry.fault for entry in failed if entry.fault is not None]
    late = [entry for entry in failed if entry.at > killed_at + 5]
    is_met = len(failed) <= 1 and not unclear and not late and same
    place.rows.append(
        Row(
            "decoder killed",
            "what it cost",
            f"{len(failed)} of {len(load.entries)} searches failed ({_words(load)}); decoders {len(before)} before, "
            f"{len(after)} after; serving processes {'the same' if same else 'OTHERS'}",
            f"{_CLIENTS} clients",
            "one clear error, no restart",
            is_met,
        )
    )
    return {"decoders": len(before), "answers": answers(load.entries), "unclear": unclear, **speeds(load.answered())}


def _words(load: Load) -> str:
    return ", ".join(f"{count} x {words}" for words, count in sorted(answers(load.entries).items()))


def _decoders(place: Place) -> list[psutil.Process]:
    """The decoders that live: forks of a nursery below each serving process."""
    return [
        decoder
        for web in place.installation.web_processes()
        for nursery in web.children()
        if _NURSERY in _command(nursery)
        for decoder in nursery.children()
    ]


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _core_seconds(process: psutil.Process) -> float:
    """CPU time it has used; 0 of one that has ended."""
    try:
        used = process.cpu_times()
    except psutil.Error:
        return 0.0
    return float(used.user + used.system)


def database(place: Place) -> dict[str, Any]:
    """Kill -9 PostgreSQL's first process while shoppers search, keep photos and pick."""
    journal, ledger = Journal(), Ledger()
    with place.served():
        [product] = place.admin.call("GET", "/v1/products?limit=1")["items"]
        photos = [(photo, product["sku"]) for photo in read_all(place.photos("1280")[:4])]
        web = {process.pid for process in place.installation.web_processes()}
        shoppers = [
            Shopper(Phone(place.installation.url, place.app_key, journal), photos, ledger, seed)
            for seed in range(_SHOPPERS)
        ]
        for shopper in shoppers:
            shopper.start()
        try:
            time.sleep(place.long_s / 2)
            killed = place.installation.postmaster()
            psutil.Process(killed).kill()
            began = time.monotonic()
            wait_for(lambda: _is_back(place, killed), _BACK_S, "the service to be ready on another server")
            back_s = time.monotonic() - began
            time.sleep(place.long_s / 2)
            recovered = time.monotonic() - place.long_s / 4
        finally:
            for shopper in shoppers:
                shopper.stop()
        same = {process.pid for process in place.installation.web_processes()} == web
        lost = checks.losses(ledger.now(), checks.facts_of(place.installation))
    unclear = faults(journal.entries)
    late = [entry for entry in journal.since(recovered) if entry.status != 200]
    is_met = not unclear and not lost and not late and same
    said = ledger.now()
    place.rows.append(
        Row(
            "database killed",
            "what it cost",
            f"ready after {back_s:.1f} s; {counted(journal.entries)}; unclear: {unclear or 'none'}; "
            f"{len(said.picks)} picks and {len(said.kept)} kept searches acknowledged, lost: {lost or 'none'}; "
            f"serving processes {'the same' if same else 'OTHERS'}",
            f"{_SHOPPERS} shoppers",
            "clear errors, no restart, nothing lost",
            is_met,
        )
    )
    return {"back_s": back_s, "answers": counted(journal.entries), "unclear": unclear, "lost": lost}


def _is_back(place: Place, killed: int) -> bool | None:
    try:
        return place.installation.ready() if place.installation.postmaster() != killed else None
    except BenchFailed:
        return None
