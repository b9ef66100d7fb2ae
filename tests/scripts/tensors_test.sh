#!/bin/sh
# The model.safetensors of an MLX model, read through the mount by what is not ours: Python, and where
# this release of Debian has it the safetensors library itself. tensors_test.sh BUILD
set -eu
here=$(dirname "$0")
. "$here/machine.sh"
in_namespaces "$@"

"$build/tests/support/make-store" --tensors 300 "$work/store" >/dev/null
mkdir "$work/view"
"$build/src/ollamafs" mount --store "$work/store" "$work/view" 2>/dev/null

python3 "$here/read_tensors.py" "$work/view/contents" >"$work/read"
cat "$work/read"
if apt-cache --quiet=2 search --names-only '^python3-safetensors$' | grep -q .; then
  grep -q 'by the library too' "$work/read" # it must not be left out where it can be had
fi

# A blob that is no safetensors file leaves no file that looks like one.
blob=$(readlink -f "$work/store/blobs/sha256-$(cd "$work/view/contents/bulk/tensors+latest" &&
  sed -n 's/^\([0-9a-f]*\)  tensors.*/\1/p;T;q' SHA256SUMS)")
size=$(stat -c %s "$blob")
umount "$work/view"
head -c "$size" /dev/zero >"$blob"
"$build/src/ollamafs" mount --store "$work/store" "$work/view" 2>/dev/null
if cp "$work/view/contents/bulk/tensors+latest/model.safetensors" "$work/copy" 2>"$work/says"; then
  echo "a file of damaged tensors was copied" >&2
  exit 1
fi
grep -q 'Input/output error' "$work/says"
[ ! -s "$work/copy" ]
umount "$work/view"
