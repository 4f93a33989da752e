#!/usr/bin/env bash
# test.sh [PYTEST ARGUMENTS] : all tests; pytest's totals are the last lines.
set -euo pipefail
PART="test"
# shellcheck source=setup/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

"$ROOT/setup/setup.sh"
cd "$ROOT"
export PATH="$TOOLS/bin:$PATH"
exec "$VENV/bin/python" -m pytest "$@"
