"""Options that several commands have. Each is a setting, too; not given, it is ``None``."""

from __future__ import annotations

import typer

ROLE_NAME = typer.Option(None, help="Audit role to assume in every account.")
EXTERNAL_ID = typer.Option(None, help="External id the audit role asks for.")
PROFILE = typer.Option(None, help="AWS profile of the caller.")
CONFIG = typer.Option(None, help="Settings file (TOML).")
ENDPOINT_URL = typer.Option(None, help="Another endpoint than AWS's own, for all services.")
INCLUDE_OU = typer.Option([], help="Only accounts below this OU (id or path); may be repeated.")
EXCLUDE_ACCOUNT = typer.Option([], help="Not this account; may be repeated.")
FRAMEWORK = typer.Option(
    [], metavar="KEY", help="Framework to audit against; may be repeated.  [default: cis-7.0]"
)
FRAMEWORK_FILE = typer.Option(
    [], metavar="FILE", help="Frameworks of your own (TOML); may be repeated."
)
FORMAT = typer.Option(
    [],
    "--format",
    metavar="NAME",
    help="Also write the results as csv or as ocsf (OCSF 1.6 findings); may be repeated.",
)
PREVIOUS = typer.Option(
    None, metavar="RUN", help="Earlier run to compare with; the manifest names it."
)
WAIVERS = typer.Option(None, metavar="FILE", help="Accepted risks: a TOML, CSV or Excel file.")
CARRY = typer.Option(
    None, metavar="WORKBOOK", help="Edited workbook whose entries and waivers to keep."
)
SIGN_WITH_KMS = typer.Option(
    None, "--sign-with-kms", metavar="KEY", help="Sign the manifest with this AWS KMS key."
)
PUBLISH = typer.Option(
    None,
    metavar="DEST",
    help="Add the tables to this history: a directory or s3://BUCKET/PREFIX.",
)
FAIL_ON = typer.Option(
    None, help="Exit with 3 if a finding of this severity or higher fails.  [default: none]"
)
VERBOSE = typer.Option(None, "--verbose", help="Show every account, retry and throttled call.")
QUIET = typer.Option(None, "--quiet", help="Show errors only, no progress.")
LOG_FORMAT = typer.Option(None, metavar="FORM", help="Progress as text or json.  [default: text]")
