#!/bin/sh
# npm's @huggingface/hub over layouts/huggingface: tests/clients/hub.sh BUILD
#
# Fetches the package from the network, and so is run by hand (docs/clients.md).
set -eu

. "$(dirname "$0")/../scripts/machine.sh"
here=$(cd "$(dirname "$0")" && pwd)
command -v npm >/dev/null || { echo "needs npm, of Debian's package of that name" >&2; exit 1; }
if [ "${2-}" != inside ]; then
  modules=$(mktemp -d)
  export modules
  (cd "$modules" && npm install --silent --no-fund @huggingface/hub)
fi
in_namespaces "$@"
trap 'rm -rf "$modules"' EXIT
"$build/tests/support/make-store" "$work/store"
mkdir "$work/view"
"$build/src/ollamafs" mount --store "$work/store" "$work/view"
node "$here/hub.mjs" "$work/view/layouts/huggingface" "$modules"
npm --prefix "$modules" ls @huggingface/hub | tail -n 2
umount "$work/view"
