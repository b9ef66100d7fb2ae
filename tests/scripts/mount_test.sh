#!/bin/sh
# Tests scripts/mount as an ordinary user runs it: mount_test.sh BUILD
#
# It runs a copy of the scripts, beside copies of the programs in BUILD and with a cmake that builds
# nothing, so that BUILD stays as it is. All of it happens in a mount and a process namespace of its
# own, which end with it: nothing stays mounted, no daemon stays.
set -eu

user=games # any ordinary one that every Debian has

# --- The machine ---

. "$(dirname "$0")/machine.sh"
in_namespaces "$@"
source=$(cd "$(dirname "$0")/../.." && pwd)
tree=$work/tree

open_fuse_to_all

# The user may do everything with sudo.
hide_ollama
echo "$user ALL=(ALL:ALL) NOPASSWD: ALL" >"$work/sudoers"
chmod 0440 "$work/sudoers"
mount --bind "$work/sudoers" /etc/sudoers

mkdir -p "$tree/scripts" "$tree/build/release/src" "$tree/build/release/tests/support" "$work/bin"
cp "$source/scripts/common.sh" "$source/scripts/mount" "$source/scripts/make-store" "$tree/scripts"
cp "$build/src/ollamafs" "$tree/build/release/src"
cp "$build/tests/support/make-store" "$tree/build/release/tests/support"
printf '#!/bin/sh\necho "cmake $*"\n' >"$work/bin/cmake" # common.sh sends this to the log
chmod 0755 "$work/bin/cmake"
chown -R "$user:" "$tree"

# as_user COMMAND...: with the environment of a login, and $OLLAMA_MODELS if there is one.
as_user() {
  setpriv --reuid "$user" --regid "$user" --init-groups \
    env -i HOME="$home" PATH="$work/bin:$PATH" \
    ${OLLAMA_MODELS:+"OLLAMA_MODELS=$OLLAMA_MODELS"} "$@"
}

# --- What the tests say ---

# run [ARGUMENT...]: the user runs scripts/mount; what it printed is in $home.out and $home.err.
run() {
  status=0
  as_user "$tree/scripts/mount" "$@" >"$home.out" 2>"$home.err" </dev/null || status=$?
}

succeeds() {
  run "$@"
  [ "$status" -eq 0 ] || fail "exit status $status"
}

refuses() {
  run "$@"
  [ "$status" -eq 1 ] || fail "exit status $status, not 1"
}

fail() {
  echo "$*"
  echo "--- printed:" && cat "$home.out"
  echo "--- said:" && cat "$home.err"
  exit 1
}

says() { grep -qF -e "$1" "$home.err" || fail "did not say: $1"; }
does_not_say() { ! grep -qF -e "$1" "$home.err" || fail "said: $1"; }

# tries N: the Nth of the lines to try, without its indentation.
tries() { sed '1,/^Try:$/d' "$home.out" | sed -n "$1s/^  //p"; }

# The user pastes a line into a shell.
paste() { as_user sh -c "$1" >"$home.pasted" 2>&1 || fail "this failed: $1: $(cat "$home.pasted")"; }

# The daemon removes the mount point when it leaves, which is after the unmount.
mountpoint_goes() {
  for _ in $(seq 200); do
    [ -e "$home/ollama-view" ] || return 0
    sleep 0.05
  done
  fail "the mount point is still there"
}

mounted() { findmnt --mountpoint "$home/ollama-view" >/dev/null; }
shows_models() { [ -n "$(as_user ls "$home/ollama-view/models")" ] || fail "shows no models"; }

# The only one in this process namespace.
kill_daemon() {
  pkill -KILL -x ollamafs
  while pgrep -x -r R,S,D ollamafs >/dev/null; do sleep 0.05; done
}

make_store() { "$build/tests/support/make-store" "$1"; }

# A store that only root may read.
make_closed_store() {
  make_store "$1"
  chmod 0700 "$1"
  ! as_user ls "$1" >"$home.pasted" 2>&1 || fail "the store is open"
}

# --- The tests ---

test_without_ollama_it_shows_a_sample() {
  succeeds
  says "no Ollama here"
  does_not_say "error:"
  shows_models
}

test_it_builds_all_of_the_release_but_its_tests() {
  make_store "$home/store"
  succeeds --store "$home/store"
  printf '%s\n' "cmake --preset release -DOLLAMAFS_TESTS=OFF" \
    "cmake --build --preset release --target all" | cmp - "$tree/build/release.log" ||
    fail "built something else"
}

test_its_lines_work_when_pasted() {
  home="$home/it's \$HOME"
  as_user mkdir -p "$home/host/.ollama"
  succeeds
  paste "$(tries 1)"
  grep -q manifests/ "$home.pasted" || fail "tar lists no manifest"
  # There is no HOST: a directory takes its place.
  paste "$(tries 2 | sed 's| HOST:| host/|' | sed "s|^|cd; |")"
  [ -n "$(find "$home/host/.ollama/models/manifests" -type f)" ] || fail "rsync brought no manifest"
  paste "$(tries 3)"
  mountpoint_goes
  [ -z "$(tries 4)" ] || fail "four lines"
}

