#!/bin/sh
# Tests a build with -DOLLAMAFS_FUSE=OFF: without_fuse_test.sh BUILD
set -eu

. "$(dirname "$0")/expect.sh"
build=$(cd "$1" && pwd)
program=$build/src/ollamafs
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# --- There is nothing of FUSE in it ---

ldd "$program" >libraries
! grep fuse libraries || fail "it needs libfuse"
! grep -i fuse3 "$build/CMakeCache.txt" || fail "it looks for libfuse"
expect 0 "$program" --version
grep -qx "libfuse none" printed || fail "--version: $(cat printed)"
expect 0 "$program" --help
! grep -w mount printed || fail "the help has mount"
DESTDIR=$work/installed cmake --install "$build" --prefix /usr >log
! find installed -name '*.service' | grep . || fail "there are units"

# --- Who asks for a mount hears why there is none ---

for arguments in "mount" "mount view" "mount -f --store x view" "mount --help" "umount view" "umount -l view"; do
  # shellcheck disable=SC2086
  expect 2 "$program" $arguments
  grep -q "built without FUSE" said || fail "$arguments: $(cat said)"
done
expect 2 "$program" mont
! grep -w mount said || fail "it advises mount: $(cat said)"
expect 0 "$program" __complete ""
! grep -w mount printed || fail "Tab gives mount"

# --- The others do their work ---

"$build/tests/support/make-store" store >log
"$program" list --store store >listed
sed -n '/^$/q; 2,$s/ .*//p' listed >names
# The first one that is whole.
while read -r name; do
  ! "$program" export --store store "$name" -o model.tar >log 2>&1 || break
done <names
expect 0 "$program" export --store store "$name" -o model.tar --force
mkdir other
expect 0 "$program" import --store other model.tar
expect 0 "$program" verify --store other
grep -q "^$name .* whole$" printed || fail "verify: $(cat printed)"
expect 0 "$program" show --store other "$name" --modelfile
expect 0 "$program" du --store other
expect 0 "$program" prune --store other
echo "passed"
