#!/usr/bin/env bash
# scib-helper.sh PYTHON : make the LISI helper of the package scib work in this environment.
# Its wheel ships a binary that wants a newer C library than Debian 12 has, and the source of it: the source is compiled here, statically,
# so that the same file (.tools/scib/knn_graph.o) also works in the images.
set -euo pipefail
PART="scib"
# shellcheck source=setup/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

folder="$("$1" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/scib/knn_graph"
ours="$TOOLS/scib/knn_graph.o"
if [ ! -d "$folder" ]; then exit 0; fi

# Without arguments the helper only complains; 126 and 127 or a loader's message say that it does not start.
starts() {
    local said code=0
    said="$(timeout 20 "$1" 2>&1 </dev/null)" || code=$?
    [ "$code" -ne 126 ] && [ "$code" -ne 127 ] && ! grep -q 'GLIBC\|cannot execute\|error while loading' <<<"$said"
}

key="$(sha256sum <"$folder/knn_graph.cpp" | cut -c1-16)"
if ! { [ -x "$ours" ] && stamped scib-helper "$key"; }; then
    if ! have g++ && is_root && has_apt; then apt_install g++; fi
    if ! have g++; then
        if starts "$folder/knn_graph.o"; then
            say "no g++: the helper that scib ships is used here; images keep it too"
        else
            say "no g++ and the helper that scib ships does not start here: '--metrics_backend scib' has no LISI (our own metrics need neither)"
            say "get it: apt-get install g++, then: make setup"
        fi
        exit 0
    fi
    mkdir -p "$TOOLS/scib"
    g++ -std=c++11 -O3 -static -o "$ours.part" "$folder/knn_graph.cpp" 2>&1 | grep -i error >&2 || true
    starts "$ours.part" || { say "the compiled helper does not start"; exit 1; }
    mv "$ours.part" "$ours"
    stamp scib-helper "$key"
fi
if ! cmp -s "$ours" "$folder/knn_graph.o"; then
    # A new file, not a write into the old one: uv's cache may share it by hard link.
    cp "$ours" "$folder/knn_graph.o.part"
    chmod 755 "$folder/knn_graph.o.part"
    mv "$folder/knn_graph.o.part" "$folder/knn_graph.o"
    say "LISI helper compiled on this machine"
fi
