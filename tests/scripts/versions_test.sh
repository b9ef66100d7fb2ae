#!/bin/sh
# Tests the versions of packages: what is newer replaces what is older, by dpkg's rules.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
. "$here/expect.sh"
top=$(cd "$here/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# --- A tree with a history of its own ---

mkdir -p tree/scripts
cp "$top/scripts/package" "$top/scripts/common.sh" tree/scripts/
echo 'project(ollamafs VERSION 1.0.0 LANGUAGES CXX)' >tree/CMakeLists.txt
echo "set(version \${PROJECT_VERSION}-rc1)" >>tree/CMakeLists.txt

in_tree() {
  git -C tree -c user.name=test -c user.email=test@localhost -c commit.gpgsign=false -c tag.gpgsign=false "$@"
}

# commits N
commits() {
  for _ in $(seq "$1"); do in_tree commit --quiet --allow-empty --message next; done
}

# tag NAME: on the next commit, as a release is.
tag() {
  commits 1
  in_tree tag "$1"
}

# adds SOURCE PACKAGE: the next version is this, and newer; each may be a pattern.
: >versions
adds() {
  expect 0 tree/scripts/package --version
  read -r source package <printed
  # shellcheck disable=SC2254  # patterns
  case $source in $1) ;; *) fail "the archive is of $source, not $1" ;; esac
  # shellcheck disable=SC2254
  case $package in $2-1~deb[0-9]* | $2-1) ;; *) fail "the package is of $package, not $2" ;; esac
  echo "$package" >>versions
}

in_tree init --quiet
in_tree add .
commits 1
adds '1.0.0-rc1+0.git*' '1.0.0~rc1+0.git*'
tag v1.0.0-rc1
expect 0 tree/scripts/package --version
read -r _ first <printed
case $first in 1.0.0~rc1-1*) ;; *) fail "the package of v1.0.0-rc1 is of $first" ;; esac
{ echo "$first"; cat versions; } >versions.new
mv versions.new versions
commits 1
adds '1.0.0-rc1+1.g*' '1.0.0~rc1+1.g*'
commits 9
adds '1.0.0-rc1+10.g*' '1.0.0~rc1+10.g*'
tag v1.0.0-rc2
adds 1.0.0-rc2 1.0.0~rc2
commits 1
adds '1.0.0-rc2+1.g*' '1.0.0~rc2+1.g*'
tag v1.0.0
adds 1.0.0 1.0.0
commits 7
adds '1.0.0+7.g*' '1.0.0+7.g*'
tag v1.0.1-rc1
adds 1.0.1-rc1 1.0.1~rc1
tag v1.0.1
adds 1.0.1 1.0.1

# --- Each replaces all before it ---

older=""
while read -r version; do
  for one in $older; do
    dpkg --compare-versions "$one" lt "$version" || fail "$version does not replace $one"
    dpkg --compare-versions "${one%~deb*}~deb13" lt "${version%~deb*}~deb12" ||
      fail "$version of Debian 12 does not replace $one of 13"
  done
  # The older release of Debian has the older package.
  dpkg --compare-versions "${version%~deb*}~deb12" lt "${version%~deb*}~deb13" ||
    fail "$version is not replaced in an upgrade"
  older="$older $version"
done <versions
echo "passed: $older"
