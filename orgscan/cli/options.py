"""Options that several commands have. Each is a setting, too; not given, it is ``None``."""

from __future__ import annotations

import typer

ROLE_NAME = typer.Option(None, help="Assume the role with this name in every account.")
EXTERNAL_ID = typer.Option(
    None, help="Send this external ID when assuming the role.  [default: none]"
)
PROFILE = typer.Option(None, help="Use this AWS profile.  [default: AWS environment and files]")
CONFIG = typer.Option(None, help="Read settings from this TOML file.  [default: none]")
ENDPOINT_URL = typer.Option(None, help="Use this endpoint for all services.  [default: AWS]")
INCLUDE_OU = typer.Option(
    [], help="Include only accounts below this OU (ID or path); repeatable.  [default: all]"
)
EXCLUDE_ACCOUNT = typer.Option([], help="Exclude this account; repeatable.  [default: none]")
FRAMEWORK = typer.Option(
    [], metavar="KEY", help="Audit against this framework; repeatable.  [default: cis-7.0]"
)
FRAMEWORK_FILE = typer.Option(
    [],
    metavar="FILE",
    help="Add your own frameworks from this TOML file; repeatable.  [default: none]",
)
FORMAT = typer.Option(
    [],
    "--format",
    metavar="NAME",
    help="Also write csv or ocsf (OCSF 1.6 findings); repeatable.  [default: none]",
)
PREVIOUS = typer.Option(None, metavar="RUN", help="Compare with this earlier run.  [default: none]")
WAIVERS = typer.Option(
    None, metavar="FILE", help="Apply the waivers in this TOML, CSV or Excel file.  [default: none]"
)
CARRY = typer.Option(
    None,
    metavar="WORKBOOK",
    help="Import entries and waivers from this edited workbook.  [default: none]",
)
SIGN_WITH_KMS = typer.Option(
    None,
    "--sign-with-kms",
    metavar="KEY",
    help="Sign the manifest with this AWS KMS key.  [default: not signed]",
)
PUBLISH = typer.Option(
    None,
    metavar="DEST",
    help="Publish the tables to this directory or s3://BUCKET/PREFIX.  [default: none]",
)
FAIL_ON = typer.Option(
    None, help="Exit with 3 if a finding of this severity or higher fails.  [default: none]"
)
VERBOSE = typer.Option(None, "--verbose", help="Show every account, retry and throttled call.")
QUIET = typer.Option(None, "--quiet", help="Hide progress; still show errors.")
LOG_FORMAT = typer.Option(
    None, metavar="FORM", help="Print progress as text or json.  [default: text]"
)
