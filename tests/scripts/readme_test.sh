#!/bin/sh
# Runs the commands of README.md as somebody who has just cloned this tree, and looks whether each
# ends as the README says: scripts/in-distro trixie -- tests/scripts/readme_test.sh
#
# Makes users and a store of Ollama's service: for a root directory that is there for tests. HOST is
# this machine, as another user.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
. "$top/scripts/common.sh"
[ -n "${OLLAMAFS_IN_DISTRO-}" ] || die "only in scripts/in-distro: it adds users"
echo "127.0.0.1 localhost $(uname -n)" >/etc/hosts
install_missing sudo rsync openssh-server openssh-client

model=llama3.2:3b
shown=llama3.2+3b
sender=/home/sender
receiver=/home/receiver
service=/usr/share/ollama/.ollama/models
stick=/media/STICK

fail() {
  echo "README: $*" >&2
  exit 1
}

# --- Two people, a service, a stick ---

for user in sender receiver; do
  userdel -rf $user 2>/dev/null || true
  useradd --create-home --shell /bin/bash $user
  chmod 0700 /home/$user
  echo "$user ALL=(ALL) NOPASSWD: ALL" >/etc/sudoers.d/$user
done
id ollama >/dev/null 2>&1 ||
  useradd --system --shell /bin/false --user-group --create-home --home-dir /usr/share/ollama ollama
chmod 0750 /usr/share/ollama
mkdir -p $stick
chown sender: $stick

# as USER COMMAND: by a login shell of that user.
as() {
  runuser -u "$1" -- env -i HOME="/home/$1" USER="$1" LOGNAME="$1" TERM=dumb \
    PATH=/usr/local/bin:/usr/bin:/bin sh -euc "cd /home/$1; $2"
}

# --- HOST ---

work=$(mktemp -d)
sshd=""
ended() {
  [ -z "$sshd" ] || kill "$sshd" 2>/dev/null || true
  umount -l $sender/ollama-view 2>/dev/null || true
  umount -l $sender/ollamafs 2>/dev/null || true
  rm -rf "$work"
}
trap ended EXIT
ssh-keygen -q -t ed25519 -N '' -f "$work/host"
as sender 'mkdir -m 0700 .ssh; ssh-keygen -q -t ed25519 -N "" -f .ssh/id_ed25519'
as receiver 'mkdir -m 0700 .ssh'
cp $sender/.ssh/id_ed25519.pub $receiver/.ssh/authorized_keys
chown receiver: $receiver/.ssh/authorized_keys
cat >$sender/.ssh/config <<END
Host HOST
  HostName 127.0.0.1
  Port 2299
  User receiver
  StrictHostKeyChecking no
  UserKnownHostsFile /dev/null
  LogLevel ERROR
END
chown sender: $sender/.ssh/config
mkdir -p /run/sshd
cat >"$work/sshd_config" <<END
ListenAddress 127.0.0.1
Port 2299
HostKey $work/host
PidFile none
UsePAM no
Subsystem sftp internal-sftp
END
/usr/sbin/sshd -D -e -f "$work/sshd_config" 2>"$work/sshd.log" &
sshd=$!

# --- The commands, as they stand there ---

# commands SECTION: a line each, without what explains them.
commands() {
  sed -n "/^## $1\$/,/^## /s/^    //p" "$top/README.md" | sed 's/   .*//; s/^\$ //' |
    sed "s/NAME/$shown/g; s/SOURCE/\/media\/STICK\/$shown.tar/g"
}

# has STORE: the model is there, whole.
has() {
  ollamafs list --json --store "$1" | python3 -c '
import json, sys
models = {model["name"]: model for model in json.load(sys.stdin)["models"]}
sys.exit(sys.argv[1] not in models or models[sys.argv[1]]["id"] != sys.argv[2] or not models[sys.argv[1]]["whole"])
' $model "$id" && ollamafs verify --quiet --store "$1"
}

