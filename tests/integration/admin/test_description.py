"""The API against its own description: schemathesis finds no request that makes it fail."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from services.admin.api import make_api
from shared.db import connect
from shared.directory import Directory
from shared.dns import Resolver
from shared.journal.reader import Reader
from shared.journal.writer import Writer
from shared.operations.actor import Actor
from shared.operations.bounce import Bounces
from shared.operations.kept_scripts import Whose
from shared.operations.operator import Office, Operator
from shared.operations.queue import Yard
from shared.operations.targets import Target, Way
from shared.operations.tokens import NewToken, Scope
from shared.operations.waiting import RedisFresh
from shared.queue.connection import connect as connect_redis
from shared.queue.delivery import Queue
from shared.queue.sites import Sites

EXAMPLES = 12  # requests of each route


class Served:
    """The API in a loop of its own, as schemathesis calls it from threads."""

    def __init__(self, database_url: str, redis_url: str, folder: Path) -> None:
        self._arguments = (database_url, redis_url, folder)
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.app, self.token = self.run(self._start())

    def run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    async def _start(self) -> tuple[Any, str]:
        database_url, redis_url, folder = self._arguments
        self.database = await connect(database_url, migrate=True)
        self.redis = connect_redis(redis_url)
        await self.redis.flushall()
        queue = Queue(self.redis, "admin")
        await queue.setup()
        self.writer, reader = Writer(folder / "journal", "admin-0"), Reader(folder / "journal")
        await self.writer.open()
        directory = Directory(self.database)
        office = Office(
            yard=Yard(self.database, folder / "journal", reader, queue),
            fresh=RedisFresh(self.database, self.redis, reader),
            hostname="mail.a.test",
            resolver=lambda: Resolver("127.0.0.1:9", timeout=0.1),
            sites=Sites(self.redis, lambda _: 5),
            bounces=lambda: Bounces(self.writer, reader, "mail.a.test", directory.is_local_domain, lambda item: None),
        )
        operator = Operator(office, Actor("cli:test"))
        await operator.add_domain("example.org")
        await operator.add_account("me@example.org", "correct horse")
        await operator.create_alias("info@example.org", ["me@example.org"])
        await operator.mail.put_script(Whose("me@example.org"), "main", b"keep;")
        await operator.mail.put_rule("me@example.org", "\\Trash", 30)
        await operator.mail.put_target("me@example.org", Target(Way.STORE))
        await operator.mail.create_mailbox("me@example.org", "Projects/Boat")
        await operator.mail.share("me@example.org", "Projects", "ann@example.org", "lrs")
        made = await operator.add_token(NewToken("keeper", list(Scope)))
        app = make_api(office)

        async def in_loop(scope: Any, receive: Any, send: Any) -> None:
            """Cross over from the caller's loop to the one that the database belongs to."""
            caller = asyncio.get_running_loop()

            async def receive_there() -> Any:
                return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(receive(), caller))

            async def send_there(message: Any) -> None:
                await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(send(message), caller))

            done = asyncio.run_coroutine_threadsafe(app(scope, receive_there, send_there), self.loop)
            await asyncio.wrap_future(done)

        return in_loop, made["token"]

    async def _stop(self) -> None:
        await self.writer.close()
        await self.redis.aclose()
        await self.database.close()

    def stop(self) -> None:
        self.run(self._stop())
        self.loop.call_soon_threadsafe(self.loop.stop)


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def served(
    request: pytest.FixtureRequest, redis_server: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """The API on each engine."""
    folder = tmp_path_factory.mktemp("description")
    url = f"sqlite:///{folder}/test.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    one = Served(url, f"unix://{redis_server.unix_socket_path}", folder)
    yield one
    one.stop()


def test_no_request_makes_it_fail(served: Served) -> None:
    described = schemathesis.openapi.from_asgi("/openapi.json", served.app)
    operations = [found.ok() for found in described.get_all_operations()]
    assert len(operations) > 60
    for operation in operations:
        _try(served, operation)


def _try(served: Served, operation: Any) -> None:
    @given(case=operation.as_strategy())
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def check(case: schemathesis.Case) -> None:
        _request(served, case)

    check()


def _request(served: Served, case: schemathesis.Case) -> None:
    if case.operation.label.startswith("DELETE /api/v1/tokens"):
        case.path_parameters["name"] = "other"  # not our own
    headers = {"Authorization": f"Bearer {served.token}"}
    if case.operation.method.upper() in ("PATCH", "PUT", "DELETE"):
        headers["If-Match"] = "*"
    response = case.call(headers=headers)
    checks = [not_a_server_error, response_schema_conformance, content_type_conformance, status_code_conformance]
    case.validate_response(response, checks=checks, headers=headers)
    assert response.status_code not in (401, 403)


def test_every_route_has_examples_and_problems(served: Served) -> None:
    described = schemathesis.openapi.from_asgi("/openapi.json", served.app).raw_schema
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            where = f"{method} {path}"
            assert operation.get("summary") and operation.get("description"), where
            assert {"401", "403", "422", "503"} <= set(operation["responses"]), where
            assert operation["security"], where
    for name, model in described["components"]["schemas"].items():
        for field, definition in model.get("properties", {}).items():
            nested = any(word in str(definition) for word in ("$ref",))
            assert nested or "examples" in definition or definition.get("items"), f"{name}.{field}"
