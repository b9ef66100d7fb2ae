#!/bin/bash
# The mount exported as the README says, by the kernel's own NFS server, to a client on loopback.
# usage: nfs_server_test.sh PROGRAM MAKE-STORE NFS-PROGRAMS, as root in a machine of its own
# (scripts/in-vm), whose root directory forgets.
set -euo pipefail
program=$1 make_store=$2 tools=$3
store=/srv/store view=/srv/view client=/mnt

fail() { echo "FAILED: $*"; exit 1; }
grep -qw ollamafs.vm /proc/cmdline || fail "this changes the machine that it runs on: scripts/test nfs"

# For ten seconds.
eventually() {
  for _ in $(seq 50); do
    ! "$@" || return 0
    sleep 0.2
  done
  return 1
}

mount_view() { "$program" mount --store "$store" "$view" -o allow_other >/dev/null 2>&1; }
daemon() { pgrep -nf "$program mount"; }
has() { find "$client/models" -maxdepth 1 -name "$1" | grep -q .; }
sums() { (cd "$1" && find . -type f -exec sha256sum {} + | sort -k 2); }

# What the client has read, it reads again.
forget_content() {
  sync
  echo 3 >/proc/sys/vm/drop_caches
}

modprobe -a fuse nfsd nfsv4
find "$tools" -path '*/sbin/*' -exec cp {} /usr/sbin/ \;
mount -t tmpfs srv /srv
mount -t tmpfs nfs /var/lib/nfs 2>/dev/null || { mkdir -p /var/lib/nfs && mount -t tmpfs nfs /var/lib/nfs; }
mkdir -p /var/lib/nfs/v4recovery /run/rpc_pipefs "$view"
touch /var/lib/nfs/etab /var/lib/nfs/rmtab
mount -t nfsd nfsd /proc/fs/nfsd
"$make_store" "$store" >/dev/null
mount_view || fail "mount"

# The line of the README, and the root of what NFSv4 shows, which this machine's / cannot be.
cat >/etc/exports <<EOF
/srv 127.0.0.1(ro,fsid=0,no_subtree_check)
$view 127.0.0.1(ro,fsid=77,no_subtree_check,mountpoint)
EOF
rpc.mountd -N 3 -F 2>/dev/null &
exportfs -a
rpc.nfsd -N 3 4
eventually mount -t nfs4 -o ro 127.0.0.1:/view "$client" 2>/dev/null || fail "the client cannot mount"

echo "every file has its bytes"
sums "$view" >/tmp/here
sums "$client" >/tmp/there
cmp /tmp/here /tmp/there || fail "other bytes"
[ "$(wc -l </tmp/there)" -ge 90 ] || fail "few files"

echo "rsync copies a model whole"
rsync -rt "$client/models/llama3.2+3b/" /tmp/copy/
[ "$(sums /tmp/copy)" = "$(sums "$view/models/llama3.2+3b")" ] || fail "another copy"

echo "what comes is seen"
library=$store/manifests/registry.ollama.ai/library
mkdir "$library/comes"
cp "$library/llama3.2/3b" "$library/comes/new"
eventually has comes+new || fail "the new model is not seen"

echo "what goes is seen, when it is not in use any more"
mkdir "$library/goes"
sed 's/{/{ /' "$library/llama3.2/3b" >"$library/goes/soon"
eventually has goes+soon || fail "not seen"
rm -r "$library/goes"
gone() { find "$client/models" -maxdepth 1 >/tmp/names && ! grep -q /goes+soon /tmp/names; }
for _ in $(seq 12); do ! eventually gone || break; done
gone || fail "it is there still"

echo "a client reads on over a daemon's end by SIGTERM"
sums "$view" >/tmp/here
archive=archives/llama3.2+3b.tar
forget_content
exec 5<"$client/$archive"
head -c 100000 <&5 >/tmp/part
kill -TERM "$(daemon)"
eventually mount_view || fail "mount again"
exportfs -f
forget_content
cat <&5 >>/tmp/part || fail "the open file"
cmp /tmp/part "$view/$archive" || fail "other bytes in the open file"
forget_content
sums "$client" >/tmp/there
cmp /tmp/here /tmp/there || fail "other bytes"
exec 5<&-
echo "all passed on Linux $(uname -r)"
