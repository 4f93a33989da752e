#!/usr/bin/env bash
# setup.sh : all that the pipeline needs on this machine. What is there is left alone; a second call takes a second.
set -euo pipefail
PART="setup"
# shellcheck source=setup/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# What is missing and may not be installed is told at once and together, before anything is fetched.
if ! { is_root && has_apt; }; then
    absent=()
    have java || absent+=("openjdk-17-jre-headless")
    have ps || absent+=("procps")
    if ! have nextflow && ! have mvn && [ ! -d "$TOOLS/nextflow" ]; then absent+=("maven"); fi
    if ! [ -x "$VENV/bin/python" ] && ! "$ROOT/setup/python.sh" --check; then absent+=(python3 python3-venv); fi
    if [ "${#absent[@]}" -gt 0 ]; then apt_install "${absent[@]}"; fi
fi
"$ROOT/setup/python.sh"
"$ROOT/setup/nextflow.sh"
say "ready: .venv, $(PATH="$TOOLS/bin:$PATH" && command -v nextflow)"
