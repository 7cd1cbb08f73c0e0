"""Waiver files people hand in: the good ones alike in three forms, the bad ones told in a line."""

from __future__ import annotations

import io
import os
import zipfile
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from openpyxl import Workbook, load_workbook

from orgscan.controls.catalogue import CATALOGUE
from orgscan.errors import UsageError
from orgscan.waivers.files import read

if TYPE_CHECKING:
    from collections.abc import Callable

CONTROLS = ("console-mfa", "unused-password", "root-mfa")
HEADING = "id,control,account,user,owner,reason,approved_by,start,expires"
GOOD = "W-1,console-mfa,000000000001,ci-*,Platform,until the migration,CISO,2026-01-01,2026-12-31"
TABLE = {
    "id": '"W-1"',
    "control": '"console-mfa"',
    "account": '"000000000001"',
    "user": '"ci-*"',
    "owner": '"Platform"',
    "reason": '"until the migration"',
    "approved_by": '"CISO"',
    "start": "2026-01-01",
    "expires": "2026-12-31",
}
CELLS: dict[str, Any] = {
    "id": "W-1",
    "control": "console-mfa",
    "account": "000000000001",
    "user": "ci-*",
    "owner": "Platform",
    "reason": "until the migration",
    "approved_by": "CISO",
    "start": date(2026, 1, 1),
    "expires": date(2026, 12, 31),
}


def toml(**changes: str | None) -> str:
    table = {name: text for name, text in {**TABLE, **changes}.items() if text is not None}
    return "\n".join(["[[waiver]]", *(f"{name} = {text}" for name, text in table.items()), ""])


def line_of(name: str, text: str) -> int:
    return next(n for n, line in enumerate(text.splitlines(), 1) if line.startswith(name))


def excel(*rows: dict[str, Any], sheet: str = "Waivers", heading: Any = None) -> bytes:
    book = Workbook()
    page = book.active
    assert page is not None
    page.title = sheet
    page.append(list(heading or CELLS))
    for row in rows:
        page.append(list(row.values()))
    saved = io.BytesIO()
    book.save(saved)
    return saved.getvalue()


