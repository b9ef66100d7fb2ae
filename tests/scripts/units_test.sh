#!/bin/sh
# Tests systemd's units: units_test.sh BUILD
#
# What BUILD installs is installed for real, and run as the unit says, without systemd: its very
# command with its very user, groups, rights and system calls. All of it happens in a mount and a
# process namespace of its own, where an overlay takes the files and there are other users.
set -eu

# --- The machine ---

. "$(dirname "$0")/machine.sh"
in_namespaces "$@"
mount -t tmpfs -o mode=0755 none "$work"

# A /dev/fuse that everybody may open, and a /run that is empty.
open_fuse_to_all
mount -t tmpfs -o mode=0755 none /run

prefix=$(sed -n 's/^CMAKE_INSTALL_PREFIX:PATH=//p' "$build/CMakeCache.txt")
mkdir "$work/upper" "$work/scratch"
mount -t overlay -o "lowerdir=$prefix,upperdir=$work/upper,workdir=$work/scratch" none "$prefix"
for part in src systemd; do
  cmake --install "$build/$part" >"$work/install.log" 2>&1 || { cat "$work/install.log"; exit 1; }
done
system_unit=$prefix/lib/systemd/system/ollamafs.service
user_unit=$prefix/lib/systemd/user/ollamafs.service

# The users of the unit's sysusers.d, Ollama's own, a member of its group, and one who is none.
mkdir -p "$work/users/etc"
for file in passwd group shadow gshadow; do cp -p "/etc/$file" "$work/users/etc"; done
cat >"$work/people.conf" <<END
u ollama -
u test-member -
m test-member ollama
u test-other -
END
systemd-sysusers --root="$work/users" - <"$prefix/lib/sysusers.d/ollamafs.conf" 2>"$work/sysusers.log"
ollama_is_made=$(grep -c "'ollama'" "$work/sysusers.log" || true)
systemd-sysusers --root="$work/users" - <"$work/people.conf" 2>/dev/null
for file in passwd group; do mount --bind "$work/users/etc/$file" "/etc/$file"; done

# as USER COMMAND...
as() {
  user=$1
  shift
  setpriv --reuid "$user" --regid "$user" --init-groups env -i HOME="$home" PATH="$PATH" "$@"
}

# --- A unit, as systemd would run it ---

# value KEY [UNIT]: all that the unit says about it in [Service], one line each.
value() { sed -n '/^\[Service\]$/,/^\[Install\]$/'"s/^$1=//p" "${2:-$system_unit}"; }

# The unit's capabilities as setpriv takes them; a set that the unit does not name is full.
capabilities() {
  printf -- '-all'
  for name in $(value "$1" | tr '[:upper:]' '[:lower:]'); do printf ',+%s' "${name#cap_}"; done
}

# members SYSTEM_CALL | @GROUP...: one a line.
members() {
  for member; do
    case $member in
      @*)
        # shellcheck disable=SC2046  # one word a system call
        members $(systemd-analyze syscall-filter "$member" | sed 's/#.*//; 1d')
        ;;
      *) echo "$member" ;;
    esac
  done
}

# The system calls that the unit may make, into $1. Nothing is filtered where it names none.
system_calls() {
  # shellcheck disable=SC2046
  members @default $(value SystemCallFilter | grep -v '^~') | sort -u >"$1"
  # shellcheck disable=SC2046
  members $(value SystemCallFilter | sed -n 's/^~//p') | sort -u >"$1.not"
  comm -23 "$1" "$1.not" >"$1.allowed"
  mv "$1.allowed" "$1"
  [ -n "$(value SystemCallFilter)" ] || : >"$1"
}

