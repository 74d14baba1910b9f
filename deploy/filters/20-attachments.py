"""Keeps programs back for the operator, whatever they are called: archives are looked into, one level deep."""

import io
import zipfile

from shared.filters.api import Actions, Context, Message

ENDINGS = (".exe", ".scr", ".js", ".vbs", ".bat", ".cmd", ".com", ".pif", ".lnk", ".hta", ".iso")
MAX_NAMES = 1_000  # files of one archive that are looked at
WHEN_FAILING = "hold"


async def filter(message: Message, context: Context) -> Actions:
    for attachment in message.attachments:
        names = [attachment.name]
        if zipfile.is_zipfile(io.BytesIO(attachment.data)):
            with zipfile.ZipFile(io.BytesIO(attachment.data)) as archive:
                names += archive.namelist()[:MAX_NAMES]
        for name in names:
            if name.lower().endswith(ENDINGS) or attachment.data[:2] == b"MZ":
                return Actions().quarantine(f"a program: {name}")
    return Actions()
