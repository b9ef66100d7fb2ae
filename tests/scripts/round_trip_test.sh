#!/bin/sh
# What leaves one store arrives in another under the same names and IDs, with the same bytes, whichever
# way it goes: round_trip_test.sh BUILD
#
# In a mount namespace of its own, which ends with it.
set -eu

. "$(dirname "$0")/machine.sh"
in_namespaces "$@"
ollamafs=$build/src/ollamafs
store=$work/store
"$build/tests/support/make-store" "$store"

failed=0
fail() {
  echo "FAILED: $*" >&2
  failed=1
}

# Whole models by name and ID; fails if one is broken.
models() {
  "$ollamafs" list --store "$1" --json | sed -n 's/^ *"\(name\|id\|state\)": "\(.*\)",$/\2/p' |
    paste - - - | sort
}

# arrived STORE [NAME...]: these models, or all, are there as they are in the first store.
arrived() {
  there=$1
  shift
  models "$store" >"$work/wanted"
  for name in "$@"; do grep -F "$name	" "$work/wanted"; done >"$work/some"
  [ $# -eq 0 ] || mv "$work/some" "$work/wanted"
  models "$there" | cmp - "$work/wanted" || fail "$way: other models arrived"
  "$ollamafs" verify --quiet --store "$there" || fail "$way: not whole"
  for blob in "$there"/blobs/*; do
    cmp -s "$blob" "$store/blobs/${blob##*/}" || fail "$way: ${blob##*/} is another"
  done
}

"$ollamafs" list --store "$store" --json | grep -q '"state": "broken"' && fail "the sample is broken"
name=$("$ollamafs" list --store "$store" | sed -n '2s/ .*//p')

for format in tar tar.gz tar.zst dir; do
  way="every model as $format"
  "$ollamafs" export '*' --store "$store" --quiet --format $format -o "$work/all.$format"
  "$ollamafs" import --quiet "$work/all.$format" --store "$work/by-$format"
  arrived "$work/by-$format"

  way="one model as $format"
  "$ollamafs" export "$name" --store "$store" --quiet --format $format -o "$work/one.$format"
  "$ollamafs" import --quiet "$work/one.$format" --store "$work/one-by-$format"
  arrived "$work/one-by-$format" "$name"

  [ $format = dir ] && continue
  way="every model as $format through a pipe"
  "$ollamafs" export '*' --store "$store" --quiet --format $format -o - |
    "$ollamafs" import --quiet - --store "$work/piped-$format"
  arrived "$work/piped-$format"
done

way="a plain tar of the store"
tar -c -C "$store" . | "$ollamafs" import --quiet - --store "$work/by-plain-tar"
arrived "$work/by-plain-tar"

way="the store's own folder"
"$ollamafs" import --quiet "$store" --store "$work/by-folder"
arrived "$work/by-folder"

way="what the target lacks"
"$ollamafs" export "$name" --store "$store" --quiet -o - | "$ollamafs" import --quiet - --store "$work/delta"
before=$(find "$work/delta/blobs" -type f | wc -l)
"$ollamafs" list --blobs --store "$work/delta" |
  "$ollamafs" export '*' --store "$store" --quiet --have - -o "$work/delta.tar"
tar tf "$work/delta.tar" | grep '^blobs/' | while read -r blob; do
  [ ! -e "$work/delta/$blob" ] || echo "$blob"
done >"$work/twice"
[ ! -s "$work/twice" ] || fail "$way: sends what is there"
"$ollamafs" import --quiet "$work/delta.tar" --store "$work/delta"
[ "$before" -gt 0 ] || fail "$way: nothing was there before"
arrived "$work/delta"

# --- From the mount ---

mkdir "$work/view"
"$ollamafs" mount --store "$store" "$work/view" 2>"$work/err" || fail "mount: $(cat "$work/err")"
trap '"$ollamafs" umount "$work/view"' EXIT

way="the archives of the mount"
find "$work/view/archives" -name '*.tar' -exec "$ollamafs" import --quiet --store "$work/by-archives" {} +
arrived "$work/by-archives"

way="the directories of the mount"
find "$work/view/models" -type d -name '*+*' -prune -exec "$ollamafs" import --quiet --store "$work/by-models" {} +
arrived "$work/by-models"

way="an export is the archive of the mount"
find "$work/view/archives" -name '*.tar' | while read -r archive; do
  model=${archive#"$work/view/archives/"}
  "$ollamafs" export "${model%.tar}" --store "$store" --quiet -o - | cmp - "$archive" || echo "$model"
done >"$work/differ"
[ ! -s "$work/differ" ] || fail "$way: $(cat "$work/differ")"

exit $failed
