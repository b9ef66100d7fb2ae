#!/bin/sh
# Runs the commands of README.md, as they stand there, as somebody who has just cloned this tree, and
# looks whether each ends as the README says:
#
#   scripts/in-distro trixie -- tests/scripts/readme_test.sh [--built]
#
# --built: scripts/package has been run already. Makes users and stores: for a root directory that
# scripts/in-distro made. HOST is this machine, as another user.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
. "$here/machine.sh"
. "$here/pulled.sh"
# shellcheck source=scripts/common.sh
. "$here/../../scripts/common.sh"
top=$(cd "$here/../.." && pwd)
[ -n "${OLLAMAFS_IN_DISTRO-}" ] || die "only in scripts/in-distro: it adds users"
built=${1-}

model=llama3.2:3b
shown=llama3.2+3b
sender=/home/sender
receiver=/home/receiver
service=/usr/share/ollama/.ollama/models
volume=/var/lib/docker/volumes/ollama/_data/models
stick=/media/STICK

fail() {
  echo "README: $*" >&2
  exit 1
}

# --- Two people, a service, a stick ---

export DEBIAN_FRONTEND=noninteractive
echo "127.0.0.1 localhost $(uname -n)" >/etc/hosts
install_missing sudo rsync openssh-server openssh-client python3 man-db
dpkg --purge ollamafs >/dev/null 2>&1
for user in sender receiver; do
  userdel -rf $user 2>/dev/null || true
  useradd --create-home --shell /bin/bash $user
  usermod --password '*' $user # no password, but not locked: sshd lets nobody in who is
  chmod 0700 /home/$user
  echo "$user ALL=(ALL:ALL) NOPASSWD: ALL" >/etc/sudoers.d/$user
  chmod 0440 /etc/sudoers.d/$user
done
id ollama >/dev/null 2>&1 ||
  useradd --system --shell /bin/false --user-group --create-home --home-dir /usr/share/ollama ollama
rm -rf $stick
install -d -o sender $stick

# as USER COMMAND: by a shell of that user, at home.
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
  dpkg --purge ollamafs >/dev/null 2>&1 || true
  umount -l /dev/fuse "$work/dev" 2>/dev/null || true
  rm -rf --one-file-system "$work"
}
trap ended EXIT
open_fuse_to_all
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

# --- Stores ---

sample=$work/sample
pulled "$sample" llama3.2 3b
pulled "$sample" a 1
cp "$sample/manifests/registry.ollama.ai/library/a/1" "$sample/manifests/registry.ollama.ai/library/a/2"

# empty STORE OWNER: there is nothing in it any more.
empty() {
  rm -rf "$1"
  [ "$2" != ollama ] || install -d -m 0750 -o ollama -g ollama /usr/share/ollama
  install -d -o "$2" -g "$2" "${1%/*}" "$1"
}

# fill STORE OWNER: this is the store of this machine's Ollama, and there is no other.
fill() {
  rm -rf $sender/.ollama /usr/share/ollama $volume
  empty "$1" "$2"
  cp -r "$sample/." "$1"
  chown -R "$2:" "$1"
}

# about_model STORE: its ID, if it is whole.
about_model() {
  ollamafs list --json --store "$1" | python3 -c '
import json, sys
models = {model["name"]: model for model in json.load(sys.stdin)["models"]}
if sys.argv[1] not in models: sys.exit("no such model: " + sys.argv[1])
print(models[sys.argv[1]]["id"])' $model
}

# has STORE: the model is there, whole, under its ID.
has() {
  [ "$(about_model "$1")" = "$id" ] && ollamafs verify --quiet --store "$1" $model
}

# shows_model: the view has it by now.
shows_model() {
  for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    ! as sender "ls ollama-view/models/$shown/manifests" >/dev/null 2>&1 || return 0
    sleep 0.1
  done
  return 1
}

# --- The commands, as they stand there ---

# What names stand for.
filled_in() {
  sed "s/   .*//; s/NAME/$shown/g; s|SOURCE|$stick/$shown.tar|g; s|DIR|$volume|g"
}

# commands SECTION COUNT: a line each, without what explains them; at least so many.
commands() {
  sed -n "/^## $1\$/,/^## /s/^    //p" "$top/README.md" | filled_in >"$work/commands"
  [ "$(wc -l <"$work/commands")" -ge "$2" ] || fail "too few commands in $1"
}