def parts(raw: bytes, **changed: bytes) -> bytes:
    """A workbook with parts replaced or added; ``__`` in a name stands for ``/``."""
    saved = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(raw)) as old,
        zipfile.ZipFile(saved, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        names = {name.replace("__", "/"): content for name, content in changed.items()}
        for name in [*old.namelist(), *names]:
            if name not in new.namelist():
                new.writestr(name, names.get(name) or old.read(name))
    return saved.getvalue()


@pytest.fixture
def refusal(tmp_path: Path) -> Callable[[str, str | bytes], str]:
    """What is said of a file, without its directory."""

    def read_it(name: str, content: str | bytes) -> str:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        with pytest.raises(UsageError) as caught:
            read(path, controls=CONTROLS)
        said = str(caught.value)
        assert "\n" not in said
        return said.replace(f"{tmp_path}/", "")

    return read_it


def test_the_three_forms_say_the_same(tmp_path: Path) -> None:
    contents = {
        "w.toml": toml().encode(),
        "w.csv": f"{HEADING}\n{GOOD}\n".encode(),
        "bom.csv": f"\ufeff{HEADING}\r\n{GOOD}\r\n".encode(),
        "semicolons.csv": f"{HEADING}\n{GOOD}\n".replace(",", ";").encode(),
        "tabs.csv": f"{HEADING}\n{GOOD}\n".replace(",", "\t").encode(),
        "told.csv": f"\ufeffsep=;\r\n{HEADING}\n{GOOD}\n".replace(",", ";").encode(),
        "told-tab.csv": f'"sep=,"\n{HEADING}\n{GOOD}\n'.replace(",", "\t").encode(),
        "w.xlsx": excel(CELLS),
        "other-name.xlsx": excel(CELLS, sheet="My list"),
    }
    found = []
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        (one,) = read(tmp_path / name, controls=CONTROLS).waivers
        found.append(one)
    assert [one for one in found if one != found[0]] == []
    assert found[0].expires == datetime(2026, 12, 31, tzinfo=UTC)
    assert found[0].start == datetime(2026, 1, 1, tzinfo=UTC)
    assert found[0].controls == ("console-mfa",)


@pytest.mark.parametrize(
    "control", ['["console-mfa", "root-mfa"]', '"root-mfa, console-mfa"', '"console-mfa;root-mfa"']
)
def test_several_controls_in_a_list(tmp_path: Path, control: str) -> None:
    (tmp_path / "w.toml").write_text(toml(control=control))
    (one,) = read(tmp_path / "w.toml", controls=CONTROLS).waivers
    assert one.controls == ("console-mfa", "root-mfa")


def test_several_controls_in_several_rows(tmp_path: Path) -> None:
    second = GOOD.replace("console-mfa", "root-mfa")
    (tmp_path / "w.csv").write_text(f"{HEADING}\n{GOOD}\n{second}\n")
    (one,) = read(tmp_path / "w.csv", controls=CONTROLS).waivers
    assert one.controls == ("console-mfa", "root-mfa")


def test_a_time_is_turned_into_utc(tmp_path: Path) -> None:
    (tmp_path / "w.toml").write_text(toml(expires="2026-12-31T18:30:00+02:00"))
    (one,) = read(tmp_path / "w.toml", controls=CONTROLS).waivers
    assert one.expires == datetime(2026, 12, 31, 16, 30, tzinfo=UTC)


def test_the_example_is_good() -> None:
    known = [control.id for control in CATALOGUE]
    file = Path(__file__).parents[2] / "config" / "waivers.example.toml"
    assert len(read(file, controls=known).waivers) == 3


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("id", '"W 1"', "'W 1' is not a valid waiver ID"),
        ("id", '" W-1"', "begins or ends with a space; remove it"),
        ("id", '"W\u20191"', "contains the typographic quote '\u2019'"),
        ("control", '"consol-mfa"', "unknown control 'consol-mfa'; did you mean console-mfa?"),
        ("control", '["root-mfa", "root-mfa"]', "names a control twice"),
        ("control", "3", "must be text (got 3)"),
        ("account", '"12345678901"', "exactly 12 digits (is a leading zero missing?)"),
        ("account", '"1234567890123"', "is not an account id; it has exactly 12 digits"),
        ("account", "123456789012", "123456789012 is a number and can lose digits"),
        ("account", '"1.23457E+11"', "an account ID that was converted to a number"),
        ("user", '"ci-* "', "'ci-* ' begins or ends with a space"),
        ("user", '"\u201cci-*\u201d"', "contains the typographic quote '\u201c'"),
        ("user", '"ci *"', "is not a valid user name pattern"),
        ("ou", '"/Root/"', "is not a path of organizational units"),
        ("ou", '"ou-ab12-cdefgh34"', "'ou-ab12-cdefgh34' is an id; give the path, as in Root/"),
        ("ou", '"r-ab12"', "'r-ab12' is an id; give the path"),
        ("ou", '"r-ab12/ou-ab12-cdefgh34"', "is an id; give the path"),
        ("access_key_id", '"akia"', "is not an access key ID"),
        ("tag", '"env"', "is not a valid tag; write, for example, environment=test"),
        ("reason", '"a\\u0007b"', "contains the control character U+0007"),
        ("reason", f'"{"x" * 4_001}"', "has 4,001 characters; shorten it to 4,000"),
        ("expires", "46387", "46387 is a bare number; format the cell as a date"),
        ("expires", '"31.12.2026"', "'31.12.2026' is not a date; write it like 2026-12-31"),
        ("expires", '"2026-02-30"', "is not an existing date"),
        ("expires", "2026-12-31T10:00:00", "has no time zone; add Z for UTC"),
        ("expires", "2026-12-31T10:00:00.5Z", "has fractions of a second"),
        ("expires", "2026-01-01", "must be later than start"),
        ("expires", "1999-01-01", "out of range"),
        ("start", "2027-01-01", "must be later than start"),
    ],
)
def test_a_bad_value_is_told_with_line_and_remedy(
    refusal: Any, field: str, value: str, said: str
) -> None:
    text = toml(**{field: value})
    message = refusal("w.toml", text)
    place = line_of("expires" if field == "start" else field, text)
    assert message.startswith(f"w.toml: line {place}, ")
    assert said in message


