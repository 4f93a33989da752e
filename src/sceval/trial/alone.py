"""Runs a command in a network of its own that leads nowhere, and counts what tried to leave it.

    python alone.py COUNT_FILE COMMAND ARGS...

Needs no root where the system allows user namespaces. COUNT_FILE gets the number of packets and connections without a
route (`OutNoRoutes` of /proc/net/snmp and snmp6, https://docs.kernel.org/networking/snmp_counter.html), so that a call
is seen even where the program bears its failure. Without a namespace the command runs as it is, and no file is written.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import subprocess
import sys
from pathlib import Path

_NEW_USER, _NEW_NET = 0x10000000, 0x40000000
_SET_FLAGS, _UP = 0x8914, 0x1 | 0x40


def enter() -> bool:
    """Move this process into a network namespace whose loopback works; return whether that was allowed."""
    user, group = os.getuid(), os.getgid()
    unshare = getattr(ctypes.CDLL(None), "unshare", None)  # absent on systems other than Linux
    root = os.geteuid() == 0
    if unshare is None or unshare(_NEW_NET if root else _NEW_NET | _NEW_USER):
        return False
    if not root:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        fcntl.ioctl(handle, _SET_FLAGS, struct.pack("16sh14x", b"lo", _UP))
    return True


def allowed() -> bool:
    """Return whether `enter` works here, tried in a child: a namespace entered by half cannot be left again."""
    child = os.fork()
    if not child:
        try:
            os._exit(0 if enter() else 1)
        except OSError:
            os._exit(1)
    return os.waitpid(child, 0)[1] == 0


def without_route(text: str) -> int:
    """Return the sum of the counters of packets without a route in the text of snmp and snmp6, one after the other."""
    total, names = 0, []
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["Ip:"]:
            if names:
                total += int(words[names.index("OutNoRoutes")])
            names = words
        elif words[:1] == ["Ip6OutNoRoutes"]:
            total += int(words[1])
    return total


def counters() -> str:
    """Return snmp and snmp6 of this network; empty where the system has neither."""
    paths = [Path("/proc/net/snmp"), Path("/proc/net/snmp6")]
    return "".join(path.read_text() for path in paths if path.is_file())


def main() -> int:
    """Run the command and return its exit code."""
    count, command = Path(sys.argv[1]), sys.argv[2:]
    inside = allowed() and enter()
    before = without_route(counters())
    try:
        code = subprocess.call(command)
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr)
        return 127
    if inside:
        count.write_text(f"{without_route(counters()) - before}\n")
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
