"""`packetboat sieve check` and `packetboat sieve test`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.cli.__main__ import make_app
from tests.unit.sieve.harness import MESSAGE

RUNNER = CliRunner()


@pytest.fixture
def message(tmp_path: Path) -> str:
    path = tmp_path / "message.eml"
    path.write_bytes(MESSAGE.replace(b"\r\n", b"\n"))
    return str(path)


def script(tmp_path: Path, text: str) -> str:
    path = tmp_path / "script.sieve"
    path.write_text(text)
    return str(path)


def test_check_names_each_error_with_its_place(tmp_path: Path) -> None:
    path = script(tmp_path, 'keep;\nfoo;\nfileinto "x";\n')
    found = RUNNER.invoke(make_app("sieve"), ["sieve", "check", path])
    assert found.exit_code == 1
    assert found.output.splitlines() == [
        f'{path}:2:1: unknown command "foo"',
        f'{path}:3:1: the command "fileinto" needs require "fileinto"',
    ]
    good = RUNNER.invoke(make_app("sieve"), ["sieve", "check", script(tmp_path, "keep;")])
    assert (good.exit_code, good.output) == (0, f"{path}: no errors\n")


def test_check_speaks_json(tmp_path: Path) -> None:
    bad = RUNNER.invoke(make_app("sieve"), ["sieve", "check", "--json", script(tmp_path, "keep;\nfoo;\n")])
    assert (bad.exit_code, json.loads(bad.output)) == (
        1,
        [{"line": 2, "column": 1, "message": 'unknown command "foo"'}],
    )
    good = RUNNER.invoke(make_app("sieve"), ["sieve", "check", "--json", script(tmp_path, "keep;")])
    assert (good.exit_code, json.loads(good.output)) == (0, [])


def test_test_tells_what_would_happen_and_why(tmp_path: Path, message: str) -> None:
    path = script(
        tmp_path,
        """require ["fileinto", "editheader", "envelope", "mailbox", "include"];
include "more";
if allof (envelope :domain "from" "example.org", mailboxexists "Work") {
    addheader "X-Seen" "yes";
    fileinto "Work";
}
""",
    )
    (tmp_path / "more.sieve").write_text('redirect "a@b.example";')
    out = tmp_path / "out.eml"
    options = ["--from", "a@example.org", "--to", "b@c.example", "--mailbox", "Work", "--output", str(out)]
    found = RUNNER.invoke(make_app("sieve"), ["sieve", "test", path, message, *options])
    assert found.exit_code == 0, found.output
    assert found.output.splitlines() == [
        "from <a@example.org> to <b@c.example>",
        '   2: include "more"',
        'more:1:   redirect "a@b.example"',
        "        redirect to <a@b.example>",
        '   3:   envelope :domain "from" "example.org" -> true  (saw \'example.org\')',
        '   3:   mailboxexists "Work" -> true',
        '   3: allof (envelope :domain "from" "example.org", mailboxexists "Work") -> true',
        '   4:   addheader "X-Seen" "yes"',
        '   5:   fileinto "Work"',
        '        file into "Work"',
        "",
        "actions:",
        "  redirect to <a@b.example>",
        '  file into "Work"',
        "  changed: X-Seen: yes was added at the top of the header",
    ]
    assert out.read_bytes() == b"X-Seen: yes\r\n" + MESSAGE


def test_test_says_which_line_failed(tmp_path: Path, message: str) -> None:
    path = script(tmp_path, 'require "ihave";\ndiscard;\n error "no";')
    found = RUNNER.invoke(make_app("sieve"), ["sieve", "test", "--quiet", path, message])
    assert found.exit_code == 1
    assert found.output.splitlines() == ["  implicit keep", "error: line 3, column 2: no"]


def test_test_of_a_bad_script_checks_it(tmp_path: Path, message: str) -> None:
    path = script(tmp_path, "foo;")
    found = RUNNER.invoke(make_app("sieve"), ["sieve", "test", path, message])
    assert (found.exit_code, found.output) == (1, f'{path}:1:1: unknown command "foo"\n')


def test_scanners_and_environment_can_be_given(tmp_path: Path, message: str) -> None:
    text = """require ["spamtest", "virustest", "environment", "duplicate"];
    if allof (spamtest "10", virustest "5", environment "phase" "post", duplicate) { discard; }"""
    options = ["--spam", "100", "--virus", "5", "--env", "Phase=post", "--seen", "--quiet"]
    found = RUNNER.invoke(make_app("sieve"), ["sieve", "test", script(tmp_path, text), message, *options])
    assert found.output == "  discard\n"


def test_json_for_other_programs(tmp_path: Path, message: str) -> None:
    path = script(
        tmp_path,
        'require ["fileinto", "mailbox", "special-use", "duplicate", "editheader", "imap4flags", "mboxmetadata"];\n'
        'if allof (mailboxexists "Work", specialuse_exists "\\\\Junk", metadata "Work" "/private/a" "b") {\n'
        '  addheader "X-A" "b"; fileinto :flags "\\\\Seen" "Work"; }\n',
    )
    state = tmp_path / "state.json"
    state.write_text(
        json.dumps(
            {
                "mailboxes": ["Work", "Rubbish"],
                "special_uses": {"\\Junk": "Rubbish"},
                "annotations": [["Work", "/private/a", "b"]],
            }
        )
    )
    output = tmp_path / "changed.eml"
    arguments = ["sieve", "test", path, message, "--json", "--state", str(state), "--output", str(output)]
    told = json.loads(RUNNER.invoke(make_app("sieve"), arguments).output)
    (action,) = told["actions"]
    assert (action["action"], action["mailbox"], action["flags"]) == ("fileinto", "Work", ["\\Seen"])
    assert (action["message"], told["changed"], told["error"]) == ("changed", True, None)
    assert told["edits"] == [{"edit": "addheader", "name": "X-A", "value": "b", "last": False}]
    assert output.read_bytes().startswith(b"X-A: b\r\n")


def test_a_state_that_is_none(tmp_path: Path, message: str) -> None:
    state = tmp_path / "state.json"
    for text in ("[]", "{"):
        state.write_text(text)
        result = RUNNER.invoke(
            make_app("sieve"), ["sieve", "test", script(tmp_path, "keep;"), message, "--state", str(state)]
        )
        assert str(state) in str(result.exception)
