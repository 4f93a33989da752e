#!/usr/bin/env bash
# lock.sh : requirements/*.txt and those of the images anew from pyproject.toml. Development only.
set -euo pipefail
PART="lock"
# shellcheck source=setup/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

if ! have uv; then missing "uv" "pip install uv"; fi
cd "$ROOT"
"$VENV/bin/python" setup/lock.py
