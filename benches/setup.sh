#!/bin/sh
# Fetches the peers that benches/run compares procrun with, into target/bench only:
# nothing is installed on the system and no service is started. What cannot be had is
# said and left out; benches/run then shows that peer as missing.
# tini, runit, s6 and wrk come from Debian, supervisor from PyPI, pm2 from npm.
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
bench=$root/target/bench
mkdir -p "$bench/deb" "$bench/root"
missing=

miss() {
    echo "setup: $1 is left out: $2" >&2
    missing="$missing $1"
}

# The .debs are unpacked, not installed: runit's package would start services.
debian() {
    package=$1
    libraries=$(apt-cache depends "$package" 2>/dev/null | sed -n 's/^ *Depends: \(lib\(execline\|s6\|skarnet\|luajit\).*\)$/\1/p')
    # shellcheck disable=SC2086 # a list of words
    if (cd "$bench/deb" && apt-get -q download "$package" $libraries >apt.log 2>&1); then
        for file in "$bench"/deb/"$package"_*.deb; do dpkg -x "$file" "$bench/root"; done
        for library in $libraries; do
            for file in "$bench"/deb/"$library"_*.deb; do dpkg -x "$file" "$bench/root"; done
        done
    else
        miss "$package" "apt-get download failed (is there a Debian or Ubuntu with package lists? see $bench/deb/apt.log)"
    fi
}

if command -v apt-get >/dev/null && command -v dpkg >/dev/null; then
    [ -n "$(apt-cache policy tini 2>/dev/null)" ] || apt-get -q update
    for package in tini runit s6 wrk; do debian "$package"; done
else
    miss "tini runit s6 wrk" "no apt-get here"
fi

if [ ! -x "$bench/venv/bin/supervisord" ]; then
    { python3 -m venv "$bench/venv" && "$bench/venv/bin/pip" install -q supervisor; } ||
        miss supervisord "needs python3 with venv (apt-get install python3-venv)"
fi

if [ ! -x "$bench/pm2/node_modules/.bin/pm2-runtime" ]; then
    if command -v npm >/dev/null; then
        npm install --silent --no-fund --no-audit --prefix "$bench/pm2" pm2@7 || miss pm2 "npm install failed"
    else
        miss pm2 "needs node and npm"
    fi
fi

for tool in gcc awk; do
    command -v "$tool" >/dev/null || miss "$tool" "apt-get install gcc mawk"
done
[ -z "$missing" ] && echo "setup: all peers are in $bench"
[ -z "$missing" ]
