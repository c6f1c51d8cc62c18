#!/usr/bin/env bash
# Tries docker/Dockerfile and Dockerfile.example in real containers, with podman and runc, as root.
#
#   docker/try.sh BINARY    ships this static binary by the last stage of docker/Dockerfile
#   docker/try.sh --build   runs docker/Dockerfile from its first line, in an image with this
#                           machine's Rust toolchain, and ends there
#
# Says what it did, and fails at the first thing that is wrong. Needs no registry of images: the base
# images that the two files name are made here, of Debian's (or Ubuntu's) own packages, the npm
# packages `node` and `npm`, and for --build this machine's toolchain. What takes long is kept under
# target/containers; podman's own images and settings are never touched.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
work=$root/target/containers
mkdir -p "$work/tmp" "$work/empty"

# Ports are the machine's own: nothing of this machine's firewall or bridges has to work.
network=(--network host)
# podman wants a short path for its sockets; one for each checkout.
run=/run/procrun-try-$(cksum <<<"$root" | cut -d' ' -f1)

# limit NOW WANTED: a container may not have more than this machine lets us have.
limit() {
    local hard
    hard=$(ulimit -H"$1")
    if [ "$hard" = unlimited ] || [ "$hard" -gt "$2" ]; then echo "$2"; else echo "$hard"; fi
}

cat >"$work/containers.conf" <<EOF
[containers]
# podman's own defaults are refused where root may not raise its limits.
default_ulimits = ["nofile=$(limit n 4096):$(limit n 4096)", "nproc=$(limit u 4096):$(limit u 4096)"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
EOF
export CONTAINERS_CONF=$work/containers.conf TMPDIR=$work/tmp

# The overlay driver where this machine can mount one, otherwise copies.
driver() {
    local probe=$work/probe
    mkdir -p "$probe"/{lower,upper,work,merged}
    if mount -t overlay overlay -o "lowerdir=$probe/lower,upperdir=$probe/upper,workdir=$probe/work" \
        "$probe/merged" 2>/dev/null; then
        umount "$probe/merged"
        echo overlay
    else
        echo vfs
    fi
}
driver=$(driver)

flags=(--root "$work/storage-$driver" --runroot "$run" --tmpdir "$run/libpod" --storage-driver "$driver")
podman() { command podman "${flags[@]}" "$@"; }

build() {
    local log=$work/build.log
    if ! podman build "${network[@]}" "$@" >"$log" 2>&1; then
        tail -n 40 "$log" >&2
        fail "podman build failed; all of its output is in $log"
    fi
}

started=$SECONDS
ok() { printf 'ok %4ds  %s\n' "$((SECONDS - started))" "$*"; }

# What the container that is being tried wrote: shown when something is wrong.
container=
fail() {
    echo "FAILED: $*" >&2
    [ -z "$container" ] || podman logs "$container" 2>&1 | tail -n 30 >&2 || true
    exit 1
}
# Layers that no image holds any more are what makes the next run quick; after a day they go.
trap '{ podman rm --all --force --time 0; podman image prune --force --filter until=24h; } >/dev/null 2>&1 || true' EXIT

# within SECONDS COMMAND...: the command succeeds before the time is over.
within() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.1
    done
}

# expect WHAT WANTED GOT
expect() { [ "$2" = "$3" ] || fail "$1: expected '$2', got '$3'"; }

# ---------------------------------------------------------------- the images that are named in FROM

# The mirror that this machine itself installs from.
mirror() {
    apt-get indextargets --format "\$(REPO_URI) \$(CODENAME) \$(COMPONENT)" 'Identifier: Packages' 2>/dev/null |
        awk -v codename="$1" '$2 == codename && $3 == "main" { print $1; exit }'
}

