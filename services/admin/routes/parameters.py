"""What requests have in common: pages, failures that any route may answer with."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query

from services.admin.models import TEXT
from shared.operations.paging import DEFAULT_LIMIT, MAX_CURSOR, MAX_LIMIT

Cursor = Annotated[
    str, Query(description="The `next` of the page before.", max_length=MAX_CURSOR, pattern=r"^[A-Za-z0-9_\-]*$")
]
Limit = Annotated[int, Query(description="Items of a page.", ge=1, le=MAX_LIMIT)]
PAGE = DEFAULT_LIMIT
Word = Annotated[str, Query(max_length=1000, pattern=TEXT)]
DomainName = Annotated[str, Path(max_length=255, pattern=TEXT, examples=["example.org"])]
MailAddress = Annotated[str, Path(max_length=320, pattern=TEXT, examples=["me@example.org"])]
MailboxName = Annotated[str, Path(min_length=1, max_length=1000, pattern=TEXT, examples=["Projects/Boat"])]
EntryId = Annotated[str, Path(max_length=100, pattern=TEXT, examples=["01KAR3N5D9T7Q8W2E4R6T8Y0ZA"])]

READ = (401, 403, 422, 503)
FIND = (401, 403, 404, 422, 503)
CREATE = (401, 403, 404, 409, 422, 503)
CHANGE = (401, 403, 404, 409, 412, 422, 428, 503)
REMOVE = (401, 403, 404, 409, 412, 422, 503)
