#!/bin/sh
# Tests the Debian package: scripts/in-distro SUITE -- tests/scripts/package.sh [--once]
#
# Built twice (once where another release has shown that it gives the same bytes), looked at by
# lintian, installed, used, taken away again; then readme_test.sh does what the README says with it.
# For a root directory that scripts/in-distro made: packages come and go in it.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/scripts/machine.sh
. "$here/machine.sh"
# shellcheck source=scripts/common.sh
. "$here/../../scripts/common.sh"
top=$(cd "$here/../.." && pwd)

[ -n "${OLLAMAFS_IN_DISTRO-}" ] || die "only in scripts/in-distro: it installs and removes packages"
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
work=$(mktemp -d)
trap 'umount -l "$work/view" "$work/users" 2>/dev/null || true; rm -rf --one-file-system "$work"' EXIT
chmod 0755 "$work"

fail() {
  echo "FAILED: $*" >&2
  [ ! -f "$work/log" ] || tail -n 60 "$work/log" >&2
  exit 1
}

# quietly COMMAND...: what it says is in $work/log, and shown if it fails.
quietly() { "$@" >"$work/log" 2>&1 || fail "$*"; }

# Of an earlier run that failed.
quietly dpkg --purge ollamafs
install_missing lintian man-db bash-completion zsh fish python3-pexpect systemd bc

# --- Two builds give the same bytes: at another time, in another place, for another user's habits ---

say "building"
mkdir -p "$top/build/packages"
touch "$top/build/packages/ollamafs_0.1-1_all.deb" # of another day
"$top/scripts/package" >"$work/packages"
[ "$(find "$top/build/packages" -type f | wc -l)" -eq 2 ] || fail "older packages lie beside the new one"
if [ "${1-}" != --once ]; then
  (umask 027 && TMPDIR=/var/tmp TZ=Asia/Tokyo CXXFLAGS=-O0 "$top/scripts/package" "$work/two" >/dev/null)
  while IFS= read -r file; do
    cmp "$file" "$work/two/${file##*/}" || fail "two builds differ"
  done <"$work/packages"
fi
package=$(grep '\.deb$' "$work/packages")
sources=$(grep '\.tar\.xz$' "$work/packages")
say "$package: $(stat -c %s "$package") bytes"

# --- What it says of itself ---

lintian --allow-root --info --tag-display-limit 0 --fail-on error,warning "$package" >"$work/log" 2>&1 || fail "lintian"
! grep -v '^N:' "$work/log" || fail "lintian has something to say"
version=$(dpkg-deb -f "$package" Version)
case $sources in
  *"/ollamafs-$(echo "${version%-*}" | tr '~' -).tar.xz") ;;
  *) fail "$sources is not of version $version" ;;
esac
for library in libfuse3 libarchive libssl3 libzstd1 libc6; do
  dpkg-deb -f "$package" Depends | grep -q "$library" || fail "does not depend on $library"
done

# --- Installed: on a machine that has what it needs ---

# every_name FILE: all names of this machine's files, without those that scripts/in-distro lends it.
history=$(git -c safe.directory='*' -C "$top" rev-parse --path-format=absolute --git-common-dir)
every_name() {
  find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /tmp -o -path /var/tmp \
    -o -path /var/log -o -path /var/cache/apt -o -path /var/cache/man -o -path "$top" -o -path "$history" \) -prune -o -print | sort >"$1"
}

quietly apt-get satisfy -y -qq --no-install-recommends "$(dpkg-deb -f "$package" Depends)"
every_name "$work/before"
cp /etc/passwd "$work/passwd"
quietly apt-get install -y -qq --no-install-recommends "$package"

[ "$(command -v ollamafs)" = /usr/bin/ollamafs ] || fail "it is not on the PATH"
quietly ollamafs --version
grep -qx "ollamafs $(echo "${version%-*}" | tr '~' -)" "$work/log" || fail "another version than the package"
! readelf -S /usr/bin/ollamafs | grep -q '\.symtab' || fail "it is not stripped"
quietly man -w ollamafs
quietly man ollamafs
grep -q 'FINDING THE STORE' "$work/log" || fail "the man page is not shown"
quietly man mount.ollamafs
grep -q 'FINDING THE STORE' "$work/log" || fail "the man page is not shown of mount.ollamafs"
for file in copyright changelog.gz changelog.Debian.gz README.md docs/view.md; do
  [ -s "/usr/share/doc/ollamafs/$file" ] || fail "no $file among the docs"
done
getent passwd ollamafs >/dev/null || fail "no user for the unit"

# units KIND: the package's units for the system or for users.
units() { dpkg -L ollamafs | grep "/systemd/$1/.*\.service$"; }
if [ -z "$(units system)" ] || [ -z "$(units user)" ]; then fail "no units"; fi
for unit in $(units system); do
  quietly systemd-analyze verify "$unit"
  ! grep ollamafs "$work/log" || fail "systemd has something to say about $unit"
  [ ! -e "/etc/systemd/system/multi-user.target.wants/${unit##*/}" ] || fail "$unit is enabled"
done
for unit in $(units user); do
  XDG_RUNTIME_DIR=/run quietly systemd-analyze --user verify "$unit"
  ! grep ollamafs "$work/log" || fail "systemd has something to say about $unit"
done

# --- Used: by root, and by somebody through fusermount3 ---

mkdir "$work/store" "$work/view" "$work/users"
tar -xzf "$top/tests/fixtures/real-store-v2.tar.gz" -C "$work/store"
store=$(find "$work/store" -type d -name blobs)
store=${store%/blobs}
# Blobs that the fixture leaves out, as holes of their sizes.
python3 - "$store" <<'END'
import json, pathlib, sys
store = pathlib.Path(sys.argv[1])
for path in store.glob("manifests*/**/*"):
    if path.is_file():
        manifest = json.loads(path.read_bytes())
        for layer in [manifest["config"], *manifest["layers"]]:
            blob = store / "blobs" / layer["digest"].replace(":", "-")
            if not blob.exists():
                blob.touch()
                with blob.open("r+b") as file:
                    file.truncate(layer["size"])
END
# uses VIEW COMMAND...: mounts there, reads a model, ends it; COMMAND is who does so.
uses() {
  view=$1
  shift
  quietly "$@" ollamafs mount --store "$store" "$view"
  quietly "$@" ls "$view/models"
  [ -s "$work/log" ] || fail "no models in $view"
  quietly "$@" find "$view/archives" -name '*.tar' -exec tar -tf {} ';'
  grep -q manifests/ "$work/log" || fail "no manifest in the archives of $view"
  quietly "$@" ollamafs umount "$view"
}
start=$(date +%s.%N)
uses "$work/view"
say "mounted, read and unmounted in $(echo "$(date +%s.%N) - $start" | bc) s"
open_fuse_to_all
chown games "$work/users"
uses "$work/users" setpriv --reuid games --regid games --init-groups env HOME="$work/users"
umount /dev/fuse "$work/dev"

# --- Completed ---

"$here/completion_test.py" --installed "$store"

# --- Taken away ---

quietly dpkg --remove ollamafs
[ ! -e /usr/bin/ollamafs ] || fail "it is not removed"
quietly dpkg --purge ollamafs
every_name "$work/after"
diff "$work/before" "$work/after" || fail "not all of it is gone"
diff "$work/passwd" /etc/passwd || fail "the user is left"

# --- As the README says ---

"$here/readme_test.sh" --built
say "passed"