# Runs a command with no other system calls than those in a file: FILE COMMAND...
cat >"$work/only.py" <<'END'
import ctypes, errno, os, sys
lib = ctypes.CDLL("libseccomp.so.2")
lib.seccomp_init.restype = ctypes.c_void_p
names = open(sys.argv[1]).read().split()
if names:
    rules = ctypes.c_void_p(lib.seccomp_init(ctypes.c_uint32(0x00050000 | errno.EPERM)))
    numbers = [lib.seccomp_syscall_resolve_name(name.encode()) for name in names]
    for number in numbers:
        if number >= 0:  # else this machine has no such call
            assert lib.seccomp_rule_add(rules, ctypes.c_uint32(0x7FFF0000), number, 0) == 0
    assert lib.seccomp_attr_set(rules, 3, 0) == 0  # without NoNewPrivileges
    assert lib.seccomp_load(rules) == 0
os.execvp(sys.argv[2], sys.argv[2:])
END

# Prints each message that comes to the socket of a service manager: SOCKET
cat >"$work/listen.py" <<'END'
import os, socket, sys
listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
listener.bind(sys.argv[1])
os.chmod(sys.argv[1], 0o666)
while True:
    print(listener.recv(4096).decode(), flush=True)
END
notify=

# as_unit COMMAND...: as the system-wide unit would be run. It replaces this shell.
as_unit() {
  user=$(value User)
  groups=$(id -G "$user")
  for name in $(value SupplementaryGroups); do
    groups="$groups $(getent group "$name" | cut -d: -f3)"
  done
  system_calls "$home.calls"
  set -- env -i HOME=/ PATH=/usr/bin:/bin OLLAMA_MODELS="$home/store" \
    ${notify:+NOTIFY_SOCKET="$notify"} python3 "$work/only.py" "$home.calls" "$@"
  [ "$(value NoNewPrivileges)" != yes ] || set -- --no-new-privs "$@"
  [ -z "$(value CapabilityBoundingSet)" ] ||
    set -- --bounding-set "$(capabilities CapabilityBoundingSet)" "$@"
  exec setpriv --reuid "$user" --regid "$(id -g "$user")" --groups "$(echo "$groups" | tr ' ' ,)" \
    --inh-caps "$(capabilities AmbientCapabilities)" \
    --ambient-caps "$(capabilities AmbientCapabilities)" "$@"
}

# The unit's view is the last word of its command.
view() { value ExecStart | sed 's/.* //'; }

# Starts the unit, and waits until it is mounted.
start() {
  for directory in $(value RuntimeDirectory); do
    install -d -o "$(value User)" -g "$(value User)" -m 0755 "/run/$directory"
  done
  # shellcheck disable=SC2046  # as systemd splits it
  (as_unit $(value ExecStart)) 2>"$home.log" &
  daemon=$!
  wait_for "$(view)"
}

wait_for() {
  for _ in $(seq 200); do
    # It says so last.
    if grep -q blobs "$home.log" && mounted "$1"; then return 0; fi
    [ -d "/proc/$daemon" ] || fail "it ended"
    sleep 0.05
  done
  fail "$1 was not mounted"
}

# stop SIGNAL: of the unit's process, which is then gone; its exit status is in $status.
stop() {
  kill -s "$1" "$daemon"
  status=0
  wait "$daemon" || status=$?
}

# --- What the tests say ---

fail() {
  echo "$*"
  echo "--- log:" && cat "$home.log"
  exit 1
}

mounted() { findmnt --mountpoint "$1" >/dev/null; }

# An option is one of the kernel's for the mount.
has_option() {
  case ,$(findmnt -n -o OPTIONS --mountpoint "$1"), in *",$2,"*) ;; *) fail "not mounted $2" ;; esac
}

# Tells the sum over everything that a user reads in a view.
reads() { as "$1" tar cf - -C "$2" archives models 2>>"$home.log" | sha256sum; }

may_not_look() { ! as "$1" ls "$2" >/dev/null 2>&1 || fail "$1 looks into $2"; }

status_of() { sed -n "s/^$2:[[:space:]]*//p" "/proc/$1/status"; }

# make_store MODE: Ollama's, with the rights of its install script or with others.
make_store() {
  "$build/tests/support/make-store" "$home/store" >/dev/null
  chown -R ollama:ollama "$home/store"
  chmod -R "$1" "$home/store"
}
closed=u=rwX,g=rX,o=

