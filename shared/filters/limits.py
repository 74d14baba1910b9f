"""The named limits of what scanners say and get."""

CHUNK = 256 * 1024  # octets of a message handed over at a time
MAX_ANSWER = 1024 * 1024  # octets of one scanner's answer
MAX_LINE = 64 * 1024  # octets of one line of an answer
MAX_CHANGES = 200  # header fields that one verdict adds or removes
MAX_FIELD = 16 * 1024  # octets of one field that a scanner adds
MAX_RECIPIENTS_TOLD = 1_000  # to a scanner
MAX_SCANNERS = 50  # in one file
