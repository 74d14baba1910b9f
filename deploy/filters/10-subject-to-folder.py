"""Files mail by a tag in its subject: "[build] all green" goes to the mailbox Build."""

import re

from shared.filters.api import Actions, Context, Message

TAG = re.compile(r"\[(\w[\w .-]{0,40})\]")
FOLDERS = {"build": "Build", "invoice": "Invoices", "alert": "Alerts"}


async def filter(message: Message, context: Context) -> Actions:
    found = TAG.match(message.subject)
    folder = FOLDERS.get(found[1].lower()) if found else None
    return Actions().file_into(folder, create=True) if folder else Actions()