base_image() {
    podman image exists localhost/base && return
    local tree=$work/base codename
    # shellcheck disable=SC1091 # this machine's
    codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
    rm -rf "$tree"
    # shellcheck disable=SC2046 # no mirror, no argument
    debootstrap --variant=minbase --include=ca-certificates,busybox-static \
        "$codename" "$tree" $(mirror "$codename") >"$work/debootstrap.log" 2>&1 ||
        fail "debootstrap failed: $(tail -n 5 "$work/debootstrap.log")"
    # Whom this machine trusts, so that npm and cargo reach their registries as they do here.
    if [ -e /etc/ssl/certs/ca-certificates.crt ]; then
        cp /etc/ssl/certs/ca-certificates.crt "$tree/etc/ssl/certs/ca-certificates.crt"
    fi
    tar -C "$tree" --exclude=./dev --exclude='./var/cache/apt/*' --exclude='./var/lib/apt/lists/*' -c . |
        podman import --quiet - localhost/base >/dev/null
    rm -rf "$tree"
    ok "a base image of $codename by debootstrap"
}

# What Dockerfile.example finds under this name at Docker's registry, as far as it matters: node,
# npm, the user `node`, and the entry point that starts node for arguments that are no command.
node_image() {
    local name=docker.io/library/node:22-bookworm-slim
    podman image exists "$name" && return
    build --tag "$name" --build-arg registry="$(npm config get registry 2>/dev/null)" \
        --build-context node="$root/target/node/node_modules" --file - "$work/empty" <<'EOF'
FROM localhost/base
COPY --from=node node/bin/node /usr/local/bin/node
COPY --from=node npm /usr/local/lib/node_modules/npm
RUN ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm \
 && groupadd --gid 1000 node && useradd --uid 1000 --gid node --shell /bin/bash --create-home node \
 && printf '%s\n' '#!/bin/sh' 'set -e' \
    'if [ "${1#-}" != "$1" ] || [ -z "$(command -v "$1")" ]; then set -- node "$@"; fi' 'exec "$@"' \
    >/usr/local/bin/docker-entrypoint.sh && chmod +x /usr/local/bin/docker-entrypoint.sh
ARG registry
ENV NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt npm_config_registry=${registry}
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["node"]
EOF
    ok "a stand-in for $name: Node $(podman run --rm "$name" --version)"
}

# What docker/Dockerfile builds in: a C linker and this machine's toolchain.
rust_image() {
    local name=docker.io/library/rust:1-slim-bookworm
    podman image exists "$name" && return
    build --tag "$name" --build-context toolchain="$(rustc --print sysroot)" --file - "$work/empty" <<'EOF'
FROM localhost/base
RUN apt-get -q update && apt-get -q install -y --no-install-recommends gcc libc6-dev
COPY --from=toolchain bin /usr/local/rust/bin
COPY --from=toolchain lib /usr/local/rust/lib
ENV PATH=/usr/local/rust/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin CARGO_HOME=/usr/local/cargo
EOF
    ok "a stand-in for $name: $(podman run --rm "$name" rustc --version)"
}

# A small image without glibc, as Alpine is: busybox, a user, and procrun.
small_image() {
    build --tag localhost/small --file - "$work/empty" <<'EOF'
FROM localhost/base AS base
FROM localhost/procrun AS procrun
FROM scratch
COPY --from=base /bin/busybox /bin/busybox
COPY --from=procrun /procrun /bin/procrun
RUN ["/bin/busybox", "--install", "-s", "/bin"]
EOF
}

# ---------------------------------------------------------------- what is tried

if [ "${1:-}" = --build ]; then
    base_image
    rust_image
    build --tag localhost/procrun-built --file docker/Dockerfile .
    ok "docker/Dockerfile, from its first line: $(podman run --rm localhost/procrun-built --version)"
    exit
fi

binary=${1:?the static binary of procrun, or --build}
version=$("$binary" --version)

base_image
node_image

stage=$work/stage/out
mkdir -p "$stage"
install "$binary" "$stage/procrun"
ln -sfn procrun "$stage/pm2-runtime"
build --tag localhost/procrun --build-context build="$work/stage" --file docker/Dockerfile .
expect "procrun in a scratch image" "$version" "$(podman run --rm localhost/procrun --version)"
podman run --rm --entrypoint /pm2-runtime localhost/procrun --help >/dev/null || fail "/pm2-runtime does not run"
ok "docker/Dockerfile, last stage: a scratch image of $(stat -c %s "$binary") bytes, $version"

