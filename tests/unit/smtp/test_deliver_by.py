"""BY= of MAIL as a client sends it (RFC 2852)."""

from __future__ import annotations

import pytest

from shared.smtp.extensions import Extensions
from shared.smtp.transaction import By, Target, Transaction, mail_command, refusals

OFFERED, NOT_OFFERED = Extensions({"DELIVERBY": ("60",)}), Extensions({})


def transaction(by: By | None) -> Transaction:
    return Transaction("a@a.test", (Target("b@b.test"),), 10, by=by)


def test_what_is_left_is_passed_on() -> None:
    assert mail_command(transaction(By(90, "R")), OFFERED) == b"MAIL FROM:<a@a.test> BY=90;R\r\n"
    assert mail_command(transaction(By(-90, "N", True)), OFFERED) == b"MAIL FROM:<a@a.test> BY=-90;NT\r\n"
    assert mail_command(transaction(By(10**12, "N")), OFFERED).endswith(b" BY=999999999;N\r\n")
    assert mail_command(transaction(By(90, "N")), NOT_OFFERED) == b"MAIL FROM:<a@a.test>\r\n"
    assert mail_command(transaction(None), OFFERED) == b"MAIL FROM:<a@a.test>\r\n"


@pytest.mark.parametrize(
    ("by", "extensions", "status"),
    [
        (By(0, "R"), OFFERED, "5.4.7"),
        (By(59, "R"), OFFERED, "5.4.7"),
        (By(60, "R"), OFFERED, None),
        (By(60, "R"), NOT_OFFERED, "5.3.3"),
        (By(-60, "N"), NOT_OFFERED, None),
        (By(-60, "N"), OFFERED, None),
    ],
)
def test_what_is_to_be_returned_goes_only_where_that_is_promised(
    by: By, extensions: Extensions, status: str | None
) -> None:
    (refusal,) = refusals(transaction(by), extensions)
    assert (refusal.status if refusal is not None else None) == status
