#!/usr/bin/env bash
# nextflow.sh : Java 17 or newer, and a Nextflow of at least 24.10.0: the one on the PATH, else jars in .tools/nextflow.
set -euo pipefail
PART="nextflow"
# shellcheck source=setup/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

NEEDED=24.10.0
java_major() { java -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -n 1; }

major="$(java_major || true)"
if [ "${major:-0}" -lt 17 ]; then
    apt_install openjdk-17-jre-headless
    major="$(java_major || true)"
    if [ "${major:-0}" -lt 17 ]; then missing "Java 17 or newer (the java on the PATH is ${major:-absent})" "put a Java 17+ first on the PATH"; fi
fi
if ! have ps; then apt_install procps; fi

found="$(command -v nextflow || true)"
if [ -n "$found" ] && [ "$found" != "$TOOLS/bin/nextflow" ]; then
    version="$(nextflow -version 2>/dev/null | sed -n 's/.*version \([0-9.]*\).*/\1/p' | head -n 1)"
    if [ -n "$version" ] && [ "$(printf '%s\n' "$NEEDED" "$version" | sort -V | head -n 1)" = "$NEEDED" ]; then
        rm -f "$TOOLS/bin/nextflow"
        exit 0
    fi
    say "the nextflow on the PATH ($found) is ${version:-of unknown version}; at least $NEEDED is needed, so .tools/bin/nextflow is made"
fi
"$ROOT/setup/jars.sh" nextflow "$TOOLS/nextflow"
if ! cmp -s "$ROOT/setup/nextflow/launcher.sh" "$TOOLS/bin/nextflow"; then
    mkdir -p "$TOOLS/bin"
    cp "$ROOT/setup/nextflow/launcher.sh" "$TOOLS/bin/nextflow.part"
    chmod 755 "$TOOLS/bin/nextflow.part"
    mv "$TOOLS/bin/nextflow.part" "$TOOLS/bin/nextflow"
fi
