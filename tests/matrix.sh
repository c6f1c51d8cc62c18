#!/bin/sh
# Runs the tests that concern Node on each Node under target/nodes, which tests/setup.sh matrix has
# put there, and those that concern Bun once. Prints a table; fails if anything in it has.
#
#   tests/matrix.sh             all of them
#   tests/matrix.sh 18 bun      only these
#
# A module of tests/node takes part when `modules_of` names it.
set -eu
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- 18 20 22 24 bun
logs=target/matrix
rm -rf "$logs"
mkdir -p "$logs"

# The Nest of examples/nest requires Node 20.
modules_of() {
    case $1 in
    bun) echo bun ;;
    18) echo cluster cluster_apps drain held_sockets js_config rolling ;;
    *) echo cluster cluster_apps drain held_sockets js_config nest rolling ;;
    esac
}

# sum WORD LOG: the numbers before a word in cargo's results, added up.
sum() {
    awk -v word="$1" '/^test result:/ { for (i = 2; i <= NF; i++) if ($i == word ";") n += $(i - 1) } END { print n + 0 }' "$2"
}

status=0
for name in "$@"; do
    bin=$PWD/target/nodes/$name/node_modules/.bin
    program=node
    [ "$name" != bun ] || program=bun
    version=$("$bin/$program" --version)
    modules=$(modules_of "$name")
    log=$logs/$name.log
    echo "matrix: $program ${version#v}:" $modules
    code=0
    # shellcheck disable=SC2046,SC2086 # lists of words
    PATH=$bin:$PATH cargo test --locked --test node -- $(printf '%s:: ' $modules) >"$log" 2>&1 || code=$?
    passed=$(sum passed "$log") failed=$(sum failed "$log") result=ok
    # Also what could not be built, or died before it said a result, is a failure.
    if [ "$code" != 0 ] || [ "$failed" != 0 ] || [ "$passed" = 0 ]; then
        status=1 result=FAILED
        grep -E '^test .* FAILED$|^error|panicked at' "$log" || tail -n 20 "$log"
        echo "matrix: everything it said is in $log"
    fi
    printf '| %s %s | %s | %s | %s |\n' \
        "$(echo "$program" | sed 's/node/Node/; s/bun/Bun/')" "${version#v}" "$passed" "$failed" "$result" >>"$logs/table"
done

echo
echo '| version | passed | failed | |'
echo '|---|---|---|---|'
cat "$logs/table"
exit "$status"