# run COMMAND: as the sender.
run() {
  echo "README: $1" >&2
  as sender "$1" >"$work/log" 2>&1 </dev/null || fail "$1 ended with $?: $(cat "$work/log")"
}

# No other section has lines that look like commands; those before the first are a terminal's.
other=$(awk '/^## /{section=substr($0, 4)} /^    /{print section}' "$top/README.md" | sort -u | tr '\n' ,)
[ "$other" = ",Install,Move a model,Start,Without a mount," ] || fail "there are commands in $other"

mkdir -p $sender/ollamafs
mount --rbind "$top" $sender/ollamafs
chown -R sender: "$top/build"
commands Install 2
while IFS= read -r command; do
  case $command in
    scripts/package) [ "$built" != --built ] || continue ;;
    'sudo apt-get install'*) command="yes | $command" ;;
    *) fail "what is this in Install: $command" ;;
  esac
  start=$(date +%s%N)
  run "cd ollamafs; $command"
done <"$work/commands"
installed=$(date +%s%N)
id=$(about_model "$sample")

fill $sender/.ollama/models sender
filling=$(date +%s%N)
run 'ollamafs mount'
shows_model || fail "no model is shown"
now=$(date +%s%N)
as sender 'ollamafs umount'
took="$(((installed - start) / 1000000)) ms to install the package, $(((now - filling) / 1000000)) ms to a mounted view"

commands Start 3
while IFS= read -r command; do
  case $command in
    *--store*) fill $volume root ;;
    sudo*) fill $service ollama ;;
    *) fill $sender/.ollama/models sender ;;
  esac
  run "$command"
  shows_model || fail "$command shows no model"
  case $command in
    sudo*) as sender 'sudo ollamafs umount' ;;
    *) as sender 'ollamafs umount' ;;
  esac
done <"$work/commands"

# --- The first screen ---

fill $sender/.ollama/models sender
empty $receiver/.ollama/models receiver
sed -n '/^## /q; s/^    \$ //p' "$top/README.md" >"$work/commands"
while IFS= read -r command; do run "$command"; done <"$work/commands"
has $receiver/.ollama/models || fail "the first screen moves no model"

# --- Each way to move one ---

commands 'Move a model' 8
while IFS= read -r command; do
  rm -rf $receiver/.ollama /usr/share/ollama
  case $command in
    *HOST:/usr/share*)
      target=$service
      empty $target ollama
      ;;
    *HOST*)
      target=$receiver/.ollama/models
      empty $target receiver
      ;;
    *'tar -xm -f - -C ~'* | *import*)
      target=$sender/.ollama/models
      # What is taken from the stick must not be there already.
      rm $target/manifests/registry.ollama.ai/library/llama3.2/3b
      ;;
    cp*) target=$stick ;;
    *umount) target="" ;;
    *) fail "where does this copy to: $command" ;;
  esac
  case $command in *ollama-view*) shows_model || fail "the view has no model" ;; esac
  run "$command"
  case $target in
    "") ! mountpoint -q $sender/ollama-view || fail "it is mounted still" ;;
    "$stick") [ -s "$stick/$shown.tar" ] || fail "there is no archive on the stick" ;;
    *) has "$target" || fail "$command: the model is not at the target, or not whole" ;;
  esac
  # The same line again goes on with it, so that it must end well when nothing is left to do.
  case $command in rsync*) run "$command" ;; esac
done <"$work/commands"

run 'ollamafs mount'
# shellcheck disable=SC2016  # they are those of Markdown
several=$(sed -n 's/^.*`\(rsync -aH [^`]*\)`.*$/\1/p' "$top/README.md")
run "cd ollama-view; $(echo "$several" | sed "s|stick/|$stick/|")"
[ "$(find $stick -path '*/a+?/blobs/*' -links 2 | wc -l)" -eq 4 ] || fail "$several: blobs are there twice"

# --- Those that need no mount ---

commands 'Without a mount' 9
install -d -o sender $sender/empty
while IFS= read -r command; do run "cd empty; $command"; done <"$work/commands"
[ -s "$sender/empty/$shown.tar" ] || fail "nothing is exported"
run 'ollamafs umount'
say "all commands end as README.md says; $took"
