#!/bin/sh
# Tests `ollamafs import` as a whole: import_test.sh BUILD
#
# All of it happens in a mount and a process namespace of its own, which end with it.
set -eu

user=games # any ordinary one that every Debian has

. "$(dirname "$0")/machine.sh"
in_namespaces "$@"
cp "$build/src/ollamafs" "$work/ollamafs"
make_store=$build/tests/support/make-store

hide_ollama
unset OLLAMA_MODELS

# --- What the tests say ---

failed=0
fail() {
  echo "FAILED: $*" >&2
  failed=1
}

# run STATUS COMMAND...: what it prints is in $work/out and $work/err.
run() {
  wanted=$1
  shift
  status=0
  "$@" >"$work/out" 2>"$work/err" || status=$?
  if [ "$status" -ne "$wanted" ]; then
    fail "status $status, not $wanted: $*"
    cat "$work/err" >&2
  fi
}

says() {
  grep -q -e "$1" "$work/err" || fail "it does not say \"$1\": $(cat "$work/err")"
}

# shellcheck disable=SC2317  # called by run
import() { "$work/ollamafs" import "$@"; }
# shellcheck disable=SC2317
as_user() { setpriv --reuid "$user" --regid "$user" --clear-groups env HOME="$work/home" "$@"; }

# Every model of a store, by name and ID; fails if one is broken.
models() {
  "$work/ollamafs" list --store "$1" --json |
    sed -n 's/^ *"\(name\|id\|state\)": "\(.*\)",$/\2/p' | paste - - - | sort
}

# No temporary files, and no blob with other bytes than its name says.
check_blobs() {
  [ -d "$1/blobs" ] || return 0
  for blob in "$1"/blobs/*; do
    [ -e "$blob" ] || continue
    sum=$(sha256sum <"$blob")
    [ "${blob##*/}" = "sha256-${sum%% *}" ] || fail "a wrong blob: $blob"
  done
}

"$make_store" "$work/source" >/dev/null
tar -C "$work/source" -cf "$work/models.tar" .
models "$work/source" >"$work/models"

# --- Killed at any moment, it leaves a store that is right, and is completed by the next ---

i=0
while [ $i -lt 200 ]; do
  store=$work/killed
  [ $((i % 4)) -ne 0 ] || rm -rf "$store" # some go on from where others were killed
  delay=$(awk -v i=$i 'BEGIN { srand(i); printf "%.4f", rand() * 0.08 }')
  timeout -s KILL "$delay" "$work/ollamafs" import "$work/models.tar" --store "$store" \
    >/dev/null 2>&1 || true
  check_blobs "$store"
  if [ -d "$store/manifests" ]; then
    models "$store" | grep -v '	whole$' && fail "a broken model after SIGKILL"
    models "$store" | comm -23 - "$work/models" | grep . && fail "another model after SIGKILL"
  fi
  if [ $((i % 4)) -eq 3 ]; then
    run 0 import "$work/models.tar" --store "$store"
    models "$store" | cmp - "$work/models" || fail "not completed after SIGKILL"
  fi
  i=$((i + 1))
done

# --- A full disk, by what is known before and by surprise ---

mkdir "$work/small"
mount -t tmpfs -o size=2m none "$work/small"
run 7 import "$work/models.tar" --store "$work/small/models"
says 'bytes are needed'
[ -z "$(find "$work/small" ! -type d)" ] || fail "something is left on the full disk"
run 7 sh -c "cat '$work/models.tar' | '$work/ollamafs' import - --store '$work/small/models'"
says 'bytes are needed'
[ ! -e "$work/small/models/manifests" ] || fail "a manifest is left on the full disk"
check_blobs "$work/small/models"
umount "$work/small"

# --- A disk that is read-only, and a store of somebody else ---

mkdir "$work/readonly"
mount -t tmpfs -o ro none "$work/readonly"
run 1 import "$work/models.tar" --store "$work/readonly"
says 'Read-only file system'
says "$work/readonly"
umount "$work/readonly"

