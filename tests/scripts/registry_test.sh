#!/bin/sh
# Models go from layouts/oci into a registry and back, by oras and skopeo: registry_test.sh BUILD
#
# Debian's docker-registry on loopback. In a mount and a process namespace of its own, which end with it.
set -eu

. "$(dirname "$0")/machine.sh"
in_namespaces "$@"
mount -t tmpfs -o mode=0755 none "$work"
ollamafs=$build/src/ollamafs
store=$work/store
view=$work/view
layouts=$view/layouts/oci

failed=0
fail() {
  echo "FAILED: $*" >&2
  failed=1
}

export HOME="$work/home" # no settings, no passwords
mkdir -p "$HOME" "$view"
"$build/tests/support/make-store" "$store" >/dev/null
"$ollamafs" mount --store "$store" "$view" 2>"$work/err" || { cat "$work/err" >&2; exit 1; }

export no_proxy=127.0.0.1 NO_PROXY=127.0.0.1
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
registry=127.0.0.1:$port
cat >"$work/registry.yml" <<END
version: 0.1
log: { level: error, accesslog: { disabled: true } }
storage: { filesystem: { rootdirectory: $work/registry } }
http: { addr: "$registry" }
END
docker-registry serve "$work/registry.yml" >"$work/registry.log" 2>&1 &
for _ in $(seq 100); do
  ! curl -sSf "http://$registry/v2/" >/dev/null 2>&1 || break
  sleep 0.1
done
curl -sSf "http://$registry/v2/" >/dev/null || { cat "$work/registry.log" >&2; exit 1; }

# digest_in LAYOUT TAG: of the manifest that index.json has under the tag.
digest_in() {
  python3 - "$1/index.json" "$2" <<'END'
import json, sys
for manifest in json.load(open(sys.argv[1]))["manifests"]:
    if manifest["annotations"]["org.opencontainers.image.ref.name"] == sys.argv[2]:
        print(manifest["digest"])
END
}

# run COMMAND...: quietly, unless it fails.
run() { "$@" >"$work/out" 2>&1 </dev/null || { fail "$*: $(cat "$work/out")"; return 1; }; }

# same_blobs LAYOUT COPY DIGEST: the copy has all that this manifest names, byte for byte.
same_blobs() {
  python3 - "$@" <<'END' || fail "$2 lacks something"
import hashlib, json, sys
layout, copy, digest = sys.argv[1:]
def read(folder, digest):
    return open(f"{folder}/blobs/sha256/{digest[7:]}", "rb").read()
manifest = json.loads(read(copy, digest))
for each in [digest, manifest["config"]["digest"], *(layer["digest"] for layer in manifest["layers"] or [])]:
    content = read(copy, each)
    assert content == read(layout, each) and hashlib.sha256(content).hexdigest() == each[7:], each
END
}

# A registry's names are of small letters, and have no port in them.
repository_of() { echo "$1" | tr '[:upper:]' '[:lower:]' | sed 's/%3a/_/g; s/+.*//'; }

models=0
find "$layouts" -name oci-layout >"$work/layouts"
while read -r file; do
  layout=${file%/oci-layout}
  name=${layout#"$layouts/"}
  tag=${name#*+}
  repository=$registry/$(repository_of "$name")
  models=$((models + 1))
  for ref in "$tag" "$tag-modelpack"; do
    digest=$(digest_in "$layout" "$ref")
    run oras cp --from-oci-layout "$layout:$ref" --to-plain-http "$repository:$ref" || continue
    [ "$(oras resolve --plain-http "$repository:$ref")" = "$digest" ] || fail "another digest: $name $ref"
    rm -rf "$work/back"
    run oras cp --from-plain-http "$repository:$ref" --to-oci-layout "$work/back:$ref" || continue
    [ "$(digest_in "$work/back" "$ref")" = "$digest" ] || fail "another digest came back: $name $ref"
    same_blobs "$layout" "$work/back" "$digest"
  done

  # Ollama's own manifest is the model's: so is its ID.
  own=sha256:$(find "$view/models/$name/manifests" -type f -exec cat {} + | sha256sum | cut -c -64)
  [ "$(digest_in "$layout" "$tag")" = "$own" ] || fail "not the model's manifest: $name"

  # skopeo takes the other one.
  digest=$(digest_in "$layout" "$tag-modelpack")
  run skopeo copy --insecure-policy --dest-tls-verify=false "oci:$layout:$tag-modelpack" \
    "docker://$repository:by-skopeo" || continue
  [ "sha256:$(skopeo inspect --raw --tls-verify=false "docker://$repository:by-skopeo" | sha256sum | cut -c -64)" = "$digest" ] ||
    fail "another digest by skopeo: $name"
  rm -rf "$work/back"
  run skopeo copy --insecure-policy --src-tls-verify=false "docker://$repository:by-skopeo" "oci:$work/back:by-skopeo" || continue
  same_blobs "$layout" "$work/back" "$digest"
done <"$work/layouts"
[ "$models" -ge 9 ] || fail "only $models layouts"

# Files by their names, as the model pack tells them.
run oras pull --plain-http -o "$work/files" "$registry/llama3.2:3b-modelpack"
cmp "$work/files/model.gguf" "$view/contents/llama3.2+3b/model.gguf" || fail "oras pull: other weights"

"$ollamafs" umount "$view"
if [ "$failed" -ne 0 ]; then
  tail -n 20 "$work/registry.log" >&2
  exit 1
fi
echo "$models passed, 0 failed with $(oras version | sed -n 's/^Version: *//p'), $(skopeo --version)"
