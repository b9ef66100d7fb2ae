#!/bin/sh
# Tests what a click does, with dialogs and a file manager that write down what they are asked:
# desktop_test.sh BUILD
set -eu

here=$(cd "$(dirname "$0")" && pwd)
. "$here/machine.sh"
. "$here/expect.sh"
in_namespaces "$@"
desktop=$here/../../desktop
cd "$work"
hide_ollama

# --- The files that desktops read ---

desktop-file-validate "$desktop/ollamafs-view.desktop" "$desktop/ollamafs-import.desktop"
xmllint --noout "$desktop/thunar-action.xml"

# --- A desktop ---

mkdir bin home
ln -s "$build/src/ollamafs" bin/ollamafs
ln -s "$desktop/ollamafs-desktop" bin/ollamafs-desktop
cat >bin/zenity <<'END'
#!/bin/sh
# Writes down what it is asked; the answer is in the file "answer".
printf '%s\n' "$@" >>"$HOME/../asked"
case " $* " in *" --progress "*) cat >/dev/null ;; esac
exit "$(cat "$HOME/../answer" 2>/dev/null || echo 0)"
END
cat >bin/xdg-open <<'END'
#!/bin/sh
printf '%s\n' "$1" >"$HOME/../opened"
END
chmod +x bin/zenity bin/xdg-open
export HOME="$work/home" PATH="$work/bin:$PATH" DISPLAY=:77
unset WAYLAND_DISPLAY XDG_CONFIG_HOME

# asked TEXT: a dialog had it.
asked() {
  grep -qF -- "$1" asked || fail "no dialog has \"$1\": $(cat asked)"
}

expect 2 ollamafs-desktop
expect 2 ollamafs-desktop import
expect 0 ollamafs-desktop --help

# --- The models in the file manager ---

: >asked
expect 1 ollamafs-desktop view
asked 'The models cannot be shown.'
"$build/tests/support/make-store" home/.ollama/models
expect 0 ollamafs-desktop view
[ "$(cat opened)" = "$HOME/ollama-view" ] || fail "$(cat opened) was opened"
[ -f home/ollama-view/archives/llama3.2+3b.tar ] || fail "nothing is mounted there"
expect 0 ollamafs-desktop view # which is mounted already
[ "$(cat home/.config/gtk-3.0/bookmarks)" = "file://$HOME/ollama-view Models of Ollama" ] ||
  fail "bookmarks: $(cat home/.config/gtk-3.0/bookmarks)"

# --- Into the store ---

cp home/ollama-view/archives/llama3.2+3b.tar 'a model.tar'
cp -r home/ollama-view/models/me/describer+latest folder
umount home/ollama-view
mv home/.ollama/models sent
: >asked
expect 0 ollamafs-desktop import "$work/a model.tar" "$work/folder"
asked --progress
asked 'llama3.2:3b'
asked 'me/describer:latest'
ollamafs verify --quiet --store home/.ollama/models

: >asked
head -c 5000 'a model.tar' >cut.tar
expect 6 ollamafs-desktop import "$work/cut.tar"
asked 'Not imported.'
asked 'cut.tar'
expect 2 ollamafs-desktop import folder # which one that is nobody knows

# --- The same by KDE's dialogs, of which the progress is a service on the session's bus ---

cat >bin/kdialog <<'END'
#!/bin/sh
printf '%s\n' "$@" >>"$HOME/../asked"
case " $* " in *" --progressbar "*) echo "org.kde.kdialog-1 /ProgressDialog" ;; esac
END
cat >bin/dbus-send <<'END'
#!/bin/sh
printf '%s\n' "$*" >>"$HOME/../asked"
case $* in *.wasCancelled*) echo "   boolean $(cat "$HOME/../cancelled")" ;; esac
END
chmod +x bin/kdialog bin/dbus-send
: >asked
echo false >cancelled
export XDG_CURRENT_DESKTOP=KDE
expect 0 ollamafs-desktop import "$work/a model.tar"
asked --progressbar
asked '--dest=org.kde.kdialog-1 /ProgressDialog org.kde.kdialog.ProgressDialog.showCancelButton boolean:true'
asked 'ProgressDialog.close'
asked 'llama3.2:3b'

# From a pipe that never ends, until the user has had enough.
: >asked
echo true >cancelled
mkfifo endless
sleep 60 >endless &
writer=$!
expect 130 ollamafs-desktop import "$work/endless"
kill $writer
asked 'ProgressDialog.close'
asked 'Not imported.'
rm bin/kdialog bin/dbus-send endless
unset XDG_CURRENT_DESKTOP

# --- Nautilus hands the files over in a variable, a line each ---

: >asked
export NAUTILUS_SCRIPT_SELECTED_FILE_PATHS="$work/a model.tar
$work/folder
"
expect 0 "$desktop/nautilus-script"
asked 'me/describer:latest'

# --- Without dialogs it is as in a terminal ---

unset DISPLAY
expect 0 ollamafs-desktop import "$work/a model.tar"
grep -q 'llama3.2:3b' printed