# --- The tests ---

test_systemd_has_nothing_to_say_about_them() {
  systemd-analyze verify --man=no "$system_unit" >"$home.log" 2>&1 || fail "exit status $?"
  ! grep ollamafs "$home.log" || fail "the system unit"
  XDG_RUNTIME_DIR=/run systemd-analyze --user verify --man=no "$user_unit" >"$home.log" 2>&1 || fail "exit status $?"
  ! grep ollamafs "$home.log" || fail "the user unit"
}

# Beside those that say so, all that systemd.exec(5) and its sources give one for.
test_neither_unit_gets_a_mount_namespace() {
  for unit in "$system_unit" "$user_unit"; do
    ! grep -nE '^(Protect|Private|Bind|Mount|Root|Extension|LoadCredential|SetCredential|ImportCredential|TemporaryFileSystem|DynamicUser|LogNamespace|NetworkNamespace|ProcSubset|Ipc|IPCNamespace|[A-Za-z]+Paths)[A-Za-z]*=' \
      "$unit" || fail "$unit"
  done
}

# With any of these, systemd takes fusermount3 the right to become root.
test_the_user_unit_is_not_confined() {
  ! grep -nE '^(NoNewPrivileges|SystemCall[A-Za-z]+|Restrict[A-Za-z]+|LockPersonality|MemoryDenyWriteExecute|AmbientCapabilities|CapabilityBoundingSet)=' \
    "$user_unit" || fail "it is"
}

test_the_users_of_the_unit_are_its_own() {
  [ "$(id -u "$(value User)")" -ne 0 ] || fail "it is root"
  [ "$ollama_is_made" -eq 0 ] || fail "ollama is made, which stops Ollama's install script"
}

test_it_mounts_for_who_may_read_the_store() {
  make_store "$closed"
  start
  for option in ro nosuid nodev noexec; do has_option "$(view)" $option; done
  for option in allow_other default_permissions; do has_option "$(view)" $option; done
  sum=$(reads test-member "$(view)")
  [ "$sum" = "$(reads ollama "$(view)")" ] || fail "a member and the owner read different things"
  [ "$(as test-member find "$(view)/archives" -name '*.tar' -size +0 | wc -l)" -gt 5 ] ||
    fail "there are no archives"
  ! grep -q "Cannot open: Perm" "$home.log" || fail "a member may not read everything"
  may_not_look test-other "$(view)"
  stop TERM
}

# With its very rights and system calls.
test_systemd_is_told_when_it_is_mounted_and_when_it_ends() {
  for unit in "$system_unit" "$user_unit"; do
    [ "$(value Type "$unit")" = notify ] || fail "$unit"
  done
  make_store "$closed"
  notify=$work/notify
  python3 "$work/listen.py" "$notify" >"$home.told" &
  listener=$!
  for _ in $(seq 200); do [ ! -S "$notify" ] || break; sleep 0.05; done
  start
  for _ in $(seq 200); do [ ! -s "$home.told" ] || break; sleep 0.05; done
  [ "$(cat "$home.told")" = READY=1 ] || fail "told: $(cat "$home.told")"
  stop TERM
  for _ in $(seq 200); do ! grep -q STOPPING=1 "$home.told" || break; sleep 0.05; done
  kill "$listener"
  grep -q STOPPING=1 "$home.told" || fail "told: $(cat "$home.told")"
}

test_it_mounts_an_open_store_for_everybody() {
  make_store u=rwX,go=rX
  start
  [ "$(reads test-other "$(view)")" = "$(reads ollama "$(view)")" ] || fail "others read less"
  stop TERM
}

test_without_the_group_it_says_that_it_may_not_read() {
  make_store u=rwX,go=
  status=0
  # shellcheck disable=SC2046
  (as_unit $(value ExecStart)) 2>"$home.log" || status=$?
  [ "$status" -eq 4 ] || fail "exit status $status"
  case " $(value RestartPreventExitStatus) " in *" 4 "*) ;; *) fail "it is tried again" ;; esac
}