@pytest.mark.parametrize("name", ["id", "control", "owner", "reason", "approved_by", "expires"])
def test_a_required_field_is_missed(refusal: Any, name: str) -> None:
    assert f"w.toml: line 1: has no {name}" in refusal("w.toml", toml(**{name: None}))
    row = ",".join(
        "" if heading == name else value
        for heading, value in zip(HEADING.split(","), GOOD.split(","), strict=True)
    )
    assert f"w.csv: line 2: has no {name}" in refusal("w.csv", f"{HEADING}\n{row}\n")
    said = refusal("w.xlsx", excel({**CELLS, name: None}))
    assert f"w.xlsx: sheet Waivers, row 2: has no {name}" in said


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "w.toml: is empty"),
        ("# nothing\n", "w.toml: contains no waiver"),
        ("[[waiver]\n", "w.toml: not valid TOML: "),
        ("[[waivers]]\n", "unknown section 'waivers'; write each waiver under [[waiver]]"),
        ("[waiver]\n", "write each waiver in its own section, [[waiver]]"),
        (toml() + 'expiry = "x"\n', "w.toml: line 11, expiry: unknown field 'expiry'; did you"),
        (toml() + toml(), "w.toml: line 12, id: W-1 is already used (w.toml: line 1)"),
        (
            toml() + toml(id='"w-1"', control='"root-mfa"'),
            "w.toml: line 12, id: w-1 and W-1 (w.toml: line 1) differ only in case",
        ),
        (toml() + 'id = "W-2"\n', "Cannot overwrite a value (at line 11, column 11)"),
        (toml(account=None, user=None, control='"*"'), "would waive every control everywhere"),
        (toml(account=None, user='"*"', control='"*"'), "would waive every control everywhere"),
        (
            toml(account=None, user=None, control=str([*CONTROLS]).replace("'", '"')),
            "would waive every control everywhere; name controls, or narrow it",
        ),
        (
            b"\xff\xfe[\x00",
            "w.toml: is Unicode text (UTF-16), not UTF-8; save it as UTF-8",
        ),
    ],
)
def test_a_bad_toml_file(refusal: Any, content: Any, said: str) -> None:
    assert said in refusal("w.toml", content)


@pytest.mark.parametrize("control", ['"*"', str([*CONTROLS]).replace("'", '"')])
@pytest.mark.parametrize(
    "scope",
    [
        {"user": '"?*"'},
        {"user": '"*?"'},
        {"user": '"[!+]*"'},
        {"user": '"ci-*"'},
        {"user": '"alic[e]"'},
        {"ou": '"Root/Workloads/Prod"'},
        {"tag": '"env=prod"'},
        {"ou": '"Root/Workloads"', "user": '"a*"'},
    ],
)
def test_every_control_is_waived_for_one_account_key_or_user_only(
    refusal: Any, control: str, scope: dict[str, str]
) -> None:
    said = refusal("w.toml", toml(**{"account": None, "user": None, "control": control, **scope}))
    assert said.startswith("w.toml: line ")
    assert "control: waiver W-1 would waive every control" in said
    assert "narrow it to an account, an access_key_id or the exact name of one user" in said


