# shellcheck shell=bash
# Completion of ollamafs(1) by bash; the program says what may come next.

_ollamafs() {
  # shellcheck disable=SC2034  # _init_completion sets all of them
  local cur prev words cword
  _init_completion -n := || return

  # What was typed are words of the shell: without what quotes them. A path in "~" is the home's.
  local typed=("${words[@]:1:cword}") quotes='[\\"'\'']'
  local kind before candidate candidates=()
  {
    IFS=' ' read -r kind before
    while IFS=$'\t' read -r candidate _; do candidates+=("$candidate"); done
  } < <("${words[0]/#~\//$HOME/}" __complete "${typed[@]//$quotes/}" 2>/dev/null)

  if [[ $kind == files || $kind == directories ]]; then
    cur=${cur#"$before"}
    if [[ $kind == files ]]; then _filedir; else _filedir -d; fi
    [[ $COMP_WORDBREAKS == *=* ]] || COMPREPLY=("${COMPREPLY[@]/#/$before}")
    __ltrim_colon_completions "$cur"
  fi
  ((${#candidates[@]})) || return

  # Only what stands behind the last of these is replaced, unless it is quoted.
  local breaks=${COMP_WORDBREAKS//[^:=]/} head=
  if [[ $cur != [\"\']* ]]; then
    [[ -z $breaks ]] || head=${cur%"${cur##*["$breaks"]}"}
    mapfile -t candidates < <(printf '%q\n' "${candidates[@]#"$head"}")
  fi
  COMPREPLY+=("${candidates[@]}")
  [[ ${#COMPREPLY[@]} -ne 1 || ${COMPREPLY[0]} != *= ]] || compopt -o nospace
} && complete -F _ollamafs ollamafs
