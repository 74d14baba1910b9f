"""Marks mail from outside that bears a colleague's name: the usual way in for fraud."""

from email.utils import parseaddr

from shared.filters.api import Actions, Context, Message

DOMAINS = ("example.org",)  # whose accounts it looks after
COLLEAGUES = {"alice example", "bob example"}  # names as they stand in From


async def filter(message: Message, context: Context) -> Actions:
    name, address = parseaddr(message.header("from"))
    outside = address.rpartition("@")[2].lower() not in DOMAINS
    if outside and name.strip().lower() in COLLEAGUES:
        return Actions().add_header("X-Pretender", f"not {name}").junk(f"{name} from outside", 8.0)
    return Actions()