test_sigterm_unmounts() {
  make_store "$closed"
  start
  stop TERM
  [ "$status" -eq 0 ] || fail "exit status $status"
  ! mounted "$(view)" || fail "it is still mounted"
  [ ! -e "$(view)" ] || fail "the mount point is still there"
}

test_what_is_open_can_be_read_on() {
  make_store "$closed"
  start
  archive=$(find "$(view)/archives" -name '*.tar' -size +0 | head -n 1)
  sum=$(sha256sum <"$archive")
  exec 3<"$archive"
  kill -s TERM "$daemon"
  for _ in $(seq 200); do
    mounted "$(view)" || break
    sleep 0.05
  done
  ! mounted "$(view)" || fail "it is still mounted"
  [ "$(sha256sum <&3)" = "$sum" ] || fail "read something else"
  exec 3<&-
  wait "$daemon" || fail "exit status $?"
}

test_a_killed_one_is_started_again() {
  make_store "$closed"
  start
  stop KILL
  mounted "$(view)" || fail "the dead mount is gone by itself"
  start
  reads test-member "$(view)" >/dev/null
  stop TERM
  ! mounted "$(view)" || fail "a mount is left"
}

# Beside passthrough, for which it is there, and which root gets, too, where there is any.
test_it_has_one_right_and_what_that_is_for() {
  make_store "$closed"
  start
  only_sys_admin=0000000000200000
  for set in CapPrm CapEff CapBnd; do
    [ "$(status_of "$daemon" $set)" = $only_sys_admin ] || fail "$set: $(status_of "$daemon" $set)"
  done
  [ "$(status_of "$daemon" NoNewPrivs)" -eq 1 ] || fail "it could become root"
  [ "$(status_of "$daemon" Seccomp)" -eq 2 ] || fail "every system call"
  grep blobs "$home.log" >"$home.unit"
  stop TERM
  (exec "$prefix/bin/ollamafs" mount -f --store "$home/store" "$home/view") 2>"$home.log" &
  daemon=$!
  wait_for "$home/view"
  grep blobs "$home.log" | cmp - "$home.unit" || fail "root reads in another way"
  stop TERM
}

test_what_it_does_not_need_is_forbidden() {
  : >"$home.log"
  for command in "unshare --mount true" "unshare --uts true" "nsenter --uts=/proc/self/ns/uts true"; do
    # shellcheck disable=SC2086
    ! (as_unit $command) 2>"$home.log" || fail "it may: $command"
    grep -q "Operation not permitted" "$home.log" || fail "$command failed for another reason"
  done
  (as_unit true) || fail "not even true"
}

test_a_user_mounts_for_themselves() {
  make_store "$closed"
  chown test-member "$home"
  # shellcheck disable=SC2046
  (exec setpriv --reuid test-member --regid test-member --init-groups \
    env -i HOME="$home" PATH=/usr/bin:/bin OLLAMA_MODELS="$home/store" \
    $(value ExecStart "$user_unit" | sed "s|%h|$home|g")) 2>"$home.log" &
  daemon=$!
  wait_for "$home/ollama-view"
  as test-member ls "$home/ollama-view/models" >"$home.log"
  for user in test-other ollama root; do may_not_look $user "$home/ollama-view"; done
  stop TERM
  [ "$status" -eq 0 ] || fail "exit status $status"
  [ ! -e "$home/ollama-view" ] || fail "the mount point is still there"
}

# --- All of them ---

passed=0
failed=0
# shellcheck disable=SC2013  # a word a line
for name in $(sed -n 's/^test_\([a-z_]*\)() {$/\1/p' "$0"); do
  home=$work/$name
  mkdir "$home"
  : >"$home.log"
  set +e
  (set -e && "test_$name") >"$home.why" 2>&1
  status=$?
  set -e
  if [ $status -eq 0 ]; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    echo "FAILED: $name"
    sed 's/^/  /' "$home.why"
  fi
  pkill -KILL -x ollamafs || true
  umount --all --lazy --types fuse.ollamafs
  rm -rf /run/ollamafs
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
