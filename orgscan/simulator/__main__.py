"""``python -m orgscan.simulator``: serve the demo organization until stopped.

Prints one line on standard output: the endpoint's URL, or with ``--json`` an object with the
URL and the caller's credentials, which are made up and open nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from datetime import UTC, datetime
from inspect import signature
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from orgscan.simulator.demo import demo
from orgscan.simulator.rates import PUBLISHED
from orgscan.simulator.server import Simulator

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from orgscan.simulator.world import World


def main(
    arguments: Sequence[str] | None = None,
    worlds: Mapping[str, Callable[..., World]] = MappingProxyType({"demo": demo}),
) -> int:
    """Parse the arguments and serve one of ``worlds``."""
    parser = argparse.ArgumentParser(prog="python -m orgscan.simulator", description=__doc__)
    parser.add_argument("--world", choices=sorted(worlds), default="demo")
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--accounts", type=int)
    parser.add_argument("--users", type=int, help="in each account")
    parser.add_argument("--large", type=int, help="users of one large account")
    parser.add_argument("--now", type=_time, help="the world's time, ISO 8601")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each answer")
    parser.add_argument("--limits", action="store_true", help="keep to AWS's published rates")
    parser.add_argument("--json", action="store_true", help="print the credentials, too")
    options = parser.parse_args(arguments)
    build = worlds[options.world]
    chosen: dict[str, Any] = {
        name: getattr(options, name)
        for name in ("accounts", "users", "large", "now")
        if getattr(options, name) is not None
    }
    unknown = chosen.keys() - signature(build).parameters.keys()
    if unknown:
        parser.error(f"world {options.world} has no option {', '.join(sorted(unknown))}")
    asyncio.run(_serve(build(seed=options.seed, **chosen), options))
    return 0


def _time(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


async def _serve(world: World, options: argparse.Namespace) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    simulator = Simulator(
        world,
        record=False,
        latency=options.latency,
        rates=PUBLISHED if options.limits else None,
        port=options.port,
    )
    async with simulator:
        line = simulator.endpoint_url
        if options.json:
            line = json.dumps({"endpoint_url": line, "credentials": simulator.credentials})
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
        await stop.wait()


if __name__ == "__main__":
    sys.exit(main())
