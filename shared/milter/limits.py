"""The named limits of a conversation with a milter."""

MAX_PACKET = 1024 * 1024 + 64  # octets of one packet that is taken
BODY_CHUNK = 65_535  # octets of the body in one packet (MILTER_CHUNK_SIZE)
MAX_MODIFICATIONS = 1_000  # changes of one message
MAX_REPLACED = 256 * 1024 * 1024  # octets of a replaced body, whatever the message's size limit is
MAX_SYMBOLS = 100  # macros that a milter may ask for at one stage
MAX_PROGRESS = 100  # times in a row that a milter may say that it needs more time
