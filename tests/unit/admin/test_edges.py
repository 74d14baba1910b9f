"""Where the API may listen, where a token may travel, and who pays for FastAPI."""

from __future__ import annotations

import subprocess
import sys

import pytest

from services.admin.settings import AdminSettings
from services.cli.api_client import connect
from services.cli.top import Rates, screen
from shared.config import load_settings
from shared.errors import ConfigurationError


@pytest.mark.parametrize("addresses", [["0.0.0.0"], ["::"], ["192.0.2.1"], ["127.0.0.1", "10.0.0.1"]])
def test_the_api_listens_elsewhere_only_with_tls(addresses: list[str]) -> None:
    with pytest.raises(ConfigurationError, match="PACKETBOAT_ADMIN_TLS"):
        load_settings(AdminSettings, admin_listen=addresses)
    assert load_settings(AdminSettings, admin_listen=addresses, admin_tls=True).addresses == addresses


def test_the_api_listens_on_loopback_by_default() -> None:
    assert load_settings(AdminSettings).addresses == ["127.0.0.1"]
    assert load_settings(AdminSettings, listen=["0.0.0.0", "::"]).addresses == ["127.0.0.1"]
    assert load_settings(AdminSettings, listen=["127.0.0.2", "192.0.2.1"]).addresses == ["127.0.0.2"]
    assert load_settings(AdminSettings, port_base=10000).port == 18080


@pytest.mark.parametrize("url", ["http://mail.example.org:8080", "http://192.0.2.1", "ftp://127.0.0.1", "mail", ""])
def test_a_token_is_not_sent_in_the_clear(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PACKETBOAT_TOKEN", "pbt_x")
    with pytest.raises(ConfigurationError, match="https"):
        connect(url)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080", "http://[::1]:8080", "http://localhost", "https://x.test"])
def test_a_token_is_needed(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PACKETBOAT_TOKEN", "PACKETBOAT_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigurationError, match="PACKETBOAT_TOKEN"):
        connect(url)
    monkeypatch.setenv("PACKETBOAT_TOKEN", "pbt_x")
    assert connect(url).headers["Authorization"] == "Bearer pbt_x"


@pytest.mark.parametrize("service", ["mta", "relay", "mda", "access"])
def test_no_other_service_imports_fastapi(service: str) -> None:
    program = (
        "import sys; from shared import process; process.prepare_metrics(); "
        f"import services.{service}.app; sys.exit(any(name in sys.modules for name in ('fastapi', 'uvicorn', 'httpx')))"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=60).returncode == 0


def test_rates_come_from_two_looks() -> None:
    rates = Rates()
    assert rates.take({"delivered": 100}, 50.0) == {"delivered": 0.0}
    assert rates.take({"delivered": 120, "bounced": 4}, 52.0) == {"delivered": 10.0, "bounced": 2.0}
    assert rates.take({"delivered": 90}, 54.0) == {"delivered": 0.0}


def test_the_screen_shows_what_others_said_harmlessly() -> None:
    from rich.console import Console

    statistics = {
        "lanes": [{"lane": "relay", "queued": None, "leased": 1, "waiting": 2, "held": 3, "oldest_age": 4.0}],
        "sites": [{"site": "mx.test", "recipients": 2, "oldest_age": 4.0}],
        "reasons": [{"reason": "451 [red]\x1b[31m", "recipients": 2, "oldest_age": 4.0}],
        "outcomes_last_hour": {"delivered": 7},
    }
    site = {
        "site": "mx.test",
        "entries": 5,
        "connections": 1,
        "max_connections": 20,
        "paused": True,
        "backing_off_until": 0.0,
    }
    console = Console(width=120, record=True, force_terminal=False)
    console.print(screen(statistics, [site], [{"alive": True, "lane": "relay"}], {"delivered": 1.5}))
    text = console.export_text()
    assert "mx.test" in text and "paused" in text and "1.5" in text and "451 [red]?[31m" in text