small_image
build --tag localhost/nest --build-arg PROCRUN_IMAGE=localhost/procrun --file Dockerfile.example examples/nest
ok "Dockerfile.example, with examples/nest"

# -- the Nest application, procrun as its PID 1

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
get() { curl --fail --silent --show-error --max-time 10 "http://127.0.0.1:$port/$1"; }
answers() { get "" >/dev/null 2>&1; }
says() { podman logs "$container" 2>&1 | grep -e "$1" >/dev/null; } # not -q: podman would fail of the closed pipe
state() { podman inspect --format "{{.State.$1}}" "$container"; }

# start NAME ARGUMENTS OF podman run...
start() {
    container=$1
    shift
    podman run --detach --name "$container" "${network[@]}" --env PORT="$port" "$@" >/dev/null ||
        fail "podman run failed"
}

# drains WHAT COMMAND...: a slow request is under way when the command stops the container; it is
# answered, and all is well.
drains() {
    local what=$1 begin
    shift
    get slow >"$work/slow" &
    local request=$!
    sleep 0.5 # not a race: until the request is there the answer below is missing, and that fails
    begin=$SECONDS
    "$@" >/dev/null 2>&1
    wait "$request" || fail "the request under way was cut off"
    expect "the slow answer" "slow, but whole" "$(cat "$work/slow")"
    [ $((SECONDS - begin)) -lt 9 ] || fail "the stop took $((SECONDS - begin)) s"
    says drained || fail "the application did not say that it has drained"
    expect "exit code after a stop" 0 "$(state ExitCode)"
    ok "$what: stopped with a request under way, drained, exit code 0"
}

start nest localhost/nest
within 20 answers || fail "the application does not answer"
expect "PID 1" procrun "$(podman exec nest cat /proc/1/comm)"
expect "user" 1000 "$(podman exec nest id -u)"
ok "podman run: the application answers, PID 1 is procrun, the user is node"

before=$(get "")
get crash >/dev/null
restarted() { local now; now=$(get "" 2>/dev/null) && [ "$now" != "$before" ]; }
within 20 restarted || fail "the application did not come back after /crash"
says "Error: crashed on request" || fail "the last words of the crash are not in the log"
ok "/crash: its last words are logged, and a new process answers"
drains "ecosystem.toml" podman stop --time 10 nest

start config-js --volume "$root/examples/nest/ecosystem.config.js:/app/ecosystem.config.js:ro" \
    localhost/nest procrun ecosystem.config.js
within 20 answers || fail "PM2's own file does not run"
drains "PM2's ecosystem.config.js" podman stop --time 10 config-js

start locked --read-only --user 4711:4711 --cap-drop all --security-opt no-new-privileges localhost/nest
within 20 answers || fail "not with a read-only root, a user without a name and no capabilities"
drains "read-only root, a user without a name, no capabilities" podman stop --time 10 locked

sed "s/3000/$port/" examples/nest/pod.yaml >"$work/pod.yaml"
container=nest-example-api
podman kube play "${network[@]}" "$work/pod.yaml" >/dev/null 2>"$work/kube.log" || fail "kube play: $(cat "$work/kube.log")"
within 20 answers || fail "the pod does not answer"
drains "kube play of pod.yaml" podman pod stop nest-example
podman kube down "$work/pod.yaml" >/dev/null 2>&1 || fail "kube down"

# -- how a container ends, on a base without glibc

