"""``make chaos``: a real service with its worker, shoppers who never stop, and accidents in the middle of retrainings.

Kills the worker at random (seeded) moments, kills PostgreSQL, fills the state folder's file system and frees it, and
looks after each at what the service promises. Its state folder is a temporary one. Writes ``bench/chaos.json`` to
PICKTURE_HOME and prints a table; the exit status is 1 where a promise is broken.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import requests

from app.cli.demo.shop import FAMILY, write_catalogue
from app.config import Settings
from augment.render import RenderedProduct, make_catalogue
from tests.bench import checks, judging
from tests.bench.accidents import ADMINISTRATOR, BACK_S, fill_disk, kill_database, kill_worker
from tests.bench.admin import Admin
from tests.bench.disk import NoLimit, limited
from tests.bench.drawn import another, phone_photos
from tests.bench.installation import START_S, BenchFailed, Installation, wait_for
from tests.bench.judging import Promise
from tests.bench.shoppers import counted, faults
from tests.bench.town import FOLDS, Accident, Town

LABELS = 20
KILLS = 20
SIZE_MB = 2048
SHOPPERS = 2
_CATALOGUE_SEED = 31
_PHOTO_SEED = 40_000
_SEARCHED = 2
"""Phone photos of each product that shoppers search with."""

_STOCK = 4
"""Phone photos of each product that the administrator adds, altered a little each time they have all been used."""

KINDS = {
    "champion": r"champion|0 champions|.*the service is not ready",
    "half": "bundle",
    "administrator": ADMINISTRATOR,
    "stray": r"\d+ of \d+ photos in the media store have no row",
    "lost": r".* lost|.* not whole in the media",
    # Judged by the journal, by the workers' times and by the jobs themselves.
    "answer": r"\d+ x ",
    "back": r"the worker was back after",
    "job": r"the retraining ",
}
"""How problems begin, by the promise that judges them; ``nothing else was found`` judges the rest."""

_SETTINGS = {"PICKTURE_SESSION_MINUTES": "1440", "PICKTURE_CURRENCY": "EUR"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; the exit status is 1 where a promise is broken, 2 where it could not be run to its end."""
    asked = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # the service and its folder go as well
    out = Settings.from_env().home / "bench"
    out.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()

    def say(line: str) -> None:
        print(f"[{time.monotonic() - began:7.1f} s] {line}", flush=True)

    try:
        with _state_folder(asked.size_mb) as (home, no_limit):
            say(f"state folder {home}" + ("" if no_limit is None else f"; {no_limit}"))
            result = _run(asked, home, no_limit, out, say)
    except BenchFailed as failed:
        print(f"the measurement could not go on: {failed}", file=sys.stderr)
        return 2
    (out / "chaos.json").write_text(json.dumps(result, indent=1))
    promises = [Promise(**promise) for promise in result["promises"]]
    print(_accident_table(result["accidents"]), judging.table(promises), sep="\n\n")
    print(f"\n{out / 'chaos.json'}; the service's log: {out / 'chaos-service.log'}")
    return judging.exit_status(promises)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=KILLS, help="of the worker")
    parser.add_argument("--labels", type=int, default=LABELS, help="products in the catalogue")
    parser.add_argument("--seed", type=int, default=5, help="of every moment")
    parser.add_argument("--size-mb", type=int, default=SIZE_MB, help="of the state folder's file system")
    return parser


@contextmanager
def _state_folder(size_mb: int) -> Iterator[tuple[Path, str | None]]:
    """A temporary folder, on a file system of limited size where there can be one; else with the reason."""
    with tempfile.TemporaryDirectory(prefix="pickture-chaos-") as folder, ExitStack() as stack:
        place = Path(folder) / "home"
        place.mkdir()
        no_limit = None
        try:
            stack.enter_context(limited(place, size_mb))
        except NoLimit as error:
            no_limit = str(error)
        yield place, no_limit


