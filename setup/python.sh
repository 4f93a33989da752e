#!/usr/bin/env bash
# python.sh : .venv with everything of requirements/all.txt and this package in editable form. A second call does nothing.
# TORCH_INDEX=URL takes torch from that index instead (a CPU build, say): its version stays pinned, its hash cannot be.
set -euo pipefail
PART="python"
# shellcheck source=setup/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

TORCH_INDEX="${TORCH_INDEX:-}"
STAMPS="$VENV/.stamps" # they go when the environment goes
usable() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1; }
with_venv() { "$1" -c 'import venv, ensurepip' >/dev/null 2>&1; }

# 3.11 first: the images have it, so the wheels are fetched once.
find_python() {
    local candidate
    for candidate in "${PYTHON:-}" python3.11 python3.12 python3.13 python3 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.1[123].*/bin/python; do
        if [ -n "$candidate" ] && usable "$candidate" && with_venv "$candidate"; then
            printf '%s\n' "$candidate"
            return 0
        fi
    done
    return 1
}

if [ "${1:-}" = --check ]; then
    find_python >/dev/null
    exit
fi
# An environment holds absolute paths, so one of a checkout that has since moved is made anew.
if [ -e "$STAMPS/place" ] && ! stamped place "$ROOT"; then
    say "this checkout has moved: .venv is made anew"
    rm -rf "$VENV"
fi
if ! { [ -x "$VENV/bin/python" ] && usable "$VENV/bin/python"; }; then
    if ! python="$(find_python)"; then
        apt_install python3 python3-venv
        python="$(find_python)" || missing "Python 3.11, 3.12 or 3.13 with its venv module" "set PYTHON=/path/to/python3.11 and run the same command again"
    fi
    say "$("$python" --version) ($python) makes .venv"
    rm -rf "$VENV"
    "$python" -m venv "$VENV"
fi
py="$VENV/bin/python"
if ! "$py" -m pip --version >/dev/null 2>&1; then "$py" -m ensurepip >/dev/null; fi

key="$(hash_of requirements/all.txt requirements/build.txt)-$("$py" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-${TORCH_INDEX:-pypi}"
if ! stamped venv "$key"; then
    if [ -z "$TORCH_INDEX" ]; then
        locks=("$ROOT/requirements/all.txt")
    else
        # All but torch and what comes with it; that part is installed from the given index.
        mkdir -p "$TOOLS"
        "$py" - "$ROOT" >"$TOOLS/without-torch.txt" <<'END'
import pathlib, re, sys
root = pathlib.Path(sys.argv[1], "requirements")
blocks = lambda name: re.split(r"^(?=[A-Za-z0-9])", root.joinpath(name).read_text(), flags=re.M)[1:]
torch = {b.split("==")[0] for b in blocks("torch.txt")}
print("".join(b for b in blocks("all.txt") if b.split("==")[0] not in torch))
END
        locks=("$TOOLS/without-torch.txt")
        say "torch from $TORCH_INDEX"
        "$py" -m pip install --index-url "$TORCH_INDEX" "torch==$(sed -n 's/^torch==\([^ ;]*\).*/\1/p' "$ROOT/requirements/torch.txt")" >&2
    fi
    "$ROOT/setup/wheels.sh" "$py" "${locks[@]#"$ROOT"/}" requirements/build.txt
    say "installing $(cat "${locks[@]}" | grep -c '==') packages"
    args=(--no-deps --require-hashes --no-index --find-links "$WHEELS")
    for lock in "${locks[@]}"; do args+=(-r "$lock"); done
    args+=(-r "$ROOT/requirements/build.txt")
    if have uv && uv --version >/dev/null 2>&1; then
        uv pip install --python "$py" "${args[@]}" >&2
    else
        if [ ! -t 2 ]; then args+=(-q); fi
        "$py" -m pip install --disable-pip-version-check "${args[@]}" >&2
    fi
    stamp venv "$key"
    stamp place "$ROOT"
fi
key="$(hash_of pyproject.toml)"
if ! stamped package "$key"; then
    "$py" -m pip install -q --disable-pip-version-check --no-build-isolation --no-deps --no-index -e "$ROOT" >&2
    stamp package "$key"
    say "this package is installed in editable form"
fi
"$ROOT/setup/scib-helper.sh" "$py"
