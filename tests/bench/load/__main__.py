"""``make bench``: how quick the service is, what it does when too many come, and what it costs; every figure beside its
yardstick, measured in the same run.

Its shop and its photos are drawn once and kept below PICKTURE_HOME's folder ``bench``; PICKTURE_HOME itself is left
alone. Writes ``bench/load.json`` there and prints a table; the exit status is 1 where an aim was missed, 2 where the
measurement could not go on.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from app.config import Settings
from tests.bench.installation import BenchFailed
from tests.bench.load import kills, speed, upkeep
from tests.bench.load.judging import table
from tests.bench.load.photos import SIZES
from tests.bench.load.place import Place, Scenario

SCENARIOS: Mapping[str, Scenario] = {
    "one": speed.one,
    "sixteen": speed.sixteen,
    "overload": speed.overload,
    "slow": speed.slow,
    "ready": upkeep.ready,
    "memory": upkeep.memory,
    "swaps": upkeep.swaps,
    "bulk": upkeep.bulk,
    "decoder": kills.decoder,
    "database": kills.database,
}
_NEEDS_NO_YARDSTICK = {"ready", "memory", "swaps", "decoder", "database", "slow"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the scenarios asked for."""
    asked = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # the service goes as well
    out = Settings.from_env().home / "bench"
    home = out / "load-home"
    home.mkdir(parents=True, exist_ok=True)
    (out / "load-service.log").unlink(missing_ok=True)
    began = time.monotonic()

    def say(line: str) -> None:
        print(f"[{time.monotonic() - began:7.1f} s] {line}", flush=True)

    place = Place(home, out, asked.workers, asked.quick, say)
    try:
        found = _measured(place, asked.only or list(SCENARIOS), out)
    except BenchFailed as failed:
        print(f"the measurement could not go on: {failed}", file=sys.stderr)
        return 2
    print(table(place.rows))
    print(f"\n{out / 'load.json'}; the service's log: {out / 'load-service.log'}")
    if asked.quick:
        print("quick: too short to be believed")
    return int(any(row["met"] is False for row in found["rows"]))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--only", action="append", choices=SCENARIOS, help="this scenario; may repeat")
    parser.add_argument("--workers", type=int, default=1, help="gunicorn workers of the service")
    parser.add_argument("--quick", action="store_true", help="try the measurement: a few seconds each")
    return parser


def _measured(place: Place, names: Sequence[str], out: Path) -> dict[str, Any]:
    """Every scenario in turn; what has been measured is written after each."""
    place.prepare(versions=2 if "swaps" in names else 1)
    place.installation.run("db", "stop")
    result: dict[str, Any] = {"machine": _machine(), "workers": place.workers, "quick": place.quick, "scenarios": {}}
    if set(names) - _NEEDS_NO_YARDSTICK:
        place.measure_yardsticks(SIZES)
    for name in names:
        place.say(f"scenario {name}: {(SCENARIOS[name].__doc__ or '').splitlines()[0]}")
        shown = len(place.rows)
        result["scenarios"][name] = SCENARIOS[name](place)
        result["yardsticks"] = place.known()
        result["rows"] = [row.to_json() for row in place.rows]
        (out / "load.json").write_text(json.dumps(result, indent=1))
        print(table(place.rows[shown:]), flush=True)
    return result


def _machine() -> dict[str, Any]:
    return {
        "cores": len(os.sched_getaffinity(0)),
        "cores_of_the_machine": os.cpu_count(),
        "processor": platform.processor() or platform.machine(),
        "load_before": os.getloadavg(),
        "openvino": version("openvino"),
        "pillow": version("pillow"),
    }


if __name__ == "__main__":
    sys.exit(main())
