from __future__ import annotations

import json
import stat
from typing import TYPE_CHECKING

import pytest

from orgscan.runs.seal import seal, unseal, write_sealed

if TYPE_CHECKING:
    from pathlib import Path


class TestSeal:
    CONTENT = {"b": [1, None, 1.5], "a": "\u00fc \U0001f680 \ud800", "c": {"x": True}}  # noqa: RUF012

    def test_comes_back_as_written(self) -> None:
        content, fault = unseal(seal(self.CONTENT))
        assert content is not None
        assert not fault
        assert {name: content[name] for name in self.CONTENT} == self.CONTENT
        assert seal(self.CONTENT).isascii()

    def test_the_same_content_gives_the_same_bytes(self) -> None:
        turned = dict(reversed(self.CONTENT.items()))
        assert seal(turned) == seal(self.CONTENT)

    def test_every_changed_lost_or_added_byte_is_found(self) -> None:
        raw = seal(self.CONTENT)
        for place in range(len(raw)):
            for mask in (0x01, 0x20, 0x80):
                flipped = bytes([raw[place] ^ mask])
                assert unseal(raw[:place] + flipped + raw[place + 1 :])[1], (place, mask)
            assert unseal(raw[:place])[1], place
            assert unseal(raw[:place] + raw[place + 1 :])[1], place
            assert unseal(raw[:place] + b" " + raw[place:])[1], place
        assert unseal(raw + b"\n")[1]

    @pytest.mark.parametrize(
        "raw",
        [
            b"", b"[]", b"null", b"{}", b"{" * 100_000, b'{"a":' * 50_000,
            b"1" * 10_000, b"\xff", b'{"sha256": "", "sha256": ""}',
        ],
    )  # fmt: skip
    def test_what_is_no_sealed_file(self, raw: bytes) -> None:
        assert unseal(raw)[1]

    def test_what_json_cannot_hold_leaves_the_old_one(self, tmp_path: Path) -> None:
        path = tmp_path / "manifest.json"
        write_sealed(path, {"a": 1})
        with pytest.raises(TypeError):
            write_sealed(path, {"a": object()})
        assert json.loads(path.read_text())["a"] == 1
        assert [item.name for item in tmp_path.iterdir()] == ["manifest.json"]
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