def _run(
    asked: argparse.Namespace, home: Path, no_limit: str | None, out: Path, say: Callable[[str], None]
) -> dict[str, Any]:
    log = out / "chaos-service.log"
    log.unlink(missing_ok=True)
    place = Installation(home, log, _SETTINGS)
    products = make_catalogue(asked.labels, _CATALOGUE_SEED, FAMILY)
    say(f"drawing {len(products)} products and their phone photos")
    drawn = phone_photos(products, _PHOTO_SEED, _SEARCHED + _STOCK)
    with tempfile.TemporaryDirectory(prefix="pickture-chaos-drawn-") as folder:
        write_catalogue(Path(folder), products, "EUR")
        place.run("db", "upgrade")
        place.run("catalog", "import", folder)
    keys = {role: place.run("keys", "create", "--role", role)["key"] for role in ("app", "admin")}
    with place.served():
        town = Town(place, Admin(place, keys["admin"]), keys["app"], _stock(products, drawn, asked.seed), asked.seed)
        say("the first model")
        town.admin.succeeded(town.admin.retrain(folds=FOLDS))
        wait_for(place.ready, START_S, "the service to be ready")
        searched = [(photo, p.sku) for p, photos in zip(products, drawn, strict=True) for photo in photos[:_SEARCHED]]
        town.open_shop(searched, SHOPPERS)
        accidents = _accidents(town, asked.kills, no_limit is None, say)
        town.close_shop()
        say("looking at everything once more")
        promises = _promises(town, accidents, no_limit)
        weights = requests.get(f"{place.url}/readyz", timeout=30).json().get("weights")
    return {
        "cores": os.cpu_count(),
        "labels": asked.labels,
        "seed": asked.seed,
        "weights": weights,
        "retrain_s": town.retrain_s,
        "accidents": [asdict(accident) for accident in accidents],
        "retrains": town.retrains,
        "answers": counted(town.journal.entries),
        "tracebacks_in_the_log": log.read_text("utf-8", "replace").count("Traceback (most recent call last)"),
        "promises": judging.to_json(promises),
    }


def _stock(
    products: Sequence[RenderedProduct], drawn: Sequence[Sequence[bytes]], seed: int
) -> Callable[[], tuple[str, bytes]]:
    """Photos for the administrator to add, without end: (sku, photo), no two alike."""
    pairs = [(p.sku, photo) for p, photos in zip(products, drawn, strict=True) for photo in photos[_SEARCHED:]]
    random.Random(seed).shuffle(pairs)
    endless, rng, counter = itertools.cycle(pairs), np.random.default_rng(seed), itertools.count()

    def following() -> tuple[str, bytes]:
        sku, photo = next(endless)
        return sku, photo if next(counter) < len(pairs) else another(photo, rng)

    return following


