#!/usr/bin/env bash
# images.sh [NAME...] : build the images base, core and then all others (or only the named, with what they stand on).
# An image whose sources have not changed is left alone. Settings: BASE_IMAGE, TORCH_INDEX, PIP_INDEX_URL, FORCE=1;
# DIGESTS=FILE also writes the models sheet with the images by their content there.
set -euo pipefail
PART="images"
# shellcheck source=setup/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

VERSION="$(version)"
TORCH_INDEX="${TORCH_INDEX:-}"
PIP_INDEX_URL="${PIP_INDEX_URL:-}"
PORT="${SCEVAL_WHEELS_PORT:-8741}"
LOGS="$TOOLS/logs"
server=""
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true' EXIT

# hash_tree PATH... : over all files below, without what Python leaves behind.
hash_tree() {
    local files
    mapfile -t files < <(cd "$ROOT" && find "$@" -type f -not -name '*.pyc' -not -path '*/__pycache__/*' 2>/dev/null | sort)
    hash_of "${files[@]}"
}
image_label() { docker image inspect -f '{{index .Config.Labels "sceval.source"}}' "$1" 2>/dev/null || true; }

folder_of() {
    local folder
    for folder in containers containers/models containers/tasks; do
        if [ -f "$ROOT/$folder/$1/Dockerfile" ]; then
            printf '%s\n' "$folder/$1"
            return 0
        fi
    done
    say "there is no image '$1'; there are: base core ${ALL[*]}"
    return 1
}

# The given image, else one that is here, else one that a registry has, else one made from the apt mirror.
choose_base_image() {
    if [ -n "${BASE_IMAGE:-}" ]; then return 0; fi
    BASE_IMAGE="$(sed -n 's/^ARG BASE_IMAGE=//p' "$ROOT/containers/base/Dockerfile")"
    if docker image inspect "$BASE_IMAGE" >/dev/null 2>&1; then return 0; fi
    local made
    made="$(docker images --format '{{.Repository}}:{{.Tag}}' sceval/python | head -n 1)"
    if [ -n "$made" ]; then
        BASE_IMAGE="$made"
    elif ! timeout 300 docker pull -q "$BASE_IMAGE" >/dev/null 2>&1; then
        say "no image registry gives $BASE_IMAGE: making a base from the apt mirror"
        BASE_IMAGE="$("$ROOT/setup/base-image.sh")"
    fi
}

