#!/bin/sh
# Tests `ollamafs show` as a person and a script use it: show_test.sh BUILD
#
# Its exit statuses, and what of a model's texts reaches a terminal. Needs root for a namespace.
set -eu

. "$(dirname "$0")/machine.sh"
. "$(dirname "$0")/expect.sh"
in_namespaces "$@"
program=$build/src/ollamafs
cd "$work"

# add_blob FILE: prints its digest.
add_blob() {
  digest=$(sha256sum <"$1" | cut -d ' ' -f 1)
  cp "$1" "store/blobs/sha256-$digest"
  echo "$digest"
}

mkdir -p store/blobs store/manifests/registry.ollama.ai/library/evil
export OLLAMA_MODELS="$work/store"
echo '{}' >config
# It would name the window, clear the screen, and do so again in 8-bit controls and by going back.
printf 'before\033]0;title\007\033[2J\233\302\2332J\b\r\177after\tend\n' >text
config=$(add_blob config)
text=$(add_blob text)
layer() {
  printf '{"mediaType":"application/vnd.ollama.image.%s","digest":"sha256:%s","size":%s}' \
    "$1" "$text" "$(stat -c %s text)"
}
printf '%s"config":{"mediaType":"%s","digest":"sha256:%s","size":3},"layers":[%s,%s,%s]}' \
  '{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json",' \
  application/vnd.docker.container.image.v1+json "$config" \
  "$(layer system)" "$(layer template)" "$(layer license)" \
  >store/manifests/registry.ollama.ai/library/evil/latest

# --- A pipe gets the bytes, a terminal no orders ---

expect 0 "$program" show evil --system
cmp printed text
expect 0 "$program" show evil --template
cmp printed text
for part in '' --modelfile --template --license --system --manifest --files --parameters; do
  script -qec "'$program' show evil $part" typescript >/dev/null
  # `script` writes a line of its own at either end; the terminal makes a line feed CR LF.
  sed '1d;$d' typescript | sed 's/\r$//' >shown
  LC_ALL=C tr -d '\011\012\040-\176\200-\377' <shown | grep -q . && fail "show $part has controls"
  LC_ALL=C grep -q "$(printf '\302[\200-\237]')" shown && fail "show $part has 8-bit controls"
  [ "$part" != --system ] || grep -q after shown || fail "nothing is shown of the text"
done

# --- Exit statuses ---

expect 5 "$program" show no-such-model
[ ! -s printed ] || fail "it prints what is not there"
expect 2 "$program" show evil --system --template
expect 2 "$program" show
rm "store/blobs/sha256-$text"
for part in '' --system --manifest --files --json; do
  expect 6 "$program" show evil $part
done
expect 6 "$program" show evil --system
[ ! -s printed ] || fail "it prints a part that cannot be read"
grep -q 'is broken' said || fail "it says $(cat said)"