@pytest.mark.parametrize(
    "scope",
    [
        {"account": '"000000000001"', "user": '"?*"'},
        {"access_key_id": '"AKIAIOSFODNN7EXAMPLE"'},
        {"user": '"alice"'},
        {"user": '"<root_account>"'},
        {"ou": '"Root/Workloads"', "user": '"alice"'},
    ],
)
def test_every_control_may_be_waived_within_a_small_scope(
    tmp_path: Path, scope: dict[str, str]
) -> None:
    given = {"account": None, "user": None, "control": '"*"', **scope}
    (tmp_path / "w.toml").write_text(toml(**given))
    (one,) = read(tmp_path / "w.toml", controls=CONTROLS).waivers
    assert one.controls == ("*",)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("\n", "w.csv: contains no waiver"),
        (f"{HEADING}\n", "w.csv: contains no waiver"),
        (f"{HEADING},Owner\n{GOOD},x\n", "w.csv: line 1: the heading owner occurs twice"),
        (f"{HEADING},colour\n{GOOD},x\n", "w.csv: line 1: unknown field 'colour'"),
        (f"{HEADING},aproved by\n{GOOD},x\n", "did you mean approved_by?"),
        (f"{HEADING}\n{GOOD},more\n", "w.csv: line 2: has 10 values, but the header has 9"),
        (
            f"{HEADING}\n{GOOD.replace('Platform', '=HYPERLINK(1)')}\n",
            "w.csv: line 2, owner: '=HYPERLINK(1)' looks like a formula",
        ),
        (f"{HEADING}\n{GOOD.replace('Platform', '@SUM(1)')}\n", "looks like a formula"),
        (f"{HEADING}\n{GOOD.replace('2026-12-31', '46387')}\n", "'46387' is a bare number"),
        (f"{HEADING}\n{GOOD.replace('000000000001', '1')}\n", "(is a leading zero missing?)"),
        (f"{HEADING}\n{GOOD}\n\n{GOOD}\n", "w.csv: line 4, id: W-1 is already used"),
        (f'{HEADING}\n"{GOOD}\n', "w.csv: line 2: not valid CSV"),
        (
            f"{HEADING}\n{GOOD}\n".encode("utf-16"),
            'w.csv: is Unicode text (UTF-16), not UTF-8; save it as "CSV UTF-8"',
        ),
        (f"{HEADING}\n{GOOD}\n".encode("utf-16-le"), 'save it as "CSV UTF-8"'),
        (
            HEADING.encode() + b"\n\xe9\n",
            'w.csv: line 2 is not UTF-8; save the file as "CSV UTF-8"',
        ),
        (
            f"sep=|\n{HEADING}\n{GOOD}\n".replace(",", "|"),
            "w.csv: line 1: '|' separates values; use a comma, semicolon or tab",
        ),
        (f"sep=,\n{HEADING}\n{GOOD},more\n", "w.csv: line 3: has 10 values, but the header has 9"),
        (f"sep=;\r\n{HEADING},colour\n".replace(",", ";"), "w.csv: line 2: unknown field"),
    ],
)
def test_a_bad_csv_file(refusal: Any, content: Any, said: str) -> None:
    assert said in refusal("w.csv", content)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("account", 123456789012, "column account: 123456789012 is a number"),
        ("account", 1.23457e11, "is a number and can lose digits"),
        ("account", "1.23457E+11", "an account ID that was converted to a number"),
        ("expires", 46387, "column expires: 46387 is a bare number; format the cell as a date"),
        ("expires", "=TODAY()", "column expires: contains a formula; enter the value"),
        ("owner", "=1+1", "column owner: contains a formula"),
        ("expires", "#VALUE!", "column expires: contains the error '#VALUE!'"),
        ("owner", date(2026, 1, 2), "column owner: is a date where text belongs"),
        ("reason", 1.5e300, "column reason: is the number 1.5e+300"),
        ("user", True, "column user: must be text (got True)"),
        ("id", "W-1\u00a0", "begins or ends with a space"),
        ("control", "console-mfa,consol-mfa", "unknown control 'consol-mfa'"),
    ],
)
def test_a_bad_cell_is_told_with_sheet_row_and_column(
    refusal: Any, field: str, value: Any, said: str
) -> None:
    message = refusal("w.xlsx", excel({**CELLS, "id": "W-0"}, {**CELLS, field: value}))
    assert message.startswith("w.xlsx: sheet Waivers, row 3, column ")
    assert said in message


def test_a_whole_number_is_an_id_or_a_ticket(tmp_path: Path) -> None:
    heading = [*CELLS, "ticket"]
    (tmp_path / "w.xlsx").write_bytes(excel({**CELLS, "id": 12, "t": 4711}, heading=heading))
    (one,) = read(tmp_path / "w.xlsx", controls=CONTROLS).waivers
    assert (one.id, one.ticket) == ("12", "4711")


@pytest.mark.parametrize("sign", [1, -1])
def test_a_number_of_15_digits_is_exact(tmp_path: Path, sign: int) -> None:
    number = sign * 999_999_999_999_999
    heading = [*CELLS, "ticket"]
    (tmp_path / "w.xlsx").write_bytes(excel({**CELLS, "t": number}, heading=heading))
    (one,) = read(tmp_path / "w.xlsx", controls=CONTROLS).waivers
    assert one.ticket == str(number)


