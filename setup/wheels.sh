#!/usr/bin/env bash
# wheels.sh PYTHON FILE... : the wheels of these hash-locked files for this Python, in the wheel folder that the local environment
# and the image builds share. What lies there is not fetched again. Mirrors are whatever pip's own configuration says.
set -euo pipefail
PART="wheels"
# shellcheck source=setup/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

python=$1
shift
mkdir -p "$WHEELS"
abi="$("$python" -c 'import sys, platform; print("%d.%d-%s-%s" % (*sys.version_info[:2], sys.platform, platform.machine()))')"
for file in "$@"; do
    # Checking 3 GB of hashes takes ten seconds: once for each file and Python is enough.
    done_mark="$WHEELS/.complete-$(hash_of "$file")-$abi"
    if [ -e "$done_mark" ]; then continue; fi
    flags=(--no-deps --require-hashes --dest "$WHEELS" --find-links "$WHEELS" -r "$ROOT/$file" --disable-pip-version-check --no-cache-dir)
    # First without any index: silent and without a network once all wheels are here.
    if "$python" -m pip download --no-index -q "${flags[@]}" >/dev/null 2>&1; then
        touch "$done_mark"
        continue
    fi
    say "fetching the wheels of $file into $WHEELS"
    # A person sees pip's bars; a log does not need a line for each of some hundred files.
    if [ ! -t 2 ]; then flags+=(-q); fi
    "$python" -m pip download "${flags[@]}" >&2
    touch "$done_mark"
done
