#!/bin/sh
# Fails on words that a reader cannot find in the documentation of systemd, Kubernetes, Docker or PM2.
# STYLE.md has the rules and the glossary; here are the words that come back. `make lint` runs this.
#
# A row is a pattern (an extended regular expression, whole words, upper or lower case), what to write instead, and
# the reason. All files of the repository are searched but those that list such words, and what PM2's users wrote.
set -eu
cd "$(dirname "$0")/.."

status=0
while IFS='	' read -r pattern instead; do
    [ -n "$pattern" ] || continue
    if git grep -nIiwE -e "$pattern" -- ':!STYLE.md' ':!tests/phrases.sh' ':!tests/corpus' ':!*.lock' ':!*-lock.json'; then
        echo "phrases: write $instead" >&2
        status=1
    fi
done <<'ROWS'
is asked how it is|asked how it is	"health probe": the standard term can be searched for
texts only	"must be a string": an error says what is required
makes? a circle|made a circle	"dependency cycle": the standard term can be searched for
streams? without an end|answer without an end	"streaming response": the standard term can be searched for
so many	"scale to N", "this number of": a number has a name
stays so	which state is kept: "stays stopped" can be searched for
who(m)?ever	the name of the process, the client or the user: a sentence has a subject
somebody|someone	the name of the process, the client or the user: a sentence has a subject
nobody (else|is|has|reads|runs|listens|wants|needs|asks|watches|holds|knows|will|can|there)	what does not happen: "no worker listens", "not in use": a sentence has a subject
bequeath(s|ed)?	"transfer": the word is not used of processes
ROWS
exit "$status"