@pytest.mark.parametrize("field", ["account", "ticket", "reason", "owner", "approved_by"])
@pytest.mark.parametrize("number", [10**15, -(10**15), 1_234_567_890_123_456, 10**17])
def test_a_number_of_more_than_15_digits_is_refused_because_excel_has_rounded_it(
    refusal: Any, field: str, number: int
) -> None:
    cells = {"ticket": "T-1", **CELLS}
    message = refusal("w.xlsx", excel(cells | {field: number}, heading=list(cells)))
    assert message.startswith(f"w.xlsx: sheet Waivers, row 2, column {field}: ")
    assert "number" in message


WRITTEN = [
    *["Id", "Control", "Account", "OU", "User", "Access key id", "Tag", "Owner", "Reason"],
    *["Ticket", "Approved by", "Start", "Expires", "State", "FAIL matched", "All matched"],
    "Over-broad",
    "Self-approved",
]


def written(without: str = "", *, computed: bool = True) -> bytes:
    """The Waivers sheet as orgscan writes it, with one waiver, but for a column."""
    names = [name for name in WRITTEN[: None if computed else 13] if name != without]
    cells = {name.lower().replace(" ", "_"): None for name in names}
    values = {name: CELLS.get(name) for name in cells}
    return excel(values, heading=names)


@pytest.mark.parametrize("name", WRITTEN[:13])
def test_a_column_missing_from_a_sheet_orgscan_wrote_would_widen_waivers(
    refusal: Any, name: str
) -> None:
    assert refusal("w.xlsx", written(name)) == (
        f"w.xlsx: sheet Waivers, row 1: the column {name} is missing; restore the heading row"
    )


def test_a_sheet_orgscan_wrote_may_lose_what_it_computed(tmp_path: Path) -> None:
    for name, content in {
        "whole.xlsx": written(),
        "less.xlsx": written("All matched"),
        "own.xlsx": written("Ticket", computed=False),
    }.items():
        (tmp_path / name).write_bytes(content)
        (one,) = read(tmp_path / name, controls=CONTROLS).waivers
        assert (one.id, one.user) == ("W-1", "ci-*")


def test_a_workbook_with_findings_is_one_orgscan_wrote(refusal: Any) -> None:
    book = load_workbook(io.BytesIO(written("User", computed=False)))
    book.create_sheet("Findings")
    saved = io.BytesIO()
    book.save(saved)
    assert "the column User is missing" in refusal("w.xlsx", saved.getvalue())


def test_merged_cells_are_told(refusal: Any, tmp_path: Path) -> None:
    book = load_workbook(io.BytesIO(excel(CELLS, {**CELLS, "id": "W-2"})))
    book["Waivers"].merge_cells("K1:L1")
    saved = io.BytesIO()
    book.save(saved)
    (tmp_path / "heading.xlsx").write_bytes(saved.getvalue())
    assert len(read(tmp_path / "heading.xlsx", controls=CONTROLS).waivers) == 2
    book["Waivers"].merge_cells("D2:D3")
    saved = io.BytesIO()
    book.save(saved)
    assert refusal("w.xlsx", saved.getvalue()).startswith(
        "w.xlsx: sheet Waivers, cells D2:D3: are merged, so only the first has a value"
    )


def test_headings_and_values_where_they_do_not_belong(refusal: Any) -> None:
    twice = excel(CELLS, heading=[*[*CELLS][:-1], "OWNER"])
    assert "row 1, column I: the heading owner occurs twice" in refusal("w.xlsx", twice)
    beside = excel(CELLS, dict.fromkeys(CELLS) | {"x": "lost"})
    assert "row 3, column J: contains a value in a column without a heading" in refusal(
        "w.xlsx", beside
    )
    book = Workbook()
    book.create_sheet("Two")
    saved = io.BytesIO()
    book.save(saved)
    assert "has several sheets, none named Waivers" in refusal("w.xlsx", saved.getvalue())


OLD = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)
ENTITIES = (
    b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>'
    b'<sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><si><t>&b;</t></si>'
    b"</sst>"
)


def test_an_old_workbook_is_not_made_new_by_its_name(refusal: Any) -> None:
    assert refusal("w.xlsx", OLD) == ("w.xlsx: is an .xls workbook; save it as .xlsx")


