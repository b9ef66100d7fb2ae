#!/bin/sh
# Tests what is installed, and that it can be taken away again: install_test.sh BUILD
#
# What BUILD holds is installed below other prefixes than it was configured for.
set -eu

build=$(cd "$1" && pwd)
source=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
  echo "FAILED: $*" >&2
  [ ! -f "$work/log" ] || cat "$work/log" >&2
  exit 1
}

# quietly COMMAND...: what it says is shown if it fails.
quietly() { "$@" >"$work/log" 2>&1 || fail "$*"; }

# In a build of its own, which may write to its folder as this user: BUILD may be another's.
uninstall() {
  cp "$build/install_manifest.txt" "$work/default/"
  quietly cmake --build "$work/default" --target uninstall
}

# holds FILE LINE: word for word.
holds() { grep -qxF -e "$2" "$1" || fail "$1 has no line $2"; }

# --- Who asks for nothing gets a release ---

quietly cmake -S "$source" -G Ninja -B "$work/default" -DOLLAMAFS_TESTS=OFF
grep -qx "CMAKE_BUILD_TYPE:STRING=RelWithDebInfo" "$work/default/CMakeCache.txt" ||
  fail "no optimised build: $(grep ^CMAKE_BUILD_TYPE: "$work/default/CMakeCache.txt")"
quietly cmake -S "$source" -G Ninja -B "$work/debug" -DOLLAMAFS_TESTS=OFF -DCMAKE_BUILD_TYPE=Debug
grep -qx "CMAKE_BUILD_TYPE:STRING=Debug" "$work/debug/CMakeCache.txt" || fail "no debug build"

# --- A prefix that was not known before ---

prefix=$work/prefix
mkdir -p "$prefix/bin" "$prefix/share/doc"
touch "$prefix/bin/another"
quietly cmake --install "$build" --prefix "$prefix"
"$prefix/bin/ollamafs" --version >"$work/version" || fail "it does not run"
for file in share/man/man1/ollamafs.1 share/man/man1/ollamafs-desktop.1 share/man/man8/mount.ollamafs.8 \
  lib/sysusers.d/ollamafs.conf share/doc/ollamafs/README.md \
  share/doc/ollamafs/docs/view.md share/licenses/ollamafs/LICENSE; do
  [ -f "$prefix/$file" ] || fail "no $file"
done
holds "$prefix/lib/systemd/system/ollamafs.service" \
  "ExecStart=$prefix/bin/ollamafs mount -f -o allow_other /run/ollamafs/view"
holds "$prefix/lib/systemd/user/ollamafs.service" "ExecStart=$prefix/bin/ollamafs mount -f %h/ollama-view"
uninstall
left=$(cd "$prefix" && find . -type f -o -name ollamafs)
[ "$left" = ./bin/another ] || fail "this is left: $left"
cmake --build "$work/default" --target uninstall >"$work/log" 2>&1 && fail "it can be uninstalled twice"
grep -q "nothing is installed" "$work/log" || fail "it does not say why"

# --- Packed for a prefix ---

export DESTDIR="$work/packed"
quietly cmake --install "$build" --prefix /usr
holds "$DESTDIR/usr/lib/systemd/user/ollamafs.service" "ExecStart=/usr/bin/ollamafs mount -f %h/ollama-view"
uninstall
[ -z "$(find "$DESTDIR" ! -type d)" ] || fail "files are left"
unset DESTDIR

echo "passed"
