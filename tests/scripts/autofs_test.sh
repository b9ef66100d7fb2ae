#!/bin/sh
# Tests mounts by autofs, as a real automount(8) makes them: autofs_test.sh BUILD
#
# The automounter is not installed: scripts/test has unpacked it in build/autofs of the tree. Here it
# lies over /usr in a mount and a process namespace of its own, with the program of BUILD as
# /usr/sbin/mount.ollamafs.
set -eu

# --- The machine ---

. "$(dirname "$0")/machine.sh"
in_namespaces "$@"
mount -t tmpfs -o mode=0755 none "$work"
open_fuse_to_all
mount -t tmpfs none /run

fetched=$(cd "$(dirname "$0")/../.." && pwd)/build/autofs
[ -x "$fetched/usr/sbin/automount" ] || { echo "there is no $fetched: scripts/test fetches it" >&2; exit 1; }
grep -qw autofs /proc/filesystems || modprobe autofs4 || { echo "this kernel has no autofs" >&2; exit 1; }
cp -a "$fetched/usr" "$work/usr"
mkdir -p "$work/usr/sbin"
for helper in mount.ollamafs mount.fuse.ollamafs; do
  ln -s "$build/src/ollamafs" "$work/usr/sbin/$helper"
done
mount -t overlay -o "lowerdir=$work/usr:/usr" none /usr
hide_ollama

# --- What the tests say ---

fail() {
  echo "$*"
  echo "--- log:" && cat "$home.log"
  exit 1
}

mounted() { findmnt --types fuse.ollamafs --mountpoint "$1" >/dev/null; }

# Comes to a path as any process does; one that waits for ever is ended.
look() { timeout --kill-after=1 30 ls "$1"; }

# until_not COMMAND...
until_not() {
  for _ in $(seq 300); do
    "$@" >/dev/null 2>&1 || return 0
    sleep 0.05
  done
  fail "still: $*"
}

# --- The tests ---

# automounts OPTIONS STORE: a view at $home/auto/models, and one at $home/direct, from a map of each
# kind.
automounts() {
  mkdir -p "$home/auto" "$home/direct"
  printf '%s\n' "models -fstype=ollamafs,$1 :$2" "none -fstype=ollamafs,$1 :$home/none" >"$home/views"
  printf '%s\n' "$home/direct -fstype=ollamafs,$1 :$2" >"$home/views.direct"
  printf '%s\n' "$home/auto file:$home/views --timeout=1" "/- file:$home/views.direct --timeout=1" \
    >"$home/master"
  # Of a process group that this namespace knows, by which the kernel tells it from who comes.
  OLLAMA_MODELS=$home/store setsid automount --foreground --verbose --dont-check-daemon \
    --pid-file "$home/pid" "$home/master" >"$home.log" 2>&1 &
  automount=$!
  for _ in $(seq 200); do
    [ "$(findmnt --noheadings --types autofs --output TARGET | grep -c "^$home/")" -lt 2 ] || return 0
    [ -d "/proc/$automount" ] || fail "automount ended"
    sleep 0.05
  done
  fail "automount does not come"
}

make_store() { "$build/tests/support/make-store" "$1" >/dev/null; }

test_a_view_comes_when_somebody_looks() {
  make_store "$home/store"
  automounts allow_other "$home/store"
  for place in "$home/auto/models" "$home/direct"; do
    ! mounted "$place" || fail "$place was mounted before"
    look "$place/models" >"$home.models" || fail "$place does not come"
    [ -s "$home.models" ] || fail "$place shows no models"
    mounted "$place" || fail "$place is something else"
    [ "$(findmnt -n -o SOURCE --types fuse.ollamafs --mountpoint "$place")" = "$home/store" ] || fail "another store"
    archive=$(find "$place/archives" -name '*.tar' -size +0 | head -n 1)
    tar tf "$archive" >"$home.members" || fail "$archive cannot be read"
    # Its users see it like any other.
    setpriv --reuid games --regid games --clear-groups ls "$place/models" >"$home.members" ||
      fail "not for others"
  done
}

test_it_goes_when_nobody_looks_and_comes_again() {
  make_store "$home/store"
  automounts allow_other "$home/store"
  for _ in 1 2 3; do
    look "$home/auto/models/models" >"$home.models" || fail "it does not come"
    until_not mounted "$home/auto/models"
    until_not pgrep -f "mount.ollamafs $home/store"
  done
}

test_what_is_open_keeps_it() {
  make_store "$home/store"
  automounts allow_other "$home/store"
  look "$home/auto/models" >"$home.models"
  archive=$(find "$home/auto/models/archives" -name '*.tar' -size +0 | head -n 1)
  exec 3<"$archive"
  sleep 4
  mounted "$home/auto/models" || fail "it went"
  [ "$(wc -c <&3)" -eq "$(stat -c %s "$archive")" ] || fail "it is not whole"
  exec 3<&-
}

test_auto_finds_the_store() {
  make_store "$home/store"
  automounts allow_other auto
  look "$home/auto/models/models" >"$home.models" || fail "it does not come"
  [ "$(findmnt -n -o SOURCE --types fuse.ollamafs --mountpoint "$home/auto/models")" = "$home/store" ] || fail "another store"
}

test_what_cannot_be_mounted_is_an_error_at_once() {
  make_store "$home/store"
  automounts allow_other "$home/store"
  ! look "$home/auto/none" >"$home.models" 2>&1 || fail "there is something"
  grep -q "$home/none" "$home.log" || fail "nobody says why"
  look "$home/auto/models/models" >"$home.models" || fail "nor does the other come"
}

test_a_signal_ends_it_and_it_comes_again() {
  make_store "$home/store"
  automounts allow_other "$home/store"
  look "$home/auto/models" >"$home.models"
  pkill -TERM -f "mount.ollamafs $home/store" || fail "there is no daemon"
  until_not pgrep -f "mount.ollamafs $home/store"
  look "$home/auto/models/models" >"$home.models" || fail "it does not come again"
}

# --- All of them ---

passed=0
failed=0
# shellcheck disable=SC2013  # a word a line
for name in $(sed -n 's/^test_\([a-z_]*\)() {$/\1/p' "$0"); do
  home=$work/$name
  mkdir "$home"
  : >"$home.log"
  set +e
  (set -e && "test_$name") >"$home.why" 2>&1
  status=$?
  set -e
  if [ $status -eq 0 ]; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    echo "FAILED: $name"
    sed 's/^/  /' "$home.why"
  fi
  pkill -TERM -x automount || true
  for _ in $(seq 100); do
    pgrep -x automount >/dev/null || break
    sleep 0.05
  done
  pkill -KILL -x automount || true
  umount --all --lazy --types fuse.ollamafs,autofs || true
  pkill -KILL -f mount.ollamafs || true
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
