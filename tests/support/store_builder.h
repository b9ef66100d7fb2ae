#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "store/model/digest.h"
#include "store/model/model_name.h"

namespace ollamafs::test {

// The media types of Ollama's layers (docs/store-format.md §4).
inline constexpr const char* kModelType = "application/vnd.ollama.image.model";
inline constexpr const char* kProjectorType = "application/vnd.ollama.image.projector";
inline constexpr const char* kAdapterType = "application/vnd.ollama.image.adapter";
inline constexpr const char* kTemplateType = "application/vnd.ollama.image.template";
inline constexpr const char* kSystemType = "application/vnd.ollama.image.system";
inline constexpr const char* kParamsType = "application/vnd.ollama.image.params";
inline constexpr const char* kLicenseType = "application/vnd.ollama.image.license";
inline constexpr const char* kTensorType = "application/vnd.ollama.image.tensor";
inline constexpr const char* kJsonType = "application/vnd.ollama.image.json";
inline constexpr const char* kConfigType = "application/vnd.docker.container.image.v1+json";
inline constexpr const char* kManifestType = "application/vnd.docker.distribution.manifest.v2+json";
inline constexpr const char* kListType = "application/vnd.ollama.manifest.list.v2+json";

// A layer of a manifest that is being written.
struct LayerSpec {
  std::string media_type;
  std::string digest;  // as the manifest spells it
  std::int64_t size = 0;
  std::string name{};  // of a tensor or file
  std::string from{};
};

// A manifest that is being written, in the compact form in which Ollama writes it.
struct ManifestSpec {
  std::optional<LayerSpec> config;
  std::vector<LayerSpec> layers;
  bool null_layers = false;  // "layers":null, as models without layers have it
  std::string runner{};      // with a format, of lists' children
  std::string format{};
  std::string end{};  // "\n" behind manifests that were created here

  [[nodiscard]] std::string json() const;
};

// Bytes that look like weights: the same for the same seed, everywhere.
[[nodiscard]] std::string random_bytes(std::uint64_t seed, std::size_t size);

void write_file(const std::filesystem::path& path, std::string_view bytes);
[[nodiscard]] std::string read_file(const std::filesystem::path& path);

// Writes a models folder as Ollama servers do.
class StoreBuilder {
 public:
  // Makes `root` with an empty blobs/.
  explicit StoreBuilder(std::filesystem::path root);

  [[nodiscard]] const std::filesystem::path& root() const noexcept { return root_; }
  [[nodiscard]] std::filesystem::path blob_path(const Digest& digest) const;
  [[nodiscard]] std::filesystem::path v1_path(const ModelName& name) const;
  [[nodiscard]] std::filesystem::path v2_path(const ModelName& name) const;

  // Writes a blob and returns the layer that names it.
  LayerSpec layer(const std::string& media_type, std::string_view content) const;

  // A sparse blob of `size` bytes, a few of them not zero. Its digest is made up from `seed`.
  LayerSpec sparse_layer(const std::string& media_type, std::uint64_t size,
                         std::uint64_t seed) const;

  // Writes a manifest and returns its digest. v2 writes the manifest's blob and a symlink to it, or
  // with `copy` a regular file as on file systems without symlinks.
  Digest v1(std::string_view name, const ManifestSpec& manifest) const;
  Digest v1_bytes(std::string_view name, std::string_view bytes) const;
  Digest v2(std::string_view name, const ManifestSpec& manifest, bool copy = false) const;
  Digest v2_bytes(std::string_view name, std::string_view bytes, bool copy = false) const;

  // A plain model: weights, template, params, config. The same seed makes the same weights.
  [[nodiscard]] ManifestSpec text_model(std::uint64_t seed, std::size_t weights = 100'000) const;

  // The list of manifests whose digests and runners are given.
  struct Child {
    Digest digest;
    std::string runner;
    std::string format;
  };
  [[nodiscard]] static std::string list_json(const std::vector<Child>& children);

 private:
  std::filesystem::path root_;
};

}  // namespace ollamafs::test
