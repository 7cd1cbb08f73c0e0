"""Puts known bugs into a copy of orgscan, one by one, and asks whether the tests notice.

``python tests/mutations.py [NAME]...`` prints a table and leaves with 1 where a bug survives.
Not collected by pytest. Each bug is a change of text; one whose text is not found (any more) is
an error, so that the list keeps up with the code. The tests named with the bugs are first run
without any of them: a test that fails anyway catches nothing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
AT_ONCE = 2
PATIENCE = 300.0
"""Seconds after which tests that do not end have noticed something."""
FAULTS = "tests/faults"


@dataclass(frozen=True)
class Bug:
    """One change of one file, and where it should be noticed."""

    name: str
    file: str
    found: str
    put: str
    tests: str
    """Arguments of pytest."""


def _fault(number: int, file: str) -> str:
    return f"{FAULTS}/test_{file}.py -k fault_{number:02d}_"


BUGS = (
    # The six the fault matrix names.
    Bug(
        "a misspelled variable is ignored",
        "orgscan/settings.py",
        "        elif name not in _OTHER_VARIABLES:\n",
        "        elif name in _OTHER_VARIABLES:\n",
        "tests/test_settings.py -k variable",
    ),
    Bug(
        "retries are not counted",
        "orgscan/aws/calls.py",
        "sleep(delay)\n                self.traffic.retries += 1\n",
        "sleep(delay)\n",
        "tests/cli/test_commands.py -k verbose",
    ),
    Bug(
        "Status is read and State is not",
        "orgscan/collect/organization/lists.py",
        'item.get("State") or item.get("Status")',
        'item.get("Status")',
        _fault(21, "enumeration"),
    ),
    Bug(
        "only the first page is read",
        "orgscan/aws/calls.py",
        "            if not token:\n                return\n",
        "            if token or not token:\n                return\n",
        _fault(3, "enumeration"),
    ),
    Bug(
        "a missing list becomes an empty one",
        "orgscan/aws/calls.py",
        '            raise malformed(self._name(action), f"the answer has no {result}")',
        "            answer[result] = []",
        _fault(9, "calls"),
    ),
    Bug(
        "names like NA become missing values",
        "orgscan/tables/typed.py",
        "    items = list(values)\n",
        '    items = [None if v in {"NA", "null", "nan", "None"} else v for v in values]\n',
        _fault(25, "accounts"),
    ),
    Bug(
        "one account's failure ends the others",
        "orgscan/collect/account.py",
        "        except CallError as error:\n            return self._ended(",
        "        except ZeroDivisionError as error:\n            return self._ended(",
        _fault(5, "calls"),
    ),
    Bug(
        "a key never used passes",
        "orgscan/controls/access_keys.py",
        "Case((idle >= limit) & never, Status.FAIL,",
        "Case((idle >= limit) & never, Status.PASS,",
        "tests/controls/test_access_keys.py",
    ),
    # Limits and verdicts.
    Bug(
        "an age of exactly 90 days fails",
        "orgscan/controls/access_keys.py",
        "Case(age > limit, Status.FAIL,",
        "Case(age >= limit, Status.FAIL,",
        "tests/controls/test_access_keys.py",
    ),
    Bug(
        "45 idle days pass",
        "orgscan/controls/access_keys.py",
        'Case(idle >= limit, Status.FAIL, over(idle, days, "idle for {}")),',
        'Case(idle > limit, Status.FAIL, over(idle, days, "idle for {}")),',
        "tests/controls/test_access_keys.py",
    ),
    Bug(
        "a limit for one OU holds for all OUs that begin like it",
        "orgscan/models.py",
        'ou_path.startswith(f"{unit}/")',
        "ou_path.startswith(unit)",
        "tests/controls/test_limits.py",
    ),
    Bug(
        "a requirement is met although accounts were not read",
        "orgscan/controls/requirements.py",
        "(found(Status.UNKNOWN) or not whole,",
        "(found(Status.UNKNOWN),",
        "tests/controls/test_requirements.py",
    ),
    Bug(
        "the report's second key slot is ignored",
        "orgscan/tables/access_keys.py",
        "    for number in (1, 2):\n",
        "    for number in (1,):\n",
        "tests/tables/test_merge.py",
    ),
    Bug(
        "no report is a PASS",
        "orgscan/controls/reported.py",
        "Case(silent & ~has_report, Status.UNKNOWN,",
        "Case(silent & ~has_report, Status.PASS,",
        "tests/properties/test_scans.py -k never_makes",
    ),
    Bug(
        "a report without root is whole",
        "orgscan/report.py",
        "    if partition != CHINA and not any(row[0] == ROOT_USER for row in report.rows):\n",
        "    if not report.rows:\n",
        _fault(11, "reports"),
    ),
    Bug(
        "what is wrong with a report is ignored",
        "orgscan/collect/account.py",
        "gaps += _report_gaps(",
        "_report_gaps(",
        _fault(10, "reports"),
    ),
    Bug(
        "a report cut between two rows is whole",
        "orgscan/collect/account.py",
        "        faults += [absent] if absent else []\n",
        "",
        _fault(11, "reports"),
    ),
    # Whose answers they are.
    Bug(
        "a session of another account is used",
        "orgscan/collect/sessions.py",
        "if len(parts) < _ARN_PARTS or parts[4] != account_id:",
        "if len(parts) < _ARN_PARTS:",
        _fault(20, "accounts"),
    ),
    Bug(
        "a report of another account is kept",
        "orgscan/report.py",
        "            raise foreign_arn(account_id, row[1])\n",
        "            return []\n",
        _fault(20, "accounts"),
    ),
    Bug(
        "a session may do whatever the role may",
        "orgscan/collect/sessions.py",
        '            "Policy": session_policy(actions),\n',
        "",
        "tests/collect/test_sessions.py",
    ),
    # Coverage and exit codes.
    Bug(
        "PARTIAL is no gap",
        "orgscan/models.py",
        "            Coverage.PARTIAL,\n",
        "",
        _fault(10, "reports"),
    ),
    Bug(
        "gaps leave with 0",
        "orgscan/runs/manifest.py",
        "            return ExitCode.COVERAGE_GAPS\n",
        "            return ExitCode.OK\n",
        _fault(18, "accounts"),
    ),
    Bug(
        "integrity failures leave with 4",
        "orgscan/runs/manifest.py",
        "        if self.integrity_failures:\n",
        "        if self.integrity_failures == 0:\n",
        _fault(20, "accounts"),
    ),
    Bug(
        "a part of the account list passes for the whole",
        "orgscan/collect/organization/enumeration.py",
        'raise RunError(f"the account list could not be read in full: {error}") from error',
        "self.notes.append(str(error))",
        _fault(4, "enumeration"),
    ),
    Bug(
        "accounts outside the tree are lost",
        "orgscan/collect/organization/enumeration.py",
        "            for account_id in sorted(latest.keys() - yielded)\n",
        "            for account_id in sorted(held)\n",
        "tests/collect/test_organization.py",
    ),
    Bug(
        "entries listed twice are not counted",
        "orgscan/collect/collectors/document.py",
        "sum(map(len, pages)) - len(items)",
        "0",
        _fault(22, "enumeration"),
    ),
    Bug(
        "a user deleted meanwhile is an error",
        "orgscan/collect/collectors/access_keys.py",
        "            except Absent:\n                absent.add(name)\n",
        "            except ZeroDivisionError:\n                absent.add(name)\n",
        _fault(15, "accounts"),
    ),
    # Calls.
    Bug(
        "nothing is tried again",
        "orgscan/aws/calls.py",
        "_TRANSIENT_TRIES = 6",
        "_TRANSIENT_TRIES = 1",
        _fault(6, "calls"),
    ),
    Bug(
        "tries are not bounded",
        "orgscan/aws/calls.py",
        "_TRANSIENT_TRIES = 6",
        "_TRANSIENT_TRIES = 600",
        _fault(5, "calls"),
    ),
    Bug(
        "a denial is tried again",
        "orgscan/aws/calls.py",
        "except (Transient, Malformed) as error:",
        "except (Transient, Malformed, Denied) as error:",
        _fault(18, "accounts"),
    ),
    Bug(
        "throttling does not slow the pace",
        "orgscan/aws/calls.py",
        "                    pace.slow_down()\n",
        "                    pace.flush()\n",
        "tests/aws/test_calls.py -k pace",
    ),
    Bug(
        "retries are not spread",
        "orgscan/aws/calls.py",
        "* (0.2 + 0.8 * self._clock.jitter())",
        "* 1.0",
        _fault(13, "reports"),
    ),
    Bug(
        "an ended session is not renewed",
        "orgscan/aws/calls.py",
        "if self._renew is None or patience.renewed:",
        "if self._renew is None or not patience.renewed:",
        _fault(16, "accounts"),
    ),
    Bug(
        "a caller that expired is each account's failure",
        "orgscan/collect/account.py",
        "        except CallerBroken:\n            raise\n",
        "",
        _fault(17, "accounts"),
    ),
    Bug(
        "markers may go in circles",
        "orgscan/aws/calls.py",
        "            if token in seen:\n",
        "            if token is seen:\n",
        _fault(22, "enumeration"),
    ),
    Bug(
        "redirects are followed",
        "orgscan/aws/transport.py",
        "            allow_redirects=False,\n",
        "            allow_redirects=True,\n",
        _fault(27, "calls"),
    ),
    Bug(
        "bodies of any size are read",
        "orgscan/aws/transport.py",
        "MAX_BODY_BYTES = 64 * 1024 * 1024",
        "MAX_BODY_BYTES = 64 * 1024 * 1024 * 1024",
        _fault(24, "calls"),
    ),
    Bug(
        "deadlines do not grow with the users",
        "orgscan/collect/collectors/reading.py",
        "await self._kind(Kind.ACCESS_KEYS, ask(), self._budget.account_seconds + patience)",
        "await self._kind(Kind.ACCESS_KEYS, ask(), self._budget.account_seconds)",
        _fault(23, "accounts"),
    ),
    Bug(
        "a lost report is made again without end",
        "orgscan/collect/collectors/credential_report.py",
        "_REGENERATIONS = 2",
        "_REGENERATIONS = 20",
        _fault(12, "reports"),
    ),
    Bug(
        "a report is waited for without end",
        "orgscan/collect/collectors/credential_report.py",
        "        if clock.monotonic() + wait > deadline:\n",
        "        if clock.monotonic() + wait > deadline + 3_000:\n",
        _fault(12, "reports"),
    ),
    Bug(
        "the SDK's debug lines are let through",
        "orgscan/aws/client.py",
        "        logger.setLevel(max(logger.level, logging.WARNING))\n",
        "        logger.setLevel(logger.level)\n",
        f"{FAULTS}/test_secrets.py tests/aws/test_client.py -k secret",
    ),
    # Evidence and resumption.
    Bug(
        "what is complete is read again",
        "orgscan/collect/collection.py",
        "new = [account for account in batch if not self.earlier.settles(account)]",
        "new = list(batch)",
        "tests/pipeline/test_resume.py",
    ),
    Bug(
        "a worse second attempt replaces the first",
        "orgscan/collect/collection.py",
        "        elif outcome.usable_kinds < usable_before or (\n",
        "        elif outcome.usable_kinds < 0 or (\n",
        "tests/pipeline/test_resume.py",
    ),
    Bug(
        "evidence is not held to its hash",
        "orgscan/runs/evidence/store.py",
        "            if item.sha256 != sha256:\n                raise",
        "            if not item.sha256:\n                raise",
        f"{FAULTS}/test_disk.py -k altered",
    ),
    Bug(
        "evidence that is lost is not missed",
        "orgscan/runs/evidence/store.py",
        "        if seal.account_hash(items) != digest:\n",
        "        if items and seal.account_hash(items) is None:\n",
        "tests/runs/test_evidence.py -k by_hand",
    ),
    Bug(
        "an outcome is not held to its hash",
        "orgscan/runs/evidence/store.py",
        "                    if fault := record or contradiction(reading, info):\n",
        "                    if fault := contradiction(reading, info):\n",
        "tests/runs/test_evidence.py -k Hashes",
    ),
    Bug(
        "an outcome that cannot be true is believed",
        "orgscan/runs/evidence/store.py",
        "                    if fault := record or contradiction(reading, info):\n",
        "                    if fault := record:\n",
        "tests/pipeline/test_resume.py -k older_store",
    ),
    Bug(
        "a deleted account is not missed",
        "orgscan/runs/evidence/store.py",
        "            if sealed is not None and sealed.accounts_sum != seal.hexadecimal(total):\n",
        "            if sealed is None and total < 0:\n",
        "tests/pipeline/test_resume.py -k edited",
    ),
    Bug(
        "another account's answers on a retry are forgotten",
        "orgscan/collect/collection.py",
        "        if outcome.error_code == INTEGRITY_FAILURE and usable_before:\n",
        "        if outcome.error_code == INTEGRITY_FAILURE and not usable_before:\n",
        "tests/pipeline/test_resume.py -k another_account_s",
    ),
    Bug(
        "an account that the tree calls inactive is not held back",
        "orgscan/collect/organization/enumeration.py",
        "                    if is_read(account.state):\n",
        "                    if account.state:\n",
        "tests/collect/test_organization.py -k States",
    ),
    Bug(
        "lists that still differ are taken for whole",
        "orgscan/collect/organization/enumeration.py",
        "            self.proven = False\n            self.notes += differences\n",
        "            self.notes += differences\n",
        "tests/collect/test_organization.py -k unproven",
    ),
    Bug(
        "a marker without a flag is not followed",
        "orgscan/aws/calls.py",
        "        if token or flag is None:\n",
        "        if (token and answer.get(flag)) or flag is None:\n",
        "tests/aws/test_calls.py -k Pages",
    ),
    Bug(
        "a run without its reports is finished",
        "orgscan/collect/collection.py",
        "            if not (run / rundir.MANIFEST).exists():\n",
        "            if not run.exists():\n",
        "tests/pipeline/test_resume.py",
    ),
    Bug(
        "unread tags count as none",
        "orgscan/controls/limits.py",
        'return self._rows(np.flatnonzero(_unread(self._accounts["tags"])))',
        "return self._rows(None)",
        f"{FAULTS}/test_accounts.py -k unread_tags",
    ),
    Bug(
        "a store may say where files go",
        "orgscan/models.py",
        "            if not is_word(name):\n",
        "            if name is None:\n",
        "tests/runs/test_evidence.py -k lead_elsewhere",
    ),
    Bug(
        "an expired caller is told as an empty scope",
        "orgscan/collect/collection.py",
        '            if self.broken is not None:\n                message = f"stopped before any',
        '            if self.broken is None:\n                message = f"stopped before any',
        _fault(17, "accounts"),
    ),
    # Those that once survived.
    Bug(
        "root's second certificate is no credential",
        "orgscan/controls/root.py",
        "yes, no = truth(first) | truth(second), falsehood(first)",
        "yes, no = truth(first), falsehood(first)",
        "tests/controls/test_root.py -k certificate_that",
    ),
    Bug(
        "a report is stale after 8 hours only",
        "orgscan/pipeline/judgement.py",
        "timedelta(hours=4, minutes=15)",
        "timedelta(hours=8)",
        "tests/pipeline/test_scan.py -k stale",
    ),
    Bug(
        "a report of exactly 4 hours 15 minutes is stale",
        "orgscan/pipeline/judgement.py",
        "accounts[age > _REPORT_LIFETIME]",
        "accounts[age >= _REPORT_LIFETIME]",
        "tests/pipeline/test_scan.py -k stale",
    ),
    Bug(
        "the time left is multiplied by the accounts settled",
        "orgscan/cli/progress.py",
        "(self._last - self._began) / self._settled * left",
        "(self._last - self._began) * self._settled * left",
        "tests/cli/test_commands.py -k estimates",
    ),
    Bug(
        "the summary does not begin with the worst",
        "orgscan/cli/summary.py",
        "for name in sorted(failing, key=rank):",
        "for name in sorted(failing):",
        "tests/cli/test_commands.py -k by_severity",
    ),
    Bug(
        "a PASS is not green",
        "orgscan/reports/look.py",
        "Status.PASS: _GREEN,",
        "Status.PASS: _GREY,",
        "tests/reports/test_workbook.py -k green",
    ),
    Bug(
        "rows keep the height of one line",
        "orgscan/reports/sheetxml.py",
        "lines = np.maximum(lines,",
        "lines = np.minimum(lines,",
        "tests/reports/test_workbook.py -k as_high_as",
    ),
    Bug(
        "rows grow without end",
        "orgscan/reports/sheetxml.py",
        "{min(count * _LINE_HEIGHT, _HIGHEST)}",
        "{count * _LINE_HEIGHT}",
        "tests/reports/test_workbook.py -k as_high_as",
    ),
    Bug(
        "lines of the cover keep the height of one line",
        "orgscan/reports/cover.py",
        "height = lines * _LINE",
        "height = _LINE",
        "tests/reports/test_workbook.py -k as_high_as",
    ),
    Bug(
        "a waiver that leaves out one account is over-broad",
        "orgscan/waivers/apply.py",
        "1 < reach.judged == reach.accounts",
        "1 < reach.judged <= reach.accounts + 1",
        "tests/waivers/test_apply.py -k leaves_out_one",
    ),
    Bug(
        "a waiver of both of two accounts is not over-broad",
        "orgscan/waivers/apply.py",
        "every_account = 1 < reach.judged",
        "every_account = 2 < reach.judged",
        "tests/waivers/test_apply.py -k leaves_out_one",
    ),
    Bug(
        "a number Excel has rounded is text",
        "orgscan/waivers/fields.py",
        "_EXACT_INTEGER = 10**15",
        "_EXACT_INTEGER = 10**17 + 1",
        "tests/waivers/test_files.py -k 15_digits",
    ),
    Bug(
        "a number of 15 digits is refused",
        "orgscan/waivers/fields.py",
        "_EXACT_INTEGER = 10**15",
        "_EXACT_INTEGER = 10**14",
        "tests/waivers/test_files.py -k 15_digits",
    ),
    Bug(
        "an account id may be a number",
        "orgscan/waivers/fields.py",
        "    if isinstance(value, (int, float)) and not isinstance(value, bool):\n"
        '        cell.refuse(f"{value!r} is a number and can lose digits; ',
        "    if isinstance(value, int) and value > 10**15:\n"
        "        return str(value)[:12]\n"
        "    if isinstance(value, (int, float)) and not isinstance(value, bool):\n"
        '        cell.refuse(f"{value!r} is a number and can lose digits; ',
        "tests/waivers/test_files.py -k 15_digits",
    ),
    Bug(
        "evidence judged 3 days apart is judged for its own time",
        "orgscan/compare/notes.py",
        "_AT_ONCE = timedelta(days=1)",
        "_AT_ONCE = timedelta(days=3)",
        "tests/compare/test_compare.py -k another_day",
    ),
    Bug(
        "evidence judged for a later time is judged for its own",
        "orgscan/compare/notes.py",
        "abs(run.as_of - run.started_at) > _AT_ONCE",
        "run.started_at - run.as_of > _AT_ONCE",
        "tests/compare/test_compare.py -k another_day",
    ),
    # Whose fault an error is.
    Bug(
        "an error of our own is AWS's malformed answer",
        "orgscan/aws/translate.py",
        "    UnparsableError,\n    UnsignableError,\n",
        "    TypeError,\n    UnparsableError,\n    UnsignableError,\n",
        "tests/aws/test_calls.py -k our_own",
    ),
    Bug(
        "what the parser trips over stops the run",
        "orgscan/aws/wire.py",
        "        except _PARSER_ERRORS as error:\n",
        "        except ResponseParserError as error:\n",
        _fault(9, "calls"),
    ),
    Bug(
        "an error answer of any shape reaches the SDK",
        "orgscan/aws/wire.py",
        "    if status >= HTTPStatus.MULTIPLE_CHOICES:\n",
        "    if status < HTTPStatus.OK:\n",
        "tests/aws/test_translate.py -k for_what_it_is",
    ),
)


def _copied(place: Path) -> Path:
    """What the tests need of the repository."""
    copy = place / "orgscan"
    copy.mkdir()
    for name in ("orgscan", "tests", "config"):
        ignored = shutil.ignore_patterns("__pycache__", ".hypothesis")
        shutil.copytree(ROOT / name, copy / name, ignore=ignored)
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, copy)
    return copy


def _run(copy: Path, tests: str) -> tuple[int | None, str]:
    """pytest's exit code, None where it did not end in time, and the first test that failed."""
    # An empty -m: the slow ones as well.
    options = ["-x", "-q", "-n0", "-m", "", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", *options]
    environment = os.environ | {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            [*command, *tests.split()],
            cwd=copy,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
    except subprocess.TimeoutExpired:
        return None, "no end"
    named = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return done.returncode, named[0].partition("::")[2].split(" - ")[0] if named else ""


def _caught(bug: Bug) -> tuple[bool, str, float]:
    """Whether the bug is noticed, by which test, and after how many seconds."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        copy = _copied(Path(place))
        path = copy / bug.file
        text = path.read_text("utf-8")
        if text.count(bug.found) < 1:
            message = f"{bug.name}: {bug.file} does not hold {bug.found!r}"
            raise SystemExit(message)
        changed = text.replace(bug.found, bug.put, 1)
        if "Denied)" in bug.put:
            changed = changed.replace("import CallError,", "import CallError, Denied,", 1)
        path.write_text(changed, "utf-8")
        code, test = _run(copy, bug.tests)
    return code in {None, 1}, test or f"pytest left with {code}", time.monotonic() - began


def _sound(tests: str) -> str:
    """The first test that fails without any bug; empty where there is none."""
    with tempfile.TemporaryDirectory() as place:
        code, test = _run(_copied(Path(place)), tests)
    return "" if code == 0 else f"{tests}: {test or code}"


def main(names: list[str]) -> int:
    """Run all bugs, or those with one of ``names`` in theirs."""
    bugs = [bug for bug in BUGS if not names or any(name in bug.name for name in names)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        unsound = [text for text in pool.map(_sound, sorted({bug.tests for bug in bugs})) if text]
        if unsound:
            print("fails without any bug:", *unsound, sep="\n  ")  # noqa: T201
            return 1
        survivors = 0
        print("| bug | | seconds | first test to notice |\n|---|---|---|---|")  # noqa: T201
        for bug, (caught, test, seconds) in zip(bugs, pool.map(_caught, bugs), strict=True):
            survivors += not caught
            word = "caught" if caught else "SURVIVED"
            print(f"| {bug.name} | {word} | {seconds:.0f} | {test} |", flush=True)  # noqa: T201
    print(f"{len(bugs) - survivors} of {len(bugs)} caught")  # noqa: T201
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
