#!/bin/sh
# Runs a command at the top of this tree as somebody who has just found it: newcomer.sh COMMAND...
#
# On a machine where nothing is installed for it, as a user who has sudo and a home that is closed to
# others, with the tree in that home and Ollama's own store where its installer puts it. For a root
# directory that scripts/in-distro made: it adds users.
set -eu

user=newcomer
home=/home/$user
store=/usr/share/ollama/.ollama/models
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
. "$here/pulled.sh"

[ -n "${OLLAMAFS_IN_DISTRO-}" ] || { echo "only in scripts/in-distro: it adds users" >&2; exit 1; }
export DEBIAN_FRONTEND=noninteractive
echo "127.0.0.1 localhost $(uname -n)" >/etc/hosts
if ! command -v sudo >/dev/null; then
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends sudo >/dev/null
fi
id $user >/dev/null 2>&1 || useradd --create-home --shell /bin/sh $user
chmod 0700 $home
echo "$user ALL=(ALL:ALL) NOPASSWD: ALL" >/etc/sudoers.d/$user
chmod 0440 /etc/sudoers.d/$user

# --- Ollama, as it was installed and has pulled one model ---

id ollama >/dev/null 2>&1 ||
  useradd --system --shell /bin/false --user-group --create-home --home-dir /usr/share/ollama ollama
install -d -m 0750 -o ollama -g ollama /usr/share/ollama
rm -rf $store
pulled $store pulled latest
chown -R ollama: /usr/share/ollama

# --- The tree, in the newcomer's home ---

chown -R $user: "$top/build"
mkdir -p $home/ollamafs
mount --rbind "$top" $home/ollamafs

ended() {
  umount -l $home/ollama-view 2>/dev/null || true
}
trap ended EXIT
# shellcheck disable=SC2016  # for the inner shell
runuser -u $user -- env -i HOME=$home USER=$user LOGNAME=$user \
  PATH=/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games TERM="${TERM:-dumb}" \
  sh -euc 'cd ~/ollamafs; exec "$@"' newcomer "$@"