test_a_second_run_changes_nothing() {
  succeeds
  cp "$home.out" "$home.first"
  succeeds
  says "is mounted already, and shows $tree/build/sample-store"
  cmp "$home.first" "$home.out" || fail "printed something else"
}

test_a_dead_mount_is_cleared() {
  succeeds
  kill_daemon
  ! as_user cat "$home/ollama-view/README.txt" >"$home.pasted" 2>&1 || fail "the mount is not dead"
  succeeds
  does_not_say "mounted already"
  shows_models
}

test_another_store_is_refused_with_the_way_out() {
  succeeds
  make_store "$home/other"
  refuses --store "$home/other"
  says "shows the store $tree/build/sample-store already"
  paste "$(sed -n 's/.*to end that: //p' "$home.err")"
  mountpoint_goes
  succeeds --store "$home/other"
  [ "$(findmnt -n -o SOURCE --mountpoint "$home/ollama-view")" = "$home/other" ] || fail "not shown"
}

test_a_store_that_came_after_the_sample_is_told_of() {
  succeeds
  does_not_say "has a store of Ollama now"
  succeeds
  does_not_say "has a store of Ollama now"
  make_store "$home/.ollama/models"
  chown -R "$user:" "$home/.ollama"
  succeeds
  says "this machine has a store of Ollama now"
  paste "$(sed -n 's/^mount:   //p' "$home.err")"
  [ "$(findmnt -n -o SOURCE --mountpoint "$home/ollama-view")" = "$home/.ollama/models" ] ||
    fail "it is not shown"
}

test_a_store_that_is_named_and_is_none_is_an_error() {
  mkdir "$home/none"
  status=0
  as_user "$tree/scripts/mount" --store "$home/none" >"$home.out" 2>"$home.err" || status=$?
  [ "$status" -eq 3 ] || fail "exit status $status"
  says "ollamafs: error: "
}

test_the_same_store_by_another_name_is_not_refused() {
  make_store "$home/store"
  ln -s store "$home/link"
  succeeds --store "$home/store"
  succeeds --store "$home/link"
  says "is mounted already"
}

test_a_closed_store_is_mounted_by_sudo() {
  make_closed_store "$home/store"
  succeeds --store "$home/store"
  says "trying with sudo"
  does_not_say "error:"
  shows_models
  first=$(tries 3)
  succeeds --store "$home/store"
  says "is mounted already"
  [ "$(tries 3)" = "$first" ] || fail "another way to unmount: $first"
  paste "$first"
  ! mounted || fail "it is still mounted"
}

test_sudo_mounts_the_store_that_the_environment_names() {
  make_closed_store "$home/store"
  OLLAMA_MODELS=$home/store
  succeeds
  says "trying with sudo"
  shows_models
}

test_a_dead_mount_by_sudo_is_cleared() {
  make_closed_store "$home/store"
  succeeds --store "$home/store"
  kill_daemon
  succeeds --store "$home/store"
  says "cleared a dead mount"
  shows_models
}

test_the_example_is_a_whole_model() {
  make_store "$home/store"
  name=$(as_user "$tree/build/release/src/ollamafs" list --store "$home/store" | sed -n '2s/:.*//p')
  missing=sha256:$(printf '%064d' 0)
  find "$home"/store/manifests* -path "*/library/$name/*" ! -type d \
    -exec sed -i "s/sha256:[0-9a-f]*/$missing/" {} +
  succeeds --store "$home/store"
  case $(tries 1) in
    *"/archives/$name"*) fail "the example is the broken $name" ;;
  esac
  paste "$(tries 1)"
  paste "$(tries 2 | sed 's| HOST:\.ollama/models/$| ~/copy/|')"
}

test_without_a_whole_model_there_is_no_example() {
  make_store "$home/store"
  rm "$home"/store/blobs/*
  succeeds --store "$home/store"
  case $(tries 1) in
    *" umount "*) ;;
    *) fail "the first line is not the umount" ;;
  esac
}

test_sudo_itself_is_refused() {
  status=0
  SUDO_USER=$user HOME=$home "$tree/scripts/mount" >"$home.out" 2>"$home.err" || status=$?
  [ "$status" -eq 1 ] || fail "exit status $status"
  says "run it without sudo"
  ! mounted || fail "it is mounted"
}

test_a_build_that_root_made_is_not_called_broken() {
  chown root: "$tree/build/release"
  refuses
  chown "$user:" "$tree/build/release"
  says "$user cannot write $tree/build"
  does_not_say "build failed"
}

test_without_home_it_asks_for_a_mount_point() {
  status=0
  as_user env -u HOME "$tree/scripts/mount" >"$home.out" 2>"$home.err" || status=$?
  [ "$status" -ne 0 ] || fail "exit status $status"
  says "HOME: is not set: name a mount point"
}

# --- All of them ---

passed=0
failed=0
# shellcheck disable=SC2013  # a word a line
for name in $(sed -n 's/^test_\([a-z_]*\)() {$/\1/p' "$0"); do
  home=$work/$name
  mkdir "$home"
  chown "$user:" "$home"
  : >"$home.out" && : >"$home.err"
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
  umount --all --lazy --types fuse.ollamafs
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