mkdir -p $sender/ollamafs
mount --rbind "$top" $sender/ollamafs
chown -R sender: "$top/build"
start=$(date +%s)
commands Install >"$work/install"
[ -s "$work/install" ] || fail "there is no section Install"
while IFS= read -r command; do
  case $command in
    scripts/*) ;; # the tree is this one
    sudo*) ;;
    *) fail "what is this in Install: $command" ;;
  esac
  echo "README: $command" >&2
  as sender "cd ollamafs; $command" </dev/null >&2
done <"$work/install"
echo "README: installed after $(($(date +%s) - start)) seconds" >&2

sample=$sender/sample
as sender "cd ollamafs; scripts/make-store ~/sample" >&2
installed=$(date +%s)
# empty STORE OWNER: nothing is there any more.
empty() {
  rm -rf "$1"
  install -d -o "$2" -g "$2" "$1"
}
# fill STORE OWNER
fill() {
  empty "$1" "$2"
  cp -r "$sample/." "$1"
  chown -R "$2:" "$1"
}
fill $sender/.ollama/models sender
chown sender: $sender/.ollama
fill $service ollama
chown -R ollama: /usr/share/ollama
id=$(ollamafs list --json --store $sample | python3 -c '
import json, sys
print(next(m["id"] for m in json.load(sys.stdin)["models"] if m["name"] == sys.argv[1]))' $model)

commands Start >"$work/start"
grep -q '^ollamafs mount$' "$work/start" || fail "Start does not begin with ollamafs mount"
while IFS= read -r command; do
  echo "README: $command" >&2
  as sender "$command" </dev/null >&2
  as sender "ls ollama-view/models/$shown/blobs" >/dev/null || fail "$command shows no model"
  case $command in sudo*) as sender 'sudo ollamafs umount' ;; *) as sender 'ollamafs umount' ;; esac
done <"$work/start"
echo "README: from the package to a mounted view: at most $(($(date +%s) - installed)) seconds" >&2

as sender 'ollamafs mount' >&2
commands 'Move a model' >"$work/move"
[ "$(wc -l <"$work/move")" -ge 7 ] || fail "too few commands in Move a model"
while IFS= read -r command; do
  echo "README: $command" >&2
  empty $receiver/.ollama/models receiver
  chown receiver: $receiver/.ollama
  empty $service ollama
  case $command in
    *HOST:/usr/share*) target=$service ;;
    *HOST*) target=$receiver/.ollama/models ;;
    *'tar -xm -f - -C ~'* | *import*) target=$sender/.ollama/models ;;
    cp*) target=$stick ;;
    *umount) target="" ;;
    *) fail "where does this copy to: $command" ;;
  esac
  # What is taken from the stick must not be there already.
  case $target in $sender*) rm -r $sender/.ollama/models/manifests/registry.ollama.ai/library/llama3.2/3b ;; esac
  as sender "$command" </dev/null >&2
  case $target in
    "") [ -z "$(ls $sender/ollama-view 2>/dev/null)" ] || fail "it is mounted still" ;;
    "$stick") [ -s "$stick/$shown.tar" ] || fail "there is no archive on the stick" ;;
    *) has "$target" || fail "$command: the model is not at the target, or not whole" ;;
  esac
done <"$work/move"

commands 'Without a mount' >"$work/without"
[ "$(wc -l <"$work/without")" -ge 6 ] || fail "too few commands in Without a mount"
mkdir -p $sender/empty
chown sender: $sender/empty
while IFS= read -r command; do
  echo "README: $command" >&2
  as sender "cd empty; $command" </dev/null >/dev/null || {
    status=$?
    case $command in # the sample has blobs that are not what they are named
      *verify) [ $status -eq 6 ] || fail "$command ended with $status" ;;
      *) fail "$command ended with $status" ;;
    esac
  }
done <"$work/without"
echo "README: all commands end as it says" >&2
