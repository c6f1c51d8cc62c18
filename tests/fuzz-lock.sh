#!/bin/sh
# Fails if fuzz/Cargo.lock does not fit the manifests. It is a workspace of its own, which no other check builds.
set -eu
cd "$(dirname "$0")/.."
if ! cargo metadata --locked --format-version 1 --manifest-path fuzz/Cargo.toml >/dev/null; then
    echo "fuzz-lock: update it: cp Cargo.lock fuzz && cargo metadata --format-version 1 --manifest-path fuzz/Cargo.toml >/dev/null" >&2
    exit 1
fi
