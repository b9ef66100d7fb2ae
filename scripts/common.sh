# shellcheck shell=sh disable=SC2034  # what is set here is used there
# Shared by the scripts beside it; read with `.`, not run.

top=$(cd "$(dirname "$0")/.." && pwd)

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() { say "$*"; exit 1; }

# Runs a command as root, through sudo if need be.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    die "needs root or sudo for: $*"
  fi
}

# What the program is built with, and what the tests need beside that.
build_packages="g++ cmake ninja-build pkg-config libfuse3-dev fuse3 nlohmann-json3-dev
  libspdlog-dev libfmt-dev libcli11-dev libssl-dev libarchive-dev libzstd-dev"
test_packages="$build_packages libgtest-dev libgmock-dev libarchive-tools rsync
  openssh-server openssh-client lftp sshfs libglib2.0-bin rclone unison strace sudo busybox
  python3 7zip zstd attr acl mandoc util-linux procps systemd ccache
  bash-completion zsh fish python3-pexpect nginx curl
  desktop-file-utils libxml2-utils exfatprogs exfat-fuse ntfs-3g dosfstools fusefat"

# Installs those of the named Debian packages that are missing.
install_missing() {
  command -v apt-get >/dev/null ||
    die "no apt-get here: install what these Debian packages hold, then build with cmake: $*"
  missing=""
  for package in "$@"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
      missing="$missing $package"
  done
  [ -n "$missing" ] || return 0
  say "installing$missing" 2>&1 | fold -s -w 198 >&2
  as_root apt-get update -qq
  # shellcheck disable=SC2086  # one word a package
  without_services env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
    --no-install-recommends $missing >/dev/null
}

# Runs a command as root that installs packages, and keeps those from starting a service, now or at
# the next boot: an sshd that the tests need is no reason to open this machine's port 22, nor is an
# nginx or a registry for theirs.
without_services() {
  # shellcheck disable=SC2016  # for the inner shell
  as_root sh -euc '
    had=" "
    for program in sshd nginx docker-registry; do
      ! command -v $program >/dev/null || had="$had$program "
    done
    policy=/usr/sbin/policy-rc.d
    ours="# of ollamafs: scripts/common.sh"
    if [ ! -e $policy ] || grep -qxF "$ours" $policy; then # also one that a kill has left
      trap "rm -f $policy" EXIT
      trap "exit 130" INT
      trap "exit 143" TERM HUP
      printf "#!/bin/sh\n%s\nexit 101\n" "$ours" >$policy
      chmod 0755 $policy
    fi
    "$@"
    # not_at_boot PROGRAM UNIT...: unless the program was here before.
    not_at_boot() {
      case $had in *" $1 "*) return ;; esac
      if command -v "$1" >/dev/null && command -v systemctl >/dev/null; then
        shift
        systemctl disable --quiet "$@" 2>/dev/null || true
      fi
    }
    not_at_boot sshd ssh.service ssh.socket
    not_at_boot nginx nginx.service
    not_at_boot docker-registry docker-registry.service' without_services "$@"
}

# The words to put before a test program. Old ThreadSanitizers do not bear much address
# randomisation; some containers cannot do without it.
fixed_addresses() {
  ! setarch -R true 2>/dev/null || echo setarch -R
}

# What follows "clang" in the names of the packages and programs of the Clang to be used: -16, or
# nothing. Debian 12's own clang 14 does not know all of C++20; later ones do.
clang_version() {
  [ -n "$(apt-cache --quiet=2 search --names-only '^clang$')" ] || as_root apt-get update -qq >&2
  [ -z "$(apt-cache --quiet=2 search --names-only '^clang-16$')" ] || echo -16
}

# Those of the named packages that this release of Debian has.
those_there_are() {
  [ -n "$(apt-cache --quiet=2 search --names-only '^python3$')" ] || as_root apt-get update -qq >&2
  for package in "$@"; do apt-cache --quiet=2 search --names-only "^$package\$" | cut -d' ' -f1; done
}

die_for_build_dir() {
  die "$(id -un) cannot write $top/build; if a build by sudo made it: sudo chown -R $(id -un) $top/build"
}

# build PRESET TARGETS [cmake option...]: configures and builds, quietly unless it fails. Builds with
# sanitizers are Clang's: it is twice as quick with them as GCC, and warns of other things.
build() {
  preset=$1
  targets=$2
  shift 2
  log=$top/build/$preset.log
  { mkdir -p "$top/build/$preset" && touch "$log" && [ -w "$top/build/$preset" ]; } 2>/dev/null ||
    die_for_build_dir
  case $preset in
    asan | tsan | fuzz)
      clang=$(clang_version)
      install_missing "clang$clang" "libclang-rt$clang-dev"
      set -- "$@" -DCMAKE_CXX_COMPILER="clang++$clang"
      # CMake itself would forget the preset's options with another compiler, the sanitizers too.
      grep -qs "^CMAKE_CXX_COMPILER:.*/clang++$clang\$" "$top/build/$preset/CMakeCache.txt" ||
        set -- --fresh "$@"
      ;;
  esac
  # The tree was moved since, or is the same seen at another place: CMake refuses what it made there.
  cache=$top/build/$preset/CMakeCache.txt
  ! [ -f "$cache" ] || grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$top" "$cache" || set -- --fresh "$@"
  # Found again in another clone of the tree too.
  if command -v ccache >/dev/null; then
    export CMAKE_CXX_COMPILER_LAUNCHER=ccache CCACHE_BASEDIR="$top" CCACHE_NOHASHDIR=1 \
      CCACHE_SLOPPINESS=pch_defines,time_macros
  fi
  say "building $preset, which may take minutes (see $log)"
  # shellcheck disable=SC2086  # one word a target
  if ! (cd "$top" && cmake --preset "$preset" "$@" &&
    cmake --build --preset "$preset" --target $targets) >"$log" 2>&1; then
    tail -n 60 "$log" >&2
    die "the $preset build failed; all it said is in $log"
  fi
}
