#!/bin/sh
# Tests what a script gets of `verify`, `prune` and `export --format dir`: upkeep_test.sh BUILD
set -eu

. "$(dirname "$0")/machine.sh"
. "$(dirname "$0")/expect.sh"
in_namespaces "$@"
program=$build/src/ollamafs
cd "$work"
"$build/tests/support/make-store" store
export OLLAMA_MODELS="$work/store"

# field EXPRESSION: a value of the JSON object that was printed last, as Python has it.
field() {
  python3 -c 'import json, sys; print(eval(sys.argv[1], {"o": json.load(open("printed"))}))' "$1"
}

# is EXPRESSION VALUE
is() {
  [ "$(field "$1")" = "$2" ] || fail "$1 is $(field "$1") instead of $2"
}

# --- A blob with one bit that is another ---

expect 0 "$program" verify --quiet
blob=$(find store/blobs -type f -size +1000k | sort | head -n 1)
size=$(stat -c %s "$blob")
python3 - "$blob" <<'END'
import sys
with open(sys.argv[1], "r+b") as file:
    file.seek(500_000)
    byte = file.read(1)[0]
    file.seek(500_000)
    file.write(bytes([byte ^ 1]))
END
expect 6 "$program" verify --quiet
expect 0 "$program" prune --json
is 'o["quarantine"]' None
expect 6 "$program" verify --quarantine --quiet
[ ! -e "$blob" ] || fail "the damaged blob is where it was"

# --- What prune says of it ---

expect 0 "$program" prune --json
is 'o["quarantine"]["path"]' "$work/store/blobs-quarantine"
is 'o["quarantine"]["files"]' 1
is 'o["quarantine"]["bytes"] >= '"$size" True
rm -r store/blobs-quarantine

# --- A folder whose newer tree has another model of that name ---

expect 0 "$program" export llama3.2:3b --format dir -o folder --json
is 'o["notes"]' '[]'
name=registry.ollama.ai/library/llama3.2/3b
[ -f folder/manifests/$name ] || fail "the folder has no manifest"
mkdir -p newer/blobs "newer/manifests-v2/$(dirname $name)"
cp store/manifests/registry.ollama.ai/me/describer/latest newer/manifests-v2/$name
expect 8 "$program" export llama3.2:3b --format dir -o newer
expect 0 "$program" export llama3.2:3b --format dir -o newer --force --json
is 'len(o["notes"])' 1
