#!/bin/sh
# Models go by way of a disk's exFAT, NTFS and FAT32 into another store: disks_test.sh BUILD
#
# Images of such disks, made and mounted in a mount and a process namespace of its own, which end with
# it. The kernel's drivers are taken where there are any, else those of user space; of these fusefat
# keeps no times, by which rsync goes: on it there is only cp.
set -eu

. "$(dirname "$0")/machine.sh"
in_namespaces "$@"
mount -t tmpfs -o mode=0755 none "$work"
ollamafs=$build/src/ollamafs
store=$work/store
view=$work/view
disk=$work/disk
model=llama3.2+3b

failed=0
fail() {
  echo "FAILED: $kind: $*" >&2
  failed=1
}

"$build/tests/support/make-store" "$store" >/dev/null
mkdir "$view" "$disk"
"$ollamafs" mount --store "$store" -o split=1M "$view" 2>"$work/err" || { cat "$work/err" >&2; exit 1; }

# The models of a store by name and ID.
ids() { "$ollamafs" list --store "$1" --json | sed -n 's/^ *"\(name\|id\)": "\(.*\)",$/\2/p' | paste - - | sort; }
ids "$store" | grep '^llama3.2:3b	' >"$work/wanted"

in_kernel() {
  modprobe -q "$1" 2>/dev/null || true
  grep -qw "$1" /proc/filesystems
}

make_disk() {
  image=$work/$kind.image
  truncate -s 600M "$image"
  case $kind in
    exfat) mkfs.exfat "$image" ;;
    ntfs) mkntfs -F -Q -q "$image" ;;
    fat32) mkfs.vfat -F 32 "$image" ;;
  esac >"$work/mkfs.out" 2>&1 || { cat "$work/mkfs.out" >&2; exit 1; }
}

plug_in() {
  device=$(losetup --find --show "$image")
  case $kind in
    exfat) if in_kernel exfat; then mount -t exfat "$device" "$disk"; else mount.exfat-fuse "$device" "$disk"; fi ;;
    ntfs) ntfs-3g "$device" "$disk" ;;
    fat32) if in_kernel vfat; then mount -t vfat -o utf8 "$device" "$disk"; else fusefat -o rw+ "$device" "$disk"; fi ;;
  esac >"$work/mount.out" 2>&1 || { cat "$work/mount.out" >&2; losetup --detach "$device"; exit 1; }
}

# A driver of user space writes its last when the mount is gone already.
pull_out() {
  umount "$disk"
  while pgrep -f "^[^ ]*\(exfat-fuse\|ntfs-3g\|fusefat\) .*$device" >/dev/null; do sleep 0.1; done
  losetup --detach "$device"
}

# What rsync would do once more: nothing. What it says of folders alone is of no account.
moves_nothing() {
  rsync -rti "$@" >"$work/moved" || fail "rsync once more: $*"
  grep '^[<>c.][fL]' "$work/moved" && fail "moved again by: rsync $*"
  return 0
}

# arrives SOURCE...: imported from the disk, into a new store and once more.
arrives() {
  rm -rf "$work/other"
  for _ in first again; do
    "$ollamafs" import --quiet "$@" --store "$work/other" || fail "import $*"
  done
  ids "$work/other" | cmp -s - "$work/wanted" || fail "another model by $*: $(ids "$work/other")"
  "$ollamafs" verify --quiet --store "$work/other" || fail "not whole by $*"
}

copy_by_cp() {
  cp "$view/archives/$model.tar" "$disk/copied.tar" || fail "cp of the archive"
  cp -r "$view/models/$model" "$disk/copied" || fail "cp -r of the model"
  cp -r "$view/archives/$model.tar.parts" "$disk/copied.parts" || fail "cp -r of the parts"
}

# By rsync, or once more.
sync_all() {
  "$@" "$view/archives/$model.tar" "$disk/" || fail "rsync of the archive"
  "$@" "$view/models/$model/" "$disk/$model/" || fail "rsync of the model"
  "$@" "$view/archives/$model.tar.parts/" "$disk/$model.tar.parts/" || fail "rsync of the parts"
}

# back NAME: what is on the disk under this name is the model.
back() {
  cmp "$view/archives/$model.tar" "$disk/$1.tar" || fail "another archive $1"
  diff -r "$view/models/$model" "$disk/$1" || fail "another model $1"
  arrives "$disk/$1.tar"
  arrives "$disk/$1"
  arrives "$disk/$2"
}

# And as from a stick into a folder.
back_by_rsync() {
  rm -rf "$work/back"
  rsync -rt "$disk/$model/" "$work/back/" || fail "rsync back"
  moves_nothing "$disk/$model/" "$work/back/"
  "$ollamafs" verify --quiet --store "$work/back" || fail "not whole by rsync back"
  ids "$work/back" | cmp -s - "$work/wanted" || fail "another model by rsync back"
}

for kind in exfat ntfs fat32; do
  make_disk
  plug_in
  driver=$(findmnt -n -o FSTYPE "$disk")
  copy_by_cp
  [ "$driver" = fuse.fusefat ] || sync_all rsync -rt
  pull_out
  plug_in
  back copied copied.parts
  [ "$(find "$disk/copied.parts" -type f | wc -l)" -ge 3 ] || fail "few parts"
  if [ "$driver" != fuse.fusefat ]; then
    sync_all moves_nothing
    back "$model" "$model.tar.parts"
    back_by_rsync
  fi
  pull_out
  rm "$image"
  echo "$kind, by $driver: done"
done

"$ollamafs" umount "$view"
[ "$failed" -eq 0 ]
echo "all passed"