def test_a_password(refusal: Any) -> None:
    protected = OLD + "EncryptedPackage".encode("utf-16-le")
    assert refusal("w.xlsx", protected) == (
        "w.xlsx: is password-protected; save it without a password"
    )


@pytest.mark.parametrize(
    ("part", "content"),
    [("xl__vbaProject.bin", b"macro"), ("xl__macrosheets__sheet1.xml", b"<x/>")],
)
def test_macros(refusal: Any, part: str, content: bytes) -> None:
    said = refusal("w.xlsx", parts(excel(CELLS), **{part: content}))
    assert said == "w.xlsx: contains macros; save it as .xlsx without macros"


def test_a_bomb_of_zeros(refusal: Any) -> None:
    bomb = parts(excel(CELLS), xl__media__image1=bytes(20_000_000))
    assert "w.xlsx: expands to 20 MB, too large for a workbook" in refusal("w.xlsx", bomb)


def test_a_bomb_that_lies_about_its_size(refusal: Any) -> None:
    sheet = b"<worksheet>" + b" " * 2_000_000 + b"</worksheet>"
    raw = parts(excel(CELLS), **{"xl__worksheets__sheet1.xml": sheet})
    lying = raw.replace(len(sheet).to_bytes(4, "little"), (50).to_bytes(4, "little"))
    assert lying != raw
    assert "w.xlsx: is not an Excel workbook" in refusal("w.xlsx", lying)


@pytest.mark.parametrize("part", ["xl__sharedStrings.xml", "xl__workbook.xml"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_bomb_of_entities(refusal: Any, part: str, encoding: str) -> None:
    content = ENTITIES.decode().encode(encoding)
    said = refusal("w.xlsx", parts(excel(CELLS), **{part: content}))
    assert said == ("w.xlsx: contains XML entities; do not trust it")


def test_entities_behind_a_long_comment(refusal: Any) -> None:
    hidden = ENTITIES.replace(b"<!DOCTYPE", b"<!--" + b"x" * 10_000 + b"--><!DOCTYPE")
    said = refusal("w.xlsx", parts(excel(CELLS), **{"xl__workbook.xml": hidden}))
    assert "contains XML entities" in said


@pytest.mark.parametrize(
    "content",
    [b"PK\x03\x04 and nothing more", b"id,control\n", excel(CELLS)[:-200]],
)
def test_what_is_no_workbook(refusal: Any, content: bytes) -> None:
    assert refusal("w.xlsx", content) == "w.xlsx: is not an Excel workbook; save it as .xlsx"


@pytest.mark.parametrize("part", ["xl__workbook.xml", "xl__worksheets__sheet1.xml"])
def test_a_damaged_workbook(refusal: Any, part: str) -> None:
    said = refusal("w.xlsx", parts(excel(CELLS), **{part: b"<broken"}))
    assert said.startswith("w.xlsx: is damaged (")
    assert said.endswith("; open it in Excel or LibreOffice and save it as .xlsx")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("w.xls", "save it as .xlsx"),
        ("w.xlsm", "macros are not read; save it as .xlsx"),
        ("w.ods", "save it as .xlsx"),
        ("w.yaml", "name a .toml, .csv or .xlsx file"),
        ("w", "name a .toml, .csv or .xlsx file"),
    ],
)
def test_another_kind_of_file(refusal: Any, name: str, said: str) -> None:
    assert refusal(name, "x") == f"{name}: waivers are read from .toml, .csv and .xlsx; {said}"


def test_what_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "w.toml").mkdir()
    with pytest.raises(UsageError, match="is a directory; name a file"):
        read(tmp_path / "w.toml", controls=CONTROLS)
    with pytest.raises(UsageError, match=r"cannot be read \(No such file or directory\)"):
        read(tmp_path / "gone.toml", controls=CONTROLS)


def test_a_file_too_large(tmp_path: Path) -> None:
    path = tmp_path / "w.csv"
    with path.open("wb") as stream:
        os.truncate(stream.fileno(), 10_000_001)
    with pytest.raises(UsageError, match="is larger than 10 MB"):
        read(path, controls=CONTROLS)


def test_an_unreadable_file(tmp_path: Path) -> None:
    path = tmp_path / "w.toml"
    path.write_text(toml())
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    with pytest.raises(UsageError, match="check the path and its permissions"):
        read(path, controls=CONTROLS)