def _accidents(town: Town, kills: int, is_limited: bool, say: Callable[[str], None]) -> list[Accident]:
    town.measure_retrain()
    say(f"a retraining in peace takes {town.retrain_s:.0f} s")
    plan = [kill_worker] * kills
    plan.insert((kills + 1) // 2, kill_database)
    if is_limited:
        plan.append(fill_disk)
    done = []
    for number, happen in enumerate(plan, start=1):
        try:
            accident = happen(town)
        except BenchFailed as failed:
            # The end: nothing more can be learnt but what is lost.
            town.place.run("db", "start")
            done.append(Accident(happen.__doc__ or "", problems=[str(failed)]))
            say(f"{number}/{len(plan)} {failed}")
            break
        done.append(accident)
        say(f"{number}/{len(plan)} {_line(accident)}")
    return done


def _promises(town: Town, accidents: Sequence[Accident], no_limit: str | None) -> list[Promise]:
    final = Accident("the end")
    if town.is_busy:
        with suppress(BenchFailed):
            town.let_end()
    began = time.monotonic()
    town.check(final, began)
    stuck = checks.unfinished_jobs(town.place)
    entries = town.journal.entries
    unclear = faults(entries)
    kills = [a for a in accidents if a.what == "worker killed"]
    backs = [a.worker_back_s for a in accidents if a.worker_back_s is not None]
    failed = [job for job in town.retrains if job["state"] != "succeeded" and not job["may_fail"]]
    said = town.ledger.now()
    looks = sum(accident.looked for accident in (*accidents, final))
    sorted_out = judging.sorted_out([problem for a in (*accidents, final) for problem in a.problems], KINDS)
    champion, halves, lost, strays = (sorted_out[kind] for kind in ("champion", "half", "lost", "stray"))
    errors = sum(entry.status != 200 for entry in entries)
    adding = sorted_out["administrator"]
    return [
        Promise("a valid champion is served after each accident", not champion, _or(champion, f"{looks} looks")),
        Promise(
            "no half bundle is loadable",
            not halves,
            _or(halves, f"{len(checks.facts_of(town.place).bundles)} versions"),
        ),
        Promise(
            "errors are clear",
            not unclear and not adding,
            _or([*unclear, *adding], f"{len(entries)} requests, {errors} errors: {_codes(entries)}"),
        ),
        Promise(
            f"the worker is back within {BACK_S:.0f} s",
            len(backs) == len(accidents) and max(backs, default=0) <= BACK_S,
            f"at most {max(backs, default=0):.0f} s in {len(backs)} of {len(accidents)} accidents",
        ),
        Promise("no job is stuck", not stuck, _or(stuck, "every job has ended, the queue is empty")),
        Promise(
            "every retraining that was killed came to its end",
            not failed,
            _or([str(job) for job in failed], f"{len(town.retrains)} retrainings, {len(kills)} kills"),
        ),
        Promise(
            "no photo or pick is lost",
            not lost,
            _or(
                lost,
                f"{len(said.photos)} photos, {len(said.picks)} picks, {len(said.kept)} kept searches and "
                f"{len(said.reviewed)} reviewed photos are there",
            ),
        ),
        Promise("no kept photo is beyond reach", not strays, _or(strays, f"{looks} looks, each file has its row")),
        _of(accidents, "database killed", "PostgreSQL killed in a retraining", None),
        _of(accidents, "file system full", "the file system full and freed", no_limit),
        Promise("nothing else was found", not sorted_out["else"], _or(sorted_out["else"], f"{looks} looks")),
    ]


def _of(accidents: Sequence[Accident], what: str, name: str, not_run: str | None) -> Promise:
    found = next((accident for accident in accidents if accident.what.startswith(what)), None)
    if found is None:
        return Promise(name, None, not_run or "was not asked for", was_run=False)
    return Promise(name, not found.problems, _or(found.problems, f"ready again after {found.ready_s} s"))


def _or(problems: Sequence[str], fine: str) -> str:
    return "; ".join(problems[:3]) if problems else fine


def _codes(entries: Sequence[Any]) -> str:
    told = {k: v for k, v in counted(entries).items() if not k.endswith(" 200")}
    return ", ".join(f"{v} x {k}" for k, v in sorted(told.items())) or "none"


def _line(accident: Accident) -> str:
    words = f"{accident.what} at {accident.step!r}: worker back {accident.worker_back_s} s, "
    words += f"resumed {accident.resumed_s} s, ready {accident.ready_s} s"
    return words + (f"; BROKEN: {accident.problems}" if accident.problems else "")


def _accident_table(accidents: Sequence[dict[str, Any]]) -> str:
    lines = [f"{'accident':40}{'back s':>8}{'resumed s':>11}{'ready s':>9}  step"]
    for row in accidents:
        figures = [
            "-" if row[name] is None else f"{row[name]:.1f}" for name in ("worker_back_s", "resumed_s", "ready_s")
        ]
        lines.append(f"{row['what'][:39]:40}{figures[0]:>8}{figures[1]:>11}{figures[2]:>9}  {row['step']}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
