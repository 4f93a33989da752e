#!/usr/bin/env bash
# demo.sh ENGINE OUTDIR : the pipeline on the embedded cells. ENGINE: docker, venv, or auto (docker where a daemon answers).
set -euo pipefail
PART="demo"
# shellcheck source=setup/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

engine="${1:-auto}" outdir="${2:-results/demo}"
case "$engine" in auto | docker | venv) ;; *)
    echo "ENGINE=$engine is not known; choose docker or venv" >&2
    exit 2
    ;;
esac
"$ROOT/setup/setup.sh"

if [ "$engine" = auto ]; then
    if have docker && docker info >/dev/null 2>&1; then engine=docker; else engine=venv; fi
    say "engine: $engine ($([ "$engine" = docker ] && echo "a Docker daemon answers" || echo "no Docker daemon answers"); ENGINE=... chooses)"
fi
if [ "$engine" = docker ]; then
    if ! have docker || ! docker info >/dev/null 2>&1; then missing "a Docker daemon that answers" "sudo systemctl start docker   (or setup/docker.sh start, or make demo ENGINE=venv)"; fi
    "$ROOT/setup/images.sh" >&2
fi

cd "$ROOT"
export PATH="$TOOLS/bin:$PATH"
nextflow run . -profile "demo,$engine" --outdir "$outdir"
report="$(cd "$outdir" && pwd)/report.html"
if [ ! -s "$report" ]; then
    say "the run ended without $report"
    exit 1
fi
printf '\n%s\n' "$report"
