# shellcheck shell=sh disable=SC2034  # what is set here is used there
# The machine that a test of a whole program has to itself; read with `.`, not run.

# in_namespaces BUILD [inside WORK]: to be called first, with the test's own arguments. Runs the test
# again in a mount and a process namespace of its own, which end with it: nothing stays mounted, no
# daemon stays. There it sets $build, the build's directory, and $work, an empty one that everybody
# may enter.
in_namespaces() {
  if [ "${2-}" = inside ]; then
    build=$1
    work=$3
    # Who called the test by sudo would be who it looks for a store of, and imports for.
    unset SUDO_USER SUDO_UID SUDO_GID SUDO_COMMAND SUDO_HOME OLLAMA_MODELS OLLAMA_HOST
    return
  fi
  build=$(cd "$1" && pwd)
  [ "$(id -u)" -eq 0 ] || { echo "needs root for namespaces of its own" >&2; exit 1; }
  work=$(mktemp -d)
  trap 'rm -rf --one-file-system "$work"' EXIT
  chmod 0755 "$work"
  unshare --mount --pid --fork --mount-proc "$0" "$build" inside "$work"
  exit
}

# Puts a /dev/fuse that everybody may open over this machine's, whatever that is like.
open_fuse_to_all() {
  mkdir "$work/dev"
  mount -t tmpfs -o mode=0755 none "$work/dev"
  mknod -m 0666 "$work/dev/fuse" c 10 229
  mount --bind "$work/dev/fuse" /dev/fuse
}

# There is no Ollama on this machine.
hide_ollama() {
  for dir in /etc/systemd/system /run/systemd/system /usr/local/lib/systemd/system \
    /usr/lib/systemd/system /usr/share/ollama /var/lib/ollama /var/snap/ollama /root/.ollama; do
    if [ -d $dir ]; then mount -t tmpfs none $dir; fi
  done
}
