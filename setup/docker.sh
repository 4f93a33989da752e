#!/usr/bin/env bash
# docker.sh start|stop|status : a Docker daemon where none answers (containers, CI machines without systemd). Root only.
# It stops only the daemon that it started itself, by process id.
set -euo pipefail
PART="docker"
# shellcheck source=setup/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

STATE="${SCEVAL_DOCKER_STATE:-/var/lib/sceval-docker}"
RUN="${SCEVAL_DOCKER_RUN:-/run/sceval-docker}"
PIDFILE="$RUN/dockerd.pid"
LOG="$STATE/dockerd.log"

answers() { docker info >/dev/null 2>&1; }

# The process id is ours only if it still belongs to a dockerd that was started with our pidfile.
own_pid() {
    local pid
    pid="$(cat "$PIDFILE" 2>/dev/null)" || return 1
    tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -q -- "--pidfile $PIDFILE" || return 1
    printf '%s\n' "$pid"
}

wait_gone() {
    local pid=$1 left=$2
    while [ -d "/proc/$pid" ] && [ "$left" -gt 0 ]; do
        sleep 0.2
        left=$((left - 1))
    done
    [ ! -d "/proc/$pid" ]
}

# try_start FLAGS... : 0 once the daemon answers, 1 if it ended or stayed silent for 60 s.
try_start() {
    local pid left=300
    rm -f "$PIDFILE"
    printf '\n== dockerd %s\n' "$*" >>"$LOG"
    setsid dockerd --data-root "$STATE/data" --exec-root "$RUN/exec" --pidfile "$PIDFILE" "$@" >>"$LOG" 2>&1 </dev/null &
    pid=$!
    while [ "$left" -gt 0 ]; do
        if answers; then return 0; fi
        if [ ! -d "/proc/$pid" ]; then return 1; fi
        sleep 0.2
        left=$((left - 1))
    done
    kill "$pid" 2>/dev/null || true
    wait_gone "$pid" 50 || true
    return 1
}

start() {
    if have docker && answers; then
        say "a daemon answers already"
        return 0
    fi
    if ! is_root; then missing "a Docker daemon that answers" "sudo systemctl start docker   (or use ENGINE=venv, which needs none)"; fi
    if ! have dockerd; then apt_install docker.io; fi
    if ! have iptables; then apt_install iptables; fi
    mkdir -p "$STATE/data" "$RUN"
    # Runs use no network and builds the host's, so a kernel without iptables or overlay2 is no obstacle.
    local storage network
    for storage in overlay2 vfs; do
        for network in "" "--iptables=false --bridge=none"; do
            # shellcheck disable=SC2086
            if try_start --storage-driver "$storage" $network; then
                say "started (pid $(cat "$PIDFILE"), $storage${network:+, no bridge network}, data in $STATE/data)"
                if [ "$storage" = vfs ]; then
                    say "warning: overlay2 does not work here; vfs copies every layer: an image costs its whole size, some 7 GB each"
                fi
                return 0
            fi
        done
    done
    say "the daemon did not start; the end of $LOG:"
    tail -n 20 "$LOG" >&2
    return 1
}

stop() {
    local pid
    if ! pid="$(own_pid)"; then
        say "no daemon of ours runs"
        return 0
    fi
    kill "$pid"
    if ! wait_gone "$pid" 150; then
        say "pid $pid did not end within 30 s"
        return 1
    fi
    say "stopped pid $pid"
}

status() {
    if have docker && answers; then
        say "a daemon answers: $(docker info --format '{{.ServerVersion}}, {{.Driver}}, data in {{.DockerRootDir}}'), $(own_pid >/dev/null && echo ours || echo "not ours")"
        return 0
    fi
    say "no daemon answers"
    return 1
}

case "${1:-}" in
start | stop | status) "$1" ;;
*)
    echo "usage: setup/docker.sh start|stop|status" >&2
    exit 2
    ;;
esac
