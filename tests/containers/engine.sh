#!/bin/sh
# A Docker engine and stand-in base images for a Debian 12 machine without a registry (root needed).
#
#   engine.sh install   Debian's docker.io, and compose v2 out of Debian 13's docker-compose
#   engine.sh start     dockerd on a socket of its own; prints what to set in the environment
#   engine.sh images    the base images our files name, made of Debian's packages, unless they are there
#   engine.sh stop      ends dockerd and every container
#
# With an engine and a registry none of this is needed: set PACKETBOAT_ENGINE=system for the tests.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
state=${PACKETBOAT_ENGINE_STATE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/packetboat-engine}
# where apt itself gets Debian's packages
mirror=${PACKETBOAT_DEBIAN_MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' |
    grep -v security | head -n 1)}
plugins=/usr/libexec/docker/cli-plugins
suite=bookworm
docker=/usr/bin/docker # Debian's: it builds without the buildx plugin
export DOCKER_HOST="unix://$state/docker.sock" DOCKER_BUILDKIT=1 DEBIAN_FRONTEND=noninteractive

set_up() {
    if ! [ -x "$docker" ] || ! command -v debootstrap >/dev/null || ! command -v iptables >/dev/null; then
        apt-get update -q
        # dockerd is started by us, never by the package
        printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
        chmod +x /usr/sbin/policy-rc.d
        apt-get install -q -y --no-install-recommends docker.io iptables debootstrap ca-certificates
    fi
    [ -x "$plugins/docker-compose" ] || install_compose
}

install_compose() {
    folder=$(mktemp -d)
    mkdir -p "$folder/lists/partial" "$folder/cache/archives/partial" "$plugins"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror trixie main" > "$folder/sources.list"
    set -- -q -o Dir::Etc::SourceList="$folder/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::State::Lists="$folder/lists" -o Dir::Cache="$folder/cache" -o APT::Sandbox::User=root
    apt-get "$@" update
    (cd "$folder" && apt-get "$@" download docker-compose)
    dpkg -x "$folder"/docker-compose_*.deb "$folder/root"
    install -m 755 "$(find "$folder/root" -type f -name docker-compose -perm /111 -size +1M)" "$plugins/docker-compose"
    rm -rf "$folder"
}

start() {
    if "$docker" info >/dev/null 2>&1; then
        echo "$DOCKER_HOST"
        return
    fi
    mkdir -p "$state"
    # A process's id file from a machine that was switched off names somebody else.
    rm -f "$state/dockerd.pid" "$state/run/containerd/containerd.pid"
    nohup setsid dockerd --data-root "$state/data" --exec-root "$state/run" --pidfile "$state/dockerd.pid" \
        --host "$DOCKER_HOST" --storage-driver overlay2 --ip6tables --experimental \
        > "$state/dockerd.log" 2>&1 < /dev/null &
    for _ in $(seq 100); do
        if "$docker" info >/dev/null 2>&1; then
            echo "$DOCKER_HOST"
            return
        fi
        sleep 0.3
    done
    tail -n 20 "$state/dockerd.log" >&2
    exit 1
}

stop() {
    [ -s "$state/dockerd.pid" ] || return 0
    pid=$(cat "$state/dockerd.pid")
    kill "$pid" 2>/dev/null || return 0
    for _ in $(seq 200); do
        kill -0 "$pid" 2>/dev/null || return 0
        sleep 0.3
    done
    echo "dockerd ($pid) doesn't end" >&2
    exit 1
}

present() {
    "$docker" image inspect "$1" >/dev/null 2>&1
}

images() {
    present debian:bookworm-slim || import_debian
    standin python:3.11-slim-bookworm python
    standin redis:7.2-bookworm redis
    standin postgres:15-bookworm postgres
    standin haproxy:2.6-bookworm haproxy
}

import_debian() {
    root=$state/root
    rm -rf "$root"
    debootstrap --variant=minbase --include=ca-certificates "$suite" "$root" "$mirror" > "$state/debootstrap.log" 2>&1 || {
        tail -n 20 "$state/debootstrap.log" >&2
        exit 1
    }
    # Whatever certificates this machine trusts, so that pip and apt work behind what it works behind.
    cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
    printf '[global]\ncert = /etc/ssl/certs/ca-certificates.crt\n' > "$root/etc/pip.conf"
    rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root"/usr/share/doc "$root"/usr/share/locale
    tar -C "$root" -c . | "$docker" import --change 'CMD ["bash"]' - debian:bookworm-slim
    rm -rf "$root"
}

standin() {
    present "$1" || "$docker" build -q -t "$1" "$here/images/$2"
}

for step in "$@"; do
    case $step in
        install) set_up ;;
        start | images | stop) "$step" ;;
        *) echo "engine.sh: no step $step" >&2; exit 2 ;;
    esac
done
