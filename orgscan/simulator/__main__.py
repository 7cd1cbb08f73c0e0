"""``python -m orgscan.simulator``: serve a named world until told to stop.

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
from typing import TYPE_CHECKING, Any

from orgscan.simulator.limits import PUBLISHED
from orgscan.simulator.server import Simulator
from orgscan.simulator.worlds import WORLDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orgscan.simulator.world import World


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the arguments and serve."""
    options = _parser().parse_args(arguments)
    world = _world(options)
    asyncio.run(_serve(world, options))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m orgscan.simulator", description=__doc__)
    parser.add_argument("--world", choices=sorted(WORLDS), default="demo")
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--accounts", type=int)
    parser.add_argument("--users", type=int, help="in each account")
    parser.add_argument("--large", type=int, help="users of one large account")
    parser.add_argument("--now", type=_time, help="the world's time, ISO 8601")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each answer")
    parser.add_argument("--limits", action="store_true", help="keep to AWS's published rates")
    parser.add_argument("--json", action="store_true", help="tell the credentials as well")
    return parser


def _time(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _world(options: argparse.Namespace) -> World:
    """The named world; an option it does not know is an error."""
    build = WORLDS[options.world]
    wanted: dict[str, Any] = {
        name: getattr(options, name)
        for name in ("accounts", "users", "large", "now")
        if getattr(options, name) is not None
    }
    unknown = wanted.keys() - signature(build).parameters.keys()
    if unknown:
        _parser().error(f"world {options.world} has no option {', '.join(sorted(unknown))}")
    return build(seed=options.seed, **wanted)


async def _serve(world: World, options: argparse.Namespace) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    simulator = Simulator(
        world,
        record=False,
        latency=options.latency,
        limits=PUBLISHED if options.limits else None,
        port=options.port,
    )
    async with simulator:
        line = simulator.endpoint_url
        if options.json:
            told = {"endpoint_url": line, "credentials": simulator.credentials}
            line = json.dumps(told)
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
        await stop.wait()


if __name__ == "__main__":
    sys.exit(main())
