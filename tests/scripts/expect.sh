# shellcheck shell=sh
# What a program has to do; read with `.`, not run. Writes the files "printed" and "said" where it is.

fail() {
  echo "FAILED: $*" >&2
  exit 1
}

# expect STATUS COMMAND...: what it writes to its standard output is then in the file "printed", and
# what to its standard error in "said".
expect() {
  wanted=$1
  shift
  status=0
  "$@" >printed 2>said || status=$?
  [ "$status" -eq "$wanted" ] || fail "$* ended with $status instead of $wanted: $(cat said)"
}

# said TEXT: the last one said so.
said() {
  grep -q -- "$1" said || fail "it does not say \"$1\": $(cat said)"
}
