#!/usr/bin/env bash
# jars.sh NAME FOLDER : the jars of setup/NAME/pom.xml into FOLDER, each checked against setup/NAME/SHA256SUMS.
# jars.sh --check NAME FOLDER : only the check.
set -euo pipefail
PART="jars"
# shellcheck source=setup/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

check=no
if [ "${1:-}" = --check ]; then check=yes && shift; fi
name=$1 folder="$(realpath -m "$2")" sums="$ROOT/setup/$1/SHA256SUMS"

# Every listed jar is there and is what it was; no jar is there that is not listed (all of them land on the class path).
verify() {
    local bad extra
    bad="$(cd "$1" && sha256sum --check --quiet "$sums" 2>/dev/null)" || {
        printf 'refused: these jars are not the ones that setup/%s/SHA256SUMS lists:\n%s\n' "$name" "$bad" >&2
        return 1
    }
    extra="$(comm -13 <(awk '{print $2}' "$sums" | sort) <(cd "$1" && find . -type f -printf "%P\n" | sort))"
    if [ -n "$extra" ]; then
        printf 'refused: not listed in setup/%s/SHA256SUMS: %s\n' "$name" "$extra" >&2
        return 1
    fi
}

if [ "$check" = yes ]; then
    verify "$folder"
    exit
fi
if [ -d "$folder" ] && verify "$folder" 2>/dev/null; then exit 0; fi
if ! have mvn; then apt_install maven; fi
say "fetching the jars of setup/$name/pom.xml with Maven"
part="$folder.part"
rm -rf "$part"
mkdir -p "$part"
if ! mvn -B -q -Dstyle.color=never -f "$ROOT/setup/$name/pom.xml" dependency:copy-dependencies "-DoutputDirectory=$part" >&2 </dev/null; then
    say "Maven failed; its message is above (which mirror it asks is set in its own settings.xml)"
    exit 1
fi
verify "$part"
rm -rf "$folder"
mv "$part" "$folder"
say "$(wc -l <"$sums") jars, all as listed in setup/$name/SHA256SUMS"
