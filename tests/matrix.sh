#!/bin/sh
# Runs tests/node on each Node under target/nodes, which tests/setup.sh matrix has put there, and the tests that
# concern Bun once, on Bun. Prints a table; fails if anything in it has.
#
#   tests/matrix.sh             all of them
#   tests/matrix.sh 18 bun      only these
set -eu
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- 18 20 22 24 bun
logs=target/matrix
rm -rf "$logs"
mkdir -p "$logs"

# The modules of tests/node whose application does not support this version.
unsupported() {
    # Nest 11 of examples/nest requires Node 20.
    [ "$1" != 18 ] || echo nest
}

# sum WORD LOG: the numbers before a word in cargo's results, added up.
sum() {
    awk -v word="$1" '/^test result:/ { for (i = 2; i <= NF; i++) if ($i == word ";") n += $(i - 1) } END { print n + 0 }' "$2"
}

status=0
for name in "$@"; do
    bin=$PWD/target/nodes/$name/node_modules/.bin
    # The page of the dashboard runs in a browser: `make test` tests it once.
    program=node only='' without="bun dashboard $(unsupported "$name")"
    [ "$name" != bun ] || program=bun only=bun:: without=''
    version=$("$bin/$program" --version)
    log=$logs/$name.log
    echo "matrix: $program ${version#v}${without:+, without $without}"
    code=0
    # shellcheck disable=SC2046,SC2086 # lists of words
    PATH=$bin:$PATH cargo test --locked --test node -- $only $(for module in $without; do echo "--skip $module::"; done) \
        >"$log" 2>&1 || code=$?
    passed=$(sum passed "$log") failed=$(sum failed "$log") result=ok
    # A program that could not be built, or died before its result, is a failure too.
    if [ "$code" != 0 ] || [ "$failed" != 0 ] || [ "$passed" = 0 ]; then
        status=1 result=FAILED
        grep -E '^test .* FAILED$|^error|panicked at' "$log" || tail -n 20 "$log"
        echo "matrix: the output is in $log"
    fi
    printf '| %s %s | %s | %s | %s | %s |\n' \
        "$(echo "$program" | sed 's/node/Node/; s/bun/Bun/')" "${version#v}" "$passed" "$failed" "$(unsupported "$name")" "$result" \
        >>"$logs/table"
done

echo
echo '| version | passed | failed | not supported | |'
echo '|---|---|---|---|---|'
cat "$logs/table"
exit "$status"
