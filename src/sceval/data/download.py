"""One request of a download: continues a partial file where the server allows it, and says whether to try again."""

from __future__ import annotations

import email.utils
import http.client
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import sceval

CHUNK = 1 << 20

AGAIN = {408, 425, 429, 500, 502, 503, 504}
"""Answers after which the same request may succeed later."""


class FetchError(Exception):
    """A file could not be had, or is not the one that was asked for; nothing of it can be used."""


class Interrupted(Exception):
    """The request broke off or was put off; trying again may help.

    Attributes
    ----------
    wait
        Seconds that the server asks to wait, None where it does not say.
    """

    def __init__(self, message: str, wait: float | None = None) -> None:
        super().__init__(message)
        self.wait = wait


def retry_after(value: str | None, now: Callable[[], float] = time.time) -> float | None:
    """Return the seconds of a `Retry-After` header, which holds seconds or a date; None where it says nothing."""
    if not value:
        return None
    if value.strip().isdigit():
        return float(value)
    try:
        when = email.utils.parsedate_to_datetime(value).timestamp()
    except ValueError:
        return None
    return max(0.0, when - now())


def _page(start: bytes, kind: str, url: str) -> None:
    """Refuse a web page in place of a file.

    Raises
    ------
    FetchError
        With the title of the page, which mostly says why.
    """
    text = start[:4096].lstrip().lower()
    if not text.startswith((b"<!doctype html", b"<html", b"<head")) and not kind.startswith("text/html"):
        return
    title = re.search(rb"<title[^>]*>(.*?)</title>", start, re.IGNORECASE | re.DOTALL)
    said = f" titled {' '.join(title[1].decode(errors='replace').split())!r}" if title else ""
    msg = f"{url} answered with a web page{said} instead of the file"
    raise FetchError(msg)


def _refused(error: urllib.error.HTTPError, url: str) -> Exception:
    said = f"{url} answered {error.code} {error.reason}"
    if error.code in AGAIN:
        return Interrupted(said, retry_after(error.headers.get("Retry-After")))
    hint = " (it asks for a login, or for a licence to be accepted on its page)" if error.code in {401, 403} else ""
    return FetchError(said + hint)


def _total(response: http.client.HTTPResponse, done: int) -> int | None:
    """Return the size of the whole file as the server tells it."""
    found = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", ""))
    if found:
        return int(found[2])
    length = response.headers.get("Content-Length")
    return done + int(length) if length and length.isdigit() and not response.headers.get("Content-Encoding") else None


def attempt(url: str, part: Path, size: int | None, timeout: float, tell: Callable[[int, int | None], None]) -> None:
    """Bring a partial file to its end, or some bytes nearer to it.

    Parameters
    ----------
    url
        Address, http or https.
    part
        Partial file; it is appended to where the server continues, else begun anew.
    size
        Bytes that the whole file must have, None where unknown.
    timeout
        Seconds without a byte after which the connection counts as dead.
    tell
        Called with the bytes that are there and the bytes of the whole.

    Raises
    ------
    Interrupted
        The connection broke, or the server asks to come back.
    FetchError
        The address does not exist, is forbidden, answers with a web page, or offers a file of another size.
    """
    done = part.stat().st_size if part.is_file() else 0
    headers = {"User-Agent": f"sceval/{sceval.__version__}", "Accept-Encoding": "identity"}
    if done:
        headers["Range"] = f"bytes={done}-"
    request = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:
            continues = response.status == 206 and response.headers.get("Content-Range", "").startswith(
                f"bytes {done}-"
            )
            if done and not continues:
                if response.status == 206:
                    part.unlink()
                    msg = f"{url} continued at another place than asked; from the start again"
                    raise Interrupted(msg)
                done = 0  # the server knows no ranges, or has another file now
            total = _total(response, done)
            first = response.read(CHUNK)
            if not done:
                _page(first, response.headers.get("Content-Type", ""), url)
            if size is not None and total is not None and total != size:
                part.unlink(missing_ok=True)
                msg = f"{url} offers {total:,} bytes; expected {size:,}"
                raise FetchError(msg)
            with part.open("ab" if done else "wb") as handle:
                while first:
                    handle.write(first)
                    done += len(first)
                    tell(done, size if total is None else total)
                    first = response.read(CHUNK)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # what is there is longer than the file, so it is of another one
            part.unlink(missing_ok=True)
            msg = f"{url} has no such range; from the start again"
            raise Interrupted(msg) from error
        raise _refused(error, url) from error
    except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
        reason = getattr(error, "reason", None) or error
        msg = f"{url}: {reason or type(error).__name__}"
        raise Interrupted(msg) from error
    whole = size if total is None else total
    if whole is not None and done < whole:
        msg = f"{url} broke off after {done:,} of {whole:,} bytes"
        raise Interrupted(msg)
