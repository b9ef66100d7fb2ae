# shellcheck shell=sh
# A store as Ollama leaves it that has pulled a model; read with `.`, not run.

# blob STORE: stores what it is given, and prints the digest and the size.
blob() {
  cat >"$1/blobs/new"
  hex=$(sha256sum "$1/blobs/new" | cut -c -64)
  mv "$1/blobs/new" "$1/blobs/sha256-$hex"
  printf '"digest":"sha256:%s","size":%s' "$hex" "$(stat -c %s "$1/blobs/sha256-$hex")"
}

# number BYTE: as 64 bits.
number() {
  # shellcheck disable=SC2059  # an octal number
  printf "\\$1\\000\\000\\000\\000\\000\\000\\000"
}

# weights: a GGUF file of 3 MB that says its architecture, and that no other model has.
weights() {
  printf 'GGUF\003\000\000\000'
  number 000 # tensors
  number 001 # key
  number 024
  printf 'general.architecture\010\000\000\000'
  number 005
  printf 'llama'
  head -c 3000000 /dev/urandom
}

# pulled STORE NAME TAG: puts a model of the library there.
pulled() {
  mkdir -p "$1/blobs" "$1/manifests/registry.ollama.ai/library/$2"
  type=application/vnd
  config=$(printf '{"model_format":"gguf"}' | blob "$1")
  weights=$(weights | blob "$1")
  printf '{"schemaVersion":2,"mediaType":"%s","config":{"mediaType":"%s",%s},"layers":[{"mediaType":"%s",%s}]}' \
    $type.docker.distribution.manifest.v2+json $type.docker.container.image.v1+json "$config" \
    $type.ollama.image.model "$weights" >"$1/manifests/registry.ollama.ai/library/$2/$3"
}
