"""The command line: one file per command, heavy imports only inside commands."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from orgscan import log
from orgscan.cli import check, compare, config, controls, demo, report, role, scan, trend, verify
from orgscan.cli.usage import complain, help_alone
from orgscan.errors import ExitCode, OrgscanError

if TYPE_CHECKING:
    from collections.abc import Sequence

# Recent typer carries its own copy of click; this finds the base of its usage errors in
# either.
_UsageFault: type[Exception] = next(
    base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException"
)

_TOO_MANY_FILES = (
    "too many open files; raise the limit (`ulimit -n 1024`) or lower --concurrency, "
    "then run `orgscan scan --resume`; collected evidence is kept"
)

app = typer.Typer(
    name="orgscan",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Find and evaluate the long-lived IAM credentials of an AWS organization.",
)
app.command("demo")(demo.demo)
app.command("scan")(scan.scan)
app.command("report")(report.report)
app.command("compare")(compare.compare)
app.command("trend")(trend.trend)
app.command("verify")(verify.verify)
app.command("check")(check.check)
app.command("config")(config.config)
app.add_typer(controls.app, name="controls")
app.add_typer(role.app, name="role")


def _show_version(value: bool) -> None:
    if value:
        from orgscan.version import __version__

        typer.echo(f"orgscan {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: bool = typer.Option(  # noqa: ARG001 - its callback does the work
        False, "--version", callback=_show_version, is_eager=True, help="Show the version."
    ),
) -> None:
    """Find and evaluate the long-lived IAM credentials of an AWS organization.

    Exit codes: 0 success, no coverage gaps; 1 the run failed; 2 usage or settings;
    3 findings at or above --fail-on; 4 coverage has gaps; 5 integrity failure;
    130 or 143 interrupted, evidence kept.
    """
    help_alone(context)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and leave the process with the documented exit code.

    What a user can cause ends in one line on standard error, never in a traceback.
    """
    _open_streams()
    with log.to_stderr():
        code = int(ExitCode.RUN_FAILED)
        try:
            code = int(app(args=arguments, standalone_mode=False) or 0)
            sys.stdout.flush()
        except _UsageFault as error:
            code = _complain(_message(error), ExitCode.USAGE)
        except OrgscanError as error:
            code = _complain(str(error), error.exit_code)
        except OSError as error:
            if error.errno not in {errno.EMFILE, errno.ENFILE}:
                raise
            code = _complain(_TOO_MANY_FILES, ExitCode.RUN_FAILED)
        except (typer.Abort, KeyboardInterrupt):
            code = _complain("interrupted", ExitCode.INTERRUPTED)
        finally:
            log.finish(code)
    raise SystemExit(code)


class _Unfailing(io.FileIO):
    """A stream whose reader may go away, or whose disk may be full: that is no reason to stop.

    What is lost is what was to be shown; the exit code still tells how the run ended.
    """

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data) or 0
        except OSError:
            return len(data)


def _open_streams() -> None:
    """Make standard output and error such streams; give a process without them ones to nowhere."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            number = os.open(os.devnull, os.O_WRONLY)
        elif stream is getattr(sys, f"__{name}__"):
            stream.flush()
            number = stream.fileno()
        else:
            continue  # a test's, or an embedding program's
        # Never closed by us: others may still write to it when the interpreter ends.
        raw = _Unfailing(number, "w", closefd=False)
        opened = io.TextIOWrapper(
            io.BufferedWriter(raw),
            encoding=stream.encoding if stream else "utf-8",
            errors="backslashreplace",
            line_buffering=name == "stderr" or raw.isatty(),
        )
        setattr(sys, name, opened)


def _message(error: Any) -> str:
    text: str = error.format_message()
    command = error.ctx.command_path if getattr(error, "ctx", None) else "orgscan"
    return f"{text.rstrip('.')}; see `{command} --help`"


def _complain(message: str, code: ExitCode) -> int:
    complain(message, exit_code=int(code))
    return int(code)
