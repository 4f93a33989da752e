# Shared by the scripts of this folder: source it, do not run it.
# shellcheck shell=bash disable=SC2034
set -euo pipefail

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
TOOLS="$ROOT/.tools"
STAMPS="$TOOLS/stamps"
VENV="$ROOT/.venv"
# Outside the checkout, so that a second clone (CI makes a fresh one) does not fetch 3 GB again.
WHEELS="${SCEVAL_WHEELS:-${XDG_CACHE_HOME:-$HOME/.cache}/sceval/wheels}"

say() { printf '[%s] %s\n' "${PART:-sceval}" "$*" >&2; }
# Exit code 3 means: something is missing that this script may not install.
missing() {
    printf '\nMissing: %s\nGet it:  %s\n' "$1" "$2" >&2
    exit 3
}

is_root() { [ "$(id -u)" -eq 0 ]; }
has_apt() { command -v apt-get >/dev/null 2>&1; }
have() { command -v "$1" >/dev/null 2>&1; }

# apt_install PACKAGE... : as root on Debian or Ubuntu; elsewhere say what is missing and how to get it.
apt_install() {
    if ! has_apt; then missing "$*" "install these with your system's package manager, then run the same command again"; fi
    if ! is_root; then missing "$*" "sudo apt-get update && sudo apt-get install -y $*"; fi
    say "installing by apt: $*"
    export DEBIAN_FRONTEND=noninteractive
    if [ -z "${APT_UPDATED:-}" ]; then
        apt-get update -qq >&2
        export APT_UPDATED=1
    fi
    apt-get install -y -qq --no-install-recommends "$@" >&2 </dev/null
}

# hash_of FILE... : one hash over names and contents; a missing file counts as such.
hash_of() { (cd "$ROOT" && for f in "$@"; do printf '%s ' "$f" && { sha256sum <"$f" 2>/dev/null || echo none; }; done | sha256sum | cut -c1-16); }

# A stamp holds the hash of what a step was made from: equal hash, nothing to do.
stamped() { [ "$(cat "$STAMPS/$1" 2>/dev/null)" = "$2" ]; }
stamp() { mkdir -p "$STAMPS" && printf '%s\n' "$2" >"$STAMPS/$1.part" && mv "$STAMPS/$1.part" "$STAMPS/$1"; }

version() { sed -n 's/^version = "\(.*\)"$/\1/p' "$ROOT/pyproject.toml" | head -n 1; }