# The wheels are fetched on the host, with its own pip configuration, so that no mirror, certificate or password gets into an image;
# the builds take them from a server on the loopback interface, which every kind of builder reaches by the host's network.
serve_wheels() {
    local here there files=(requirements/torch.txt requirements/base.txt requirements/build.txt) file
    if [ -n "$server" ] || [ -n "$PIP_INDEX_URL" ]; then return 0; fi
    if [ -n "$TORCH_INDEX" ]; then files=(requirements/base.txt requirements/build.txt); fi
    for file in "$ROOT"/containers/*/*/requirements.txt; do files+=("${file#"$ROOT"/}"); done
    here="$("$VENV/bin/python" -c 'import sys, platform; print(*sys.version_info[:2], platform.machine(), sys.platform)')"
    there="$(docker run --rm --network none "$BASE_IMAGE" python3 -c 'import sys, platform; print(*sys.version_info[:2], platform.machine(), sys.platform)')"
    if [ "$here" = "$there" ] && [ -z "${SCEVAL_FETCH_INSIDE:-}" ]; then
        "$ROOT/setup/wheels.sh" "$VENV/bin/python" "${files[@]}"
    else
        fetch_inside "${files[@]}"
    fi
    "$VENV/bin/python" -m http.server --bind 127.0.0.1 --directory "$WHEELS" "$PORT" >/dev/null 2>&1 &
    server=$!
    local left=50
    while ! (exec 3<>"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null; do
        left=$((left - 1))
        if [ "$left" -eq 0 ] || [ ! -d "/proc/$server" ]; then
            say "port $PORT is taken; choose another: SCEVAL_WHEELS_PORT=..."
            return 1
        fi
        sleep 0.1
    done
}

# Another Python than the host's: the base image's own fetches, with the host's pip settings for this one run.
fetch_inside() {
    local settings=() key value file cert
    for key in index-url extra-index-url trusted-host; do
        value="$("$VENV/bin/python" -m pip config get "global.$key" 2>/dev/null || true)"
        if [ -n "$value" ]; then settings+=(-e "PIP_$(tr 'a-z-' 'A-Z_' <<<"$key")=$value"); fi
    done
    cert="${PIP_CERT:-${SSL_CERT_FILE:-}}"
    if [ -f "$cert" ]; then settings+=(-v "$cert:/host-ca.crt:ro" -e PIP_CERT=/host-ca.crt); fi
    mkdir -p "$WHEELS"
    say "fetching wheels with the Python of $BASE_IMAGE"
    for file in "$@"; do
        docker run --rm --network host -u "$(id -u):$(id -g)" -e HOME=/tmp -e PIP_DISABLE_PIP_VERSION_CHECK=1 "${settings[@]}" \
            -v "$WHEELS:/wheels" -v "$ROOT/$file:/requirements.txt:ro" "$BASE_IMAGE" bash -c \
            'python3 -m venv /tmp/v && /tmp/v/bin/pip download -q --no-cache-dir --no-deps --require-hashes -d /wheels --find-links /wheels -r /requirements.txt' >&2
    done
}

# build NAME HASH [--build-arg ...] : skip when the label says that nothing changed.
build() {
    local name=$1 source=$2 folder image began
    shift 2
    folder="$(folder_of "$name")"
    image="sceval/$name:$VERSION"
    if [ "$(image_label "$image")" = "$source" ] && [ -z "${FORCE:-}" ]; then
        say "$image is up to date"
        return 0
    fi
    serve_wheels
    mkdir -p "$LOGS"
    began=$SECONDS
    say "building $image (log: .tools/logs/image-$name.log)"
    local args=(--build-arg "PIP_INDEX_URL=$PIP_INDEX_URL")
    if [ -n "$server" ]; then args+=(--build-arg "WHEELS=http://127.0.0.1:$PORT/"); fi
    # --network host: for the wheels, and because a daemon without a bridge has no other.
    if ! docker build --network host -f "$ROOT/$folder/Dockerfile" -t "$image" --label "sceval.source=$source" \
        --label "org.opencontainers.image.version=$VERSION" --label "org.opencontainers.image.title=sceval $name" \
        "${args[@]}" "$@" "$ROOT" >"$LOGS/image-$name.log" 2>&1 </dev/null; then
        tail -n 30 "$LOGS/image-$name.log" >&2
        return 1
    fi
    say "built $image in $((SECONDS - began)) s ($(docker image inspect -f '{{.Size}}' "$image" | numfmt --to=iec))"
}

mapfile -t ALL < <(cd "$ROOT/containers" && for f in models/*/Dockerfile tasks/*/Dockerfile; do basename "$(dirname "$f")"; done)
if [ "$#" -gt 0 ]; then names=("$@"); else names=("${ALL[@]}"); fi
for name in "${names[@]}"; do folder_of "$name" >/dev/null; done
if ! docker info >/dev/null 2>&1; then missing "a Docker daemon that answers" "setup/docker.sh start"; fi
# Without the buildx plug-in a newer client has only the classic builder; saying so spares its warning.
if ! docker buildx version >/dev/null 2>&1; then export DOCKER_BUILDKIT="${DOCKER_BUILDKIT:-0}"; fi

choose_base_image
say "base image: $BASE_IMAGE"
base_id="$(docker image inspect -f '{{.Id}}' "$BASE_IMAGE" 2>/dev/null || true)"
if [ -z "$base_id" ]; then
    docker pull -q "$BASE_IMAGE" >/dev/null
    base_id="$(docker image inspect -f '{{.Id}}' "$BASE_IMAGE")"
fi
# One made by base-image.sh is known by what it was made from: made anew from the same, it is the same.
base_label="$(image_label "$BASE_IMAGE")"
base_id="${base_label:-$base_id}"
base_hash="$(hash_tree containers/base requirements/base.txt requirements/torch.txt)-$(sha256sum <<<"$base_id $TORCH_INDEX" | cut -c1-8)"
core_hash="$(hash_tree containers/core requirements/build.txt pyproject.toml src)-$base_hash"
build base "$base_hash" --build-arg "BASE_IMAGE=$BASE_IMAGE" --build-arg "TORCH_INDEX=$TORCH_INDEX"
build core "$core_hash" --build-arg "BASE=sceval/base:$VERSION"
for name in "${names[@]}"; do
    if [ "$name" = base ] || [ "$name" = core ]; then continue; fi
    extra=""
    if [ "$name" = batch_integration ]; then extra=".tools/scib"; fi
    # scANVI is in the package of scVI: one requirements file, one layer.
    if [ "$name" = scanvi ]; then extra="containers/models/scvi/requirements.txt"; fi
    # shellcheck disable=SC2086
    build "$name" "$(hash_tree "$(folder_of "$name")" $extra)-$core_hash" --build-arg "BASE=sceval/base:$VERSION" --build-arg "CORE=sceval/core:$VERSION"
done
# Of our images, those that lost their name to a newer one.
docker image prune -f --filter label=sceval.source >/dev/null
say "$(docker images --format '{{.Repository}}:{{.Tag}} {{.Size}}' 'sceval/*' | grep -c ":$VERSION ") images of version $VERSION; the base's layers are stored once"
docker images --format 'table {{.Repository}}:{{.Tag}}\t{{.Size}}' 'sceval/*' | sort -u
if [ -n "${DIGESTS:-}" ]; then "$VENV/bin/python" "$ROOT/setup/digests.py" "$DIGESTS" >&2; fi
