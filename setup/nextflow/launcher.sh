#!/usr/bin/env bash
# Starts the Nextflow whose jars lie in ../nextflow (or in the folder that NXF_JARS names). `make setup` copies this to .tools/bin/nextflow.
set -euo pipefail
here="$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)"
jars="${NXF_JARS:-$here/../nextflow}"
java="${JAVA_CMD:-${JAVA_HOME:+$JAVA_HOME/bin/}java}"
if ! command -v "$java" >/dev/null 2>&1; then
    echo "Missing: Java 17 or newer ('$java' was not found). Get it: apt-get install openjdk-17-jre-headless, then: make setup" >&2
    exit 3
fi
# No plugin and no update is looked up, so nothing waits for a network; NXF_OFFLINE=false allows both (AWS Batch needs its plugin).
export NXF_OFFLINE="${NXF_OFFLINE:-true}"
opens=()
# The packages that Nextflow's own launcher opens: Groovy reaches into them by reflection.
for package in java.lang java.io java.nio java.net java.util java.util.concurrent.locks java.util.concurrent.atomic java.util.regex \
    sun.nio.ch sun.nio.fs sun.net.www.protocol.http sun.net.www.protocol.https sun.net.www.protocol.ftp sun.net.www.protocol.file \
    jdk.internal.misc jdk.internal.vm; do
    opens+=("--add-opens=java.base/$package=ALL-UNNAMED")
done
# A pipeline's driver is short-lived: the first compiler alone saves a second at every start.
# shellcheck disable=SC2086
exec "$java" "${opens[@]}" -XX:TieredStopAtLevel=1 -Xms64m -Dfile.encoding=UTF-8 -Djava.awt.headless=true ${NXF_OPTS:-} \
    -cp "$jars/*" nextflow.cli.Launcher "$@"
