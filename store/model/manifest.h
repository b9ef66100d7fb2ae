#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace ollamafs {

// What a manifest or a list says, read with the leniency of Ollama's own decoder
// (docs/store-format.md §4): unknown fields are ignored, keys match in any case, missing and null
// fields are zero, versions and media types are not checked. A field of the wrong JSON type is an
// error.

// One blob that a manifest names. Nothing here is checked against the disk, nor is the digest.
struct Layer {
  std::string media_type;
  std::string digest;     // as spelled in the manifest
  std::int64_t size = 0;  // bytes
  std::string name;       // of a tensor or a file, in safetensors models; else empty
};

// A runnable manifest.
struct Manifest {
  std::string media_type;
  std::string runner;  // "ggml", "llamacpp", "mlx", or empty
  Layer config;        // its digest is empty if there is no config
  std::vector<Layer> layers;
};

// One entry of a list: a manifest blob by its digest, or the manifest itself (docs/store-format.md
// §3.3).
struct ListEntry {
  std::string media_type;
  std::string digest;       // as spelled; empty if the manifest is inline
  std::string runner;       // as in Manifest
  std::string inline_json;  // the exact bytes of an inline manifest; empty if it is a blob
};

// A list of manifests for one name: one child per runner.
struct ManifestList {
  std::string media_type;
  std::vector<ListEntry> entries;
};

using AnyManifest = std::variant<Manifest, ManifestList>;

// Why bytes are neither a manifest nor a list. what() is one line, without the file's name.
class ManifestError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// No manifest that Ollama writes comes near this: the largest known, of 1,209 layers, has 252 kB.
constexpr std::uint64_t kMaxManifestBytes = 16u << 20;

// Nor near this.
constexpr std::size_t kMaxLayers = 65'536;

// As deep as Ollama's own JSON decoder goes.
constexpr std::size_t kMaxManifestDepth = 10'000;

// Whether a layer of this media type is a manifest or a list of them.
[[nodiscard]] bool is_manifest_type(std::string_view media_type) noexcept;

// The media type of a list.
constexpr std::string_view kManifestListType = "application/vnd.ollama.manifest.list.v2+json";

// Parses the whole of `json`. Throws ManifestError if it is not one JSON object, is nested deeper
// than kMaxManifestDepth, has more than kMaxLayers layers or manifests, has a known field of the
// wrong type, or names neither a config nor layers nor manifests.
[[nodiscard]] AnyManifest parse_manifest(std::string_view json);

}  // namespace ollamafs
