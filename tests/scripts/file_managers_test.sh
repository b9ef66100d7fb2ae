#!/bin/sh
# Tests what a person sees who clicks "Models of Ollama", in Thunar and PCManFM by their keys, on a
# screen of its own: file_managers_test.sh BUILD
set -eu

here=$(cd "$(dirname "$0")" && pwd)
. "$here/machine.sh"
. "$here/expect.sh"
in_namespaces "$@"
cd "$work"
hide_ollama

mkdir -m 0700 bin run home
ln -s "$build/src/ollamafs" bin/ollamafs
ln -s "$here/../../desktop/ollamafs-desktop" bin/ollamafs-desktop
export PATH="$work/bin:$PATH" NO_AT_BRIDGE=1 XDG_RUNTIME_DIR="$work/run" XDG_DATA_DIRS=/usr/share
export XDG_CURRENT_DESKTOP=X-Generic
unset WAYLAND_DISPLAY XDG_CONFIG_HOME
DBUS_SESSION_BUS_ADDRESS=$(dbus-daemon --session --fork --print-address 2>log)
export DBUS_SESSION_BUS_ADDRESS

# --- A screen, which has a number that no other has ---

Xvfb -displayfd 3 -screen 0 1000x700x24 -nolisten tcp 3>display 2>log &
screen=$!
trap 'kill $screen 2>/dev/null || true' EXIT

# until_true WHAT COMMAND...: waits for it.
until_true() {
  what=$1
  shift
  for _ in $(seq 150); do
    ! "$@" >/dev/null 2>&1 || return 0
    sleep 0.2
  done
  fail "$manager: $what"
}

manager=Xvfb
until_true "no screen: $(cat log)" test -s display
DISPLAY=:$(cat display)
export DISPLAY
openbox >log 2>&1 &

# --- What a person does ---

window() { xdotool search --onlyvisible --name "$1"; }

# go DIR: by the location bar. The window's title then begins with the folder's name.
go() {
  xdotool key --delay 50 ctrl+l ctrl+a
  xdotool type --delay 20 "$1/"
  xdotool key --delay 200 Return
  until_true "does not go to $1" window "^${2-${1##*/}}"
  sleep 1
}

# in_folder KEY: pressed in the folder's pane.
in_folder() {
  xdotool mousemove 600 520 click 1
  sleep 0.3
  xdotool key --delay 100 "$@"
}

# copied MODEL: everything in its folder is in $HOME/target.
copied() { diff -r "$HOME/ollama-view/models/$1" "$HOME/target"; }

# manages MANAGER ERROR: its window for what cannot be copied has ERROR in its title.
manages() {
  manager=$1
  export HOME="$work/home/$manager"
  mkdir -p "$HOME/target" "$HOME/broken-target" "$HOME/.config"
  printf '[Default Applications]\ninode/directory=%s.desktop\n' "$manager" >"$HOME/.config/mimeapps.list"
  "$build/tests/support/make-store" --broken "$HOME/.ollama/models"

  ollamafs-desktop view >log 2>&1 &
  click=$!
  until_true 'the view is not opened' window '^ollama-view'

  go "$HOME/ollama-view/models/llama3.2+3b" 'llama3.2\+3b'
  in_folder ctrl+a ctrl+c
  go "$HOME/target"
  in_folder ctrl+v
  until_true 'the model is not copied' copied llama3.2+3b
  ollamafs verify --quiet --store "$HOME/target"

  # The folder of a broken model opens, and has one file that says what it is by its name.
  go "$HOME/ollama-view/models/broken/missing+latest" 'missing\+latest'
  in_folder ctrl+a ctrl+c
  go "$HOME/broken-target"
  in_folder ctrl+v
  until_true 'a broken model is copied without an error' window "$2"
  [ -z "$(find "$HOME/broken-target" -type f)" ] || fail "$manager: a part of a broken model is copied"

  umount -l "$HOME/ollama-view"
  kill $click 2>/dev/null || true # else it would say that the file manager was killed
  xdotool search --class "$manager" windowkill %@ >/dev/null 2>&1 || true
}

manages thunar '^Attention'
manages pcmanfm '^Finished'
echo "passed"
