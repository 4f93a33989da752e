#!/usr/bin/env bash
# base-image.sh : a Python base image made from this machine's own apt mirror, for places without an image registry.
# The result is sceval/python:3.X (3.11 on Debian 12), to be given as BASE_IMAGE to containers/base/Dockerfile. Root only.
set -euo pipefail
PART="base-image"
# shellcheck source=setup/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

if ! has_apt; then missing "apt (this target makes the image from an apt mirror)" "give a Python 3.11+ image of yours instead: make images BASE_IMAGE=..."; fi
if ! is_root; then missing "root, for debootstrap" "sudo make base-image"; fi
if ! docker info >/dev/null 2>&1; then missing "a Docker daemon that answers" "setup/docker.sh start"; fi

# shellcheck source=/dev/null
suite="$(. /etc/os-release && echo "$VERSION_CODENAME")"

# The address is read from the machine's own apt sources, in both spellings (deb822 and one line).
apt_mirror() {
    awk -v suite="$suite" '
        function flush() { if (uri != "" && suites ~ ("(^| )" suite "( |$)") && !done) { print uri; done = 1 } uri = suites = "" }
        FNR == 1 { flush() }
        /^#/ { next }
        /^[[:space:]]*$/ { flush(); next }
        /^URIs:/ { uri = $2 }
        /^Suites:/ { $1 = ""; suites = $0 }
        $1 == "deb" { i = 2; if ($2 ~ /^\[/) { while ($i !~ /\]$/) i++; i++ }; flush(); uri = $i; suites = $(i + 1); flush() }
        END { flush() }' /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list /etc/apt/sources.list 2>/dev/null
}
mirror="$(apt_mirror || true)"
if [ -z "$mirror" ]; then missing "an apt source of the suite '$suite'" "add one to /etc/apt/sources.list"; fi

want="$(hash_of setup/base-image.sh)-$suite"
current="$(docker images -q --filter "label=sceval.source=$want" sceval/python | head -n 1)"
if [ -n "$current" ] && [ -z "${FORCE:-}" ]; then
    say "sceval/python is there ($current); FORCE=1 makes it anew"
    docker images --format '{{.Repository}}:{{.Tag}}' --filter "label=sceval.source=$want" sceval/python | head -n 1
    exit 0
fi

if ! have debootstrap; then apt_install debootstrap; fi
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
say "debootstrap $suite (about a minute)"
if ! debootstrap --variant=minbase --include=python3,python3-venv,procps,ca-certificates "$suite" "$work/image" "$mirror" >"$work/log" 2>&1; then
    tail -n 20 "$work/log" >&2
    exit 1
fi
# Nothing of this machine stays in the image: neither its mirror nor its name server.
rm -rf "$work"/image/var/cache/apt/* "$work"/image/var/lib/apt/lists/* "$work"/image/usr/share/{doc,man,locale,info}/* \
    "$work"/image/etc/apt/sources.list "$work"/image/etc/{hostname,resolv.conf} "$work"/image/var/log/*.log
python="$(chroot "$work/image" python3 -c 'import sys; print("%d.%d" % sys.version_info[:2]); sys.exit(sys.version_info < (3, 11))')" ||
    missing "Python 3.11 or newer in '$suite' (it has $python)" "give a Python 3.11+ image of yours instead: make images BASE_IMAGE=..."
tar -C "$work/image" -c . | docker import -c 'ENV LANG=C.UTF-8' -c "LABEL sceval.source=$want" \
    -c 'CMD ["python3"]' - "sceval/python:$python" >/dev/null
say "made sceval/python:$python ($(docker image inspect -f '{{.Size}}' "sceval/python:$python" | numfmt --to=iec))"
echo "sceval/python:$python"
