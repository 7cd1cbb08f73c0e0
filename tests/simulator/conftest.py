from __future__ import annotations

from contextlib import ExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config

from orgscan.simulator import AUDIT_ROLE
from tests.kit.serving import serve_in_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from orgscan.simulator import Simulator, World


@pytest.fixture(scope="session")
def now() -> datetime:
    return datetime(2026, 11, 3, 12, 0, 0, tzinfo=UTC)


@pytest.fixture
def exits() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def serve(exits: ExitStack) -> Callable[..., Simulator]:
    def start(world: World, **options: Any) -> Simulator:
        return exits.enter_context(serve_in_thread(world, **options))

    return start


@pytest.fixture(scope="session")
def boto() -> boto3.Session:
    return boto3.Session(region_name="us-east-1")


@pytest.fixture
def client(exits: ExitStack, boto: boto3.Session) -> Callable[..., Any]:
    """boto3's client of a service, without retries, signed with the caller's credentials."""

    def make(
        simulator: Simulator, service: str, credentials: Any = None, *, read_timeout: float = 5
    ) -> Any:
        key, secret, token = credentials or simulator.credentials
        made = boto.client(
            service,
            endpoint_url=simulator.endpoint_url,
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            aws_session_token=token,
            config=Config(retries={"total_max_attempts": 1}, read_timeout=read_timeout),
        )
        exits.callback(made.close)
        return made

    return make


@pytest.fixture
def member(client: Callable[..., Any]) -> Callable[..., Any]:
    """boto3's IAM client in a member account, through the audit role."""

    def make(simulator: Simulator, account_id: str, **parameters: Any) -> Any:
        arn = f"arn:{simulator.world.partition}:iam::{account_id}:role/{AUDIT_ROLE}"
        answer = client(simulator, "sts").assume_role(
            RoleArn=arn, RoleSessionName="orgscan", **parameters
        )
        found = answer["Credentials"]
        session = (found["AccessKeyId"], found["SecretAccessKey"], found["SessionToken"])
        return client(simulator, "iam", session)

    return make
