"""The people, programs and accounts that worlds are peopled with."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import TYPE_CHECKING

from orgscan.simulator.draw import digest
from orgscan.simulator.world import Account, Key, Mfa, Password, Root, User

if TYPE_CHECKING:
    from datetime import datetime

_FIRST_NAMES = [
    "adaeze",
    "amir",
    "anneke",
    "beatriz",
    "bohdan",
    "chiara",
    "daichi",
    "elif",
    "emeka",
    "farah",
    "gustav",
    "hana",
    "ingrid",
    "jamal",
    "katya",
    "lindiwe",
    "mateo",
    "nadia",
    "oskar",
    "priya",
    "quentin",
    "rania",
    "soren",
    "tamar",
    "ulrich",
    "valentina",
    "wen",
    "yusuf",
    "zofia",
    "ivo",
]
_LAST_NAMES = [
    "abara",
    "bianchi",
    "castellanos",
    "dahl",
    "eriksen",
    "ferreira",
    "gruber",
    "horvat",
    "ivanova",
    "jansen",
    "kimura",
    "lefevre",
    "mbeki",
    "novak",
    "okafor",
    "petrov",
    "quispe",
    "rossi",
    "schmid",
    "tanaka",
    "ueda",
    "varga",
    "weiss",
    "xu",
    "yilmaz",
    "zeman",
]
_SERVICES = [
    "backup-agent",
    "ci-deploy",
    "terraform",
    "metrics-export",
    "log-shipper",
    "image-sync",
    "ses-smtp",
    "etl-nightly",
    "s3-replicator",
    "monitoring",
    "billing-reader",
    "artifact-push",
    "dns-updater",
]
_USED_FOR = (
    ("us-east-1", "s3"),
    ("eu-west-1", "s3"),
    ("N/A", "iam"),
    ("us-east-1", "sts"),
    ("eu-central-1", "ec2"),
    ("ap-southeast-2", "ssm"),
)


class Ages:
    """Moments told by their age: ``ago(days=412)``."""

    def __init__(self, now: datetime) -> None:
        """``now`` is the world's."""
        self._now = now

    def __call__(self, days: float = 0, *, hours: float = 0, minutes: float = 0) -> datetime:
        """So long before now, to the second."""
        age = timedelta(days=days, hours=hours, minutes=minutes)
        return self._now - timedelta(seconds=round(age.total_seconds()))

    def key(
        self,
        age: float,
        used: float | None = None,
        *,
        active: bool = True,
        used_for: tuple[str, str] = ("us-east-1", "s3"),
    ) -> Key:
        """A key created ``age`` and last used ``used`` days ago."""
        last_used = None if used is None else self(used)
        region, service = used_for
        return Key(
            created=self(age), last_used=last_used, active=active, region=region, service=service
        )

    def password(self, changed: float, used: float | None = None) -> Password:
        """A password changed and last used so many days ago."""
        last_used = None if used is None else self(used)
        return Password(changed=self(changed), last_used=last_used)

    def human(self, name: str, age: float, used: float | None, **more: object) -> User:
        """A person with a password and a virtual MFA device."""
        values = {"mfa": Mfa.VIRTUAL, "password": self.password(min(age, 60), used), **more}
        return User(name=name, created=self(age), **values)  # type: ignore[arg-type]

    def service(self, name: str, age: float, *keys: Key, **more: object) -> User:
        """A program with access keys and no password."""
        return User(name=name, created=self(age), keys=keys, **more)  # type: ignore[arg-type]


def populate(seed: int, account_id: str, count: int, now: datetime) -> tuple[User, ...]:
    """``count`` believable users of one account, the same for the same arguments."""
    draw = random.Random(digest(seed, account_id, "users"))
    ago = Ages(now)
    return tuple(_anyone(draw, ago, number) for number in range(count))


def _anyone(draw: random.Random, ago: Ages, number: int) -> User:
    age = draw.randrange(20, 2200) + draw.random()
    keys = tuple(_any_key(draw, ago, age) for _ in range(draw.choice((0, 1, 1, 1, 2))))
    if draw.random() < 0.5:  # noqa: PLR2004 - half of them people
        name = f"{draw.choice(_FIRST_NAMES)}.{draw.choice(_LAST_NAMES)}.{number}"
        used = draw.choice((None, draw.random() * min(age, 30), draw.random() * min(age, 400)))
        mfa = draw.choice((Mfa.VIRTUAL, Mfa.VIRTUAL, Mfa.HARDWARE, Mfa.NONE))
        return ago.human(name, age, used, mfa=mfa, keys=keys[:1])
    path = draw.choice(("/", "/", "/service/", "/ci/pipelines/"))
    return ago.service(f"svc-{draw.choice(_SERVICES)}-{number}", age, *keys, path=path)


def _any_key(draw: random.Random, ago: Ages, oldest: float) -> Key:
    age = draw.random() * min(oldest, draw.choice((80, 300, 2200)))
    used = draw.choice((None, draw.random() * min(age, 20), draw.random() * age))
    return ago.key(age, used, active=draw.random() < 0.8, used_for=draw.choice(_USED_FOR))  # noqa: PLR2004 - most are active


def account_id(*parts: object) -> str:
    """An id drawn from the parts: twelve digits; about one in ten begins with a zero."""
    return f"{digest('account', *parts) % 10**12:012d}"


def account(seed: int, name: str, ou: str, joined: datetime, **more: object) -> Account:
    """An account whose id and address follow from its name."""
    slug = "".join(letter for letter in name.lower() if letter.isalnum() or letter == "-")
    values: dict[str, object] = {
        "id": account_id(seed, name),
        "email": f"aws+{slug or 'account'}@example.com",
        **more,
    }
    return Account(name=name, ou=ou, joined=joined, **values)  # type: ignore[arg-type]


def guarded_root(ago: Ages, mfa: Mfa = Mfa.HARDWARE, used: float | None = 700) -> Root:
    """A root user with a password, as accounts have that predate central root access."""
    return Root(password=ago.password(800, used), mfa=mfa)
