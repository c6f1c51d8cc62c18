#!/bin/sh
# Fails on words that a reader cannot find in the documentation of systemd, Kubernetes, Docker or PM2.
# STYLE.md has the rules and the glossary; here are the words that come back. `make lint` runs this.
#
# A row is a pattern (an extended regular expression, whole words, upper or lower case) and what to write
# instead. All files of the repository are searched but those that list such words, and what PM2's users wrote.
set -eu
cd "$(dirname "$0")/.."

status=0
while IFS='	' read -r pattern instead; do
    [ -n "$pattern" ] || continue
    if git grep -nIiwE -e "$pattern" -- ':!STYLE.md' ':!tests/phrases.sh' ':!tests/corpus' ':!*.lock' ':!*-lock.json' \
        ':!src' ':!crates' ':!README.md'; then
        echo "phrases: write $instead" >&2
        status=1
    fi
done <<'ROWS'
is asked how it is	"health probe": the standard term can be searched for
texts only	"must be a string": an error says what is required
makes? a circle|made a circle	"dependency cycle": the standard term can be searched for
an answer without an end	"streaming response"
have so many	"scale to N": a number has a name
who(m)?ever	the name of the process, the client or the user: a sentence has a subject
somebody|someone	the name of the process, the client or the user: a sentence has a subject
asked how it is|stays so	what is probed, or which state is kept
bequeath(s|ed)?	"transfer"
ROWS
exit "$status"