cp -a "$work/source" "$work/others"
chmod -R go-w "$work/others"
chmod 0644 "$work/models.tar"
rm -r "$work/others/manifests/registry.ollama.ai/me"
run 1 as_user "$work/ollamafs" import "$work/models.tar" --store "$work/others"
says 'Permission denied'
says 'sudo ollamafs import'
run 1 as_user "$work/ollamafs" import "$work/models.tar" --store "$work/others" --replace \
  --trust-existing --json
says "sudo ollamafs import --store $work/others $work/models.tar --replace --trust-existing --json\`"

# --- Where Ollama has never run ---

mkdir "$work/home"
chown "$user:" "$work/home"
run 0 as_user "$work/ollamafs" import "$work/models.tar"
models "$work/home/.ollama/models" | cmp - "$work/models" || fail "not in a fresh home"
[ -z "$(find "$work/home" ! -user "$user")" ] || fail "a fresh home with files of others"
# With sudo it is the caller's home, and his.
rm -r "$work/home/.ollama"
run 0 import "$work/models.tar" --store "$work/home/.ollama/models"
[ -z "$(find "$work/home" ! -user "$user")" ] || fail "root left files of its own"

# --- What it prints ---

run 0 import "$work/models.tar" --store "$work/printed"
"$work/ollamafs" list --store "$work/printed" | awk 'NR > 1 && NF { print $1, $2 }' | sort \
  >"$work/listed"
sort "$work/out" | cmp - "$work/listed" || fail "it prints something else than list"
run 0 import "$work/models.tar" --store "$work/printed" --quiet
if [ -s "$work/out" ] || [ -s "$work/err" ]; then fail "--quiet prints something"; fi
run 0 import "$work/models.tar" --store "$work/printed" --json
grep -q '"state": "there"' "$work/out" || fail "--json does not say what was there"
run 5 import "$work/nothing.tar" --store "$work/printed"
run 6 import "$work/models" --store "$work/printed"
run 2 import "$work/models.tar" --name 'a b' --store "$work/printed"

# --- From a mount: of another store, of the same ---

open_fuse_to_all
"$work/ollamafs" mount --store "$work/source" "$work/view" >/dev/null 2>&1
for source in models archives/me/describer+latest.tar; do
  run 8 import "$work/view/$source" --store "$work/source"
  says "$work/view"
done
run 0 import "$work/view/models" --store "$work/from-view"
models "$work/from-view" | cmp - "$work/models" || fail "not all models of a mount"
run 0 import "$work"/view/archives/*.tar "$work"/view/archives/*/*.tar --store "$work/from-tars"
run 0 import "$work/view/models/me/describer+latest" --store "$work/one"
[ "$(wc -l <"$work/out")" -eq 1 ] || fail "more than one model of a model's directory"
"$work/ollamafs" umount "$work/view"

# --- Ctrl-C ---

mkfifo "$work/fifo"
"$work/ollamafs" import - --store "$work/interrupted" <"$work/fifo" >/dev/null 2>&1 &
pid=$!
exec 3>"$work/fifo"
head -c 1000000 "$work/models.tar" >&3
kill -INT "$pid" 2>/dev/null || true
kill -TERM "$pid" 2>/dev/null || true
exec 3>&-
wait "$pid" 2>/dev/null || true
check_blobs "$work/interrupted"
[ ! -e "$work/interrupted/manifests" ] || fail "a manifest after Ctrl-C"

# While nothing comes any more: sh(1) makes what it starts with & ignore SIGINT, hence SIGTERM.
"$work/ollamafs" import - --store "$work/interrupted" <"$work/fifo" >/dev/null 2>"$work/err" &
pid=$!
exec 3>"$work/fifo"
head -c 1000000 "$work/models.tar" >&3
sleep 1
kill -TERM "$pid"
status=0
wait "$pid" || status=$?
exec 3>&-
[ "$status" -eq 130 ] || fail "status $status, not 130, after SIGTERM on a pipe that is stalled"
says 'interrupted'

exit $failed
