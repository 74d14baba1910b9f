"""What a person is told of a wrong setting: its name, and what is wrong, in one line."""

from __future__ import annotations

import pytest

from shared.config import CommonSettings, load_settings
from shared.errors import ConfigurationError


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("PACKETBOAT_LISTEN", '["nonsense"]', "PACKETBOAT_LISTEN: 'nonsense' does not appear to be an IPv4"),
        ("PACKETBOAT_LISTEN", "nonsense", 'PACKETBOAT_LISTEN: write it as JSON, such as ["a", "b"]'),
        ("PACKETBOAT_WORKERS", "many", "PACKETBOAT_WORKERS: it should be a valid integer"),
    ],
)  # fmt: skip
def test_the_setting_is_named(name: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError) as caught:
        load_settings(CommonSettings)
    assert str(caught.value).startswith(said) and "\n" not in str(caught.value)
