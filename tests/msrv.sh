#!/bin/sh
# The oldest Rust is the one that `rust-version` in Cargo.toml promises.
#
#   tests/msrv.sh             fails if a dependency requires a newer one
#   tests/msrv.sh --compile   also compiles everything with it; rustup fetches it if it is not there
set -eu
cd "$(dirname "$0")/.."
promised=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)

cargo metadata --locked --format-version 1 | python3 -c '
import json, sys

def number(version):
    parts = [int(part) for part in version.split(".")]
    return parts + [0] * (3 - len(parts))

newer = [p for p in json.load(sys.stdin)["packages"] if number(p["rust_version"] or "1") > number(sys.argv[1])]
for package in newer:
    print("msrv: {name} {version} requires Rust {rust_version}".format(**package), "but Cargo.toml promises", sys.argv[1])
sys.exit(bool(newer))
' "$promised"

[ "${1:-}" = --compile ] || exit 0
case $(rustc --version) in
"rustc $promised"[.\ ]*) ;;
*)
    rustup toolchain list | grep -q "^$promised" || rustup toolchain install "$promised" --profile minimal
    export RUSTUP_TOOLCHAIN="$promised"
    ;;
esac
cargo check --locked --all-targets
