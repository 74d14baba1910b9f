"""Bytes of a named charset as text for people: never raises, never trusts the name."""

from __future__ import annotations

import re
from encodings.aliases import aliases
from functools import lru_cache

_NOT_TEXT = {"base64_codec", "bz2_codec", "hex_codec", "quopri_codec", "rot_13", "uu_codec", "zlib_codec"}
_UNSAFE = {"idna", "mbcs", "oem", "punycode", "raw_unicode_escape", "undefined", "unicode_escape"}
_EXTRA = {"iso_8859_16", "koi8_u", "koi8_t", "utf_8_sig", "utf_8", "cp874", "cp1006", "mac_arabic"}
# Python's own look-up imports by name and remembers every unknown name for ever: it gets known names only.
_CODECS = frozenset(aliases.values()) - _NOT_TEXT - _UNSAFE | _EXTRA
# Senders label the larger charset by the smaller one's name.
_REALLY = {
    "latin_1": "cp1252",
    "ascii": "utf_8",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "euc_kr": "cp949",
    "shift_jis": "cp932",
}
_NAMED_OTHERWISE = {
    "x_sjis": "cp932",
    "windows_31j": "cp932",
    "x_gbk": "gb18030",
    "x_euc_jp": "euc_jp",
    "utf8mb4": "utf_8",
    "unicode_1_1_utf_8": "utf_8",
    "unicode_1_1_utf_7": "utf_7",
    "windows_874": "cp874",
    "x_mac_roman": "mac_roman",
    "iso_8859_8_i": "iso8859_8",
    "iso_8859_8_e": "iso8859_8",
}
_SEPARATORS = re.compile(r"[^a-z0-9]+")
MAX_CHARSET_NAME = 64
"""Characters of a charset's name that are looked at."""


def decode_text(data: bytes, charset: str | None = None) -> str:
    """Data as text by its declared charset, then UTF-8, then windows-1252; never raises.

    The text has no NUL and no lone surrogate, so that any database takes it.
    """
    text = _decode(data, codec_for(charset) if charset else None)
    return text.replace("\0", " ") if "\0" in text else text


def _decode(data: bytes, codec: str | None) -> str:
    if codec is not None and codec != "utf_8":
        try:
            return _without_surrogates(data.decode(codec))
        except ValueError:
            pass
    try:
        return data.decode()
    except ValueError:
        pass
    fallback = codec if codec is not None and codec != "utf_8" else "cp1252"
    return _without_surrogates(data.decode(fallback, "replace"))


def _without_surrogates(text: str) -> str:
    """Some decoders, UTF-7's for one, let half a surrogate pair through."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def codec_for(charset: str) -> str | None:
    """Python's name of a charset's codec, or None when it is unknown or isn't for text."""
    return _codec_for(charset[:MAX_CHARSET_NAME])


@lru_cache(maxsize=512)
def _codec_for(charset: str) -> str | None:
    name = _SEPARATORS.sub("_", charset.lower()).strip("_")
    codec = _NAMED_OTHERWISE.get(name) or aliases.get(name) or aliases.get(name.replace("_", "")) or name
    codec = _REALLY.get(codec, codec)
    return codec if codec in _CODECS else None
