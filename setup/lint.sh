#!/usr/bin/env bash
# lint.sh : ruff over the Python, Nextflow's strict syntax over the pipeline; shellcheck and hadolint where they are installed.
set -euo pipefail
PART="lint"
# shellcheck source=setup/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

"$ROOT/setup/setup.sh"
"$ROOT/setup/jars.sh" nextflow-lint "$TOOLS/nextflow-lint"
cd "$ROOT"
failed=()
check() {
    say "$1"
    shift
    "$@" || failed+=("$*")
}
check "ruff" "$VENV/bin/ruff" check .
check "ruff format" "$VENV/bin/ruff" format --check .
sources=(main.nf nextflow.config)
for folder in workflows subworkflows modules conf; do [ ! -d "$folder" ] || sources+=("$folder"); done
check "strict Nextflow syntax" env NXF_JARS="$TOOLS/nextflow-lint" bash "$ROOT/setup/nextflow/launcher.sh" lint "${sources[@]}"
if have shellcheck; then check "shellcheck" shellcheck -x -e SC2317 setup/*.sh setup/nextflow/launcher.sh .ci/run; fi
if have hadolint; then
    mapfile -t dockerfiles < <(find containers docs -name Dockerfile)
    check "hadolint" hadolint --ignore DL3008 --ignore DL3013 "${dockerfiles[@]}"
fi
if [ "${#failed[@]}" -gt 0 ]; then
    say "failed: ${failed[*]}"
    exit 1
fi
say "all clean"
