#!/usr/bin/env bash
# wheels.sh PYTHON FILE... : the wheels of these hash-locked files for this Python, in the wheel folder that the local environment
# and the image builds share. What lies there is not fetched again. Mirrors are whatever pip's own configuration says.
PART=wheels
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

python=$1
shift
mkdir -p "$WHEELS"
for file in "$@"; do
    flags=(--no-deps --require-hashes --dest "$WHEELS" --find-links "$WHEELS" -r "$ROOT/$file" --disable-pip-version-check --no-cache-dir)
    # First without any index: silent and without a network once all wheels are here.
    if "$python" -m pip download --no-index -q "${flags[@]}" >/dev/null 2>&1; then continue; fi
    say "fetching the wheels of $file into $WHEELS"
    # A person sees pip's bars; a log does not need a line for each of some hundred files.
    if [ ! -t 2 ]; then flags+=(-q); fi
    "$python" -m pip download "${flags[@]}" >&2
done