# sh_ends WANTED LINE OPTIONS OF procrun...: the container ends with the code of the shell line.
sh_ends() {
    local wanted=$1 line=$2 got=0
    shift 2
    podman run --rm localhost/small procrun --no-autorestart "$@" /bin/sh -- -c "$line" >"$work/out" 2>&1 || got=$?
    [ "$got" = "$wanted" ] || fail "sh -c '$line' ended the container with $got, not $wanted: $(cat "$work/out")"
}
sh_ends 0 'exit 0'
sh_ends 7 'exit 7'
sh_ends 139 'kill -SEGV $$'
got=0; podman run --rm localhost/small procrun /no/such/program >"$work/out" 2>&1 || got=$?
expect "a program that is not there" 127 "$got"
got=0; podman run --rm localhost/small procrun /etc >"$work/out" 2>&1 || got=$?
expect "a program that cannot be executed" 126 "$got"
got=0; podman run --rm localhost/small procrun /no/such/file.toml >"$work/out" 2>&1 || got=$?
expect "a file that is not there" 78 "$got"
ok "exit codes: 0, 7, 139 for a signal, 127 and 126 for a program, 78 for a file"

# What Kubernetes mounts, and shows of a container that has ended.
message=$work/message
: >"$message"
got=0; podman run --rm --volume "$message:/dev/termination-log" localhost/small \
    procrun -n app --no-autorestart /bin/sh -- -c 'echo the last line >&2; exit 7' >"$work/out" 2>&1 || got=$?
expect "exit code" 7 "$got"
grep -q '^app (0) exited: code 7, up .*; procrun exits with code 7$' "$message" || fail "no reason in the termination log: $(cat "$message")"
expect "the termination log's last line" "the last line" "$(tail -n 1 "$message")"
podman run --rm --read-only --volume "$message:/dev/termination-log" localhost/small \
    procrun /no/such/program >"$work/out" 2>&1 || true
grep -q '/no/such/program' "$message" || fail "no error in the termination log: $(cat "$message")"
ok "the termination log says why a container ended or did not start"

start stubborn localhost/small procrun --kill-timeout 1000 /bin/sh -- -c 'trap "" TERM INT; echo deaf; while :; do sleep 1; done'
within 10 says deaf || fail "the stubborn program does not run"
podman stop --time 10 stubborn >/dev/null
expect "exit code after a stop that needed SIGKILL" 0 "$(state ExitCode)"
ok "a program that ignores SIGTERM is killed at its own deadline, exit code 0"

# shellcheck disable=SC2016 # for the shell in the container
start orphans --read-only --user 4711:4711 localhost/small busybox env -i PATH=/bin /bin/procrun /bin/sh -- -c '
    for i in $(seq 300); do (sleep 0.2 &); done
    sleep 2
    echo "zombies: $(grep -l "^State:.Z" /proc/[0-9]*/status 2>/dev/null | wc -l), home: ${HOME-none}"
    sleep 1000'
within 20 says "zombies: " || fail "no count of zombies"
says "zombies: 0, home: none" || fail "zombies are left"
expect "PID 1" procrun "$(podman exec orphans cat /proc/1/comm)"
podman stop --time 10 orphans >/dev/null
expect "exit code" 0 "$(state ExitCode)"
ok "300 orphans, no zombie; busybox alone, read-only root, a user without a name, no HOME"

# -- a terminal: what is typed goes through podman's and the container's own

container="tty"
rm -f "$work/keys" "$work/tty.log"
mkfifo -m 600 "$work/keys"
exec 3<>"$work/keys"
script --quiet --flush --return --command "$(printf '%q ' podman "${flags[@]}" run --interactive --tty --name tty \
    localhost/small procrun /bin/sh -- -c 'trap "echo caught; exit 3" INT; echo ready; while :; do sleep 0.1; done')" \
    "$work/tty.log" <&3 >/dev/null &
session=$!
within 20 grep -qs ready "$work/tty.log" || fail "no container with a terminal: $(cat "$work/tty.log")"
printf '\003' >&3
wait "$session" || fail "after Ctrl-C the container ended with $?: $(cat "$work/tty.log")"
grep -q caught "$work/tty.log" || fail "Ctrl-C did not reach the program: $(cat "$work/tty.log")"
ok "podman run -it: Ctrl-C reaches the program, exit code 0"
