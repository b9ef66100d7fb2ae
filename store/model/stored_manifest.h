#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "store/model/digest.h"
#include "store/model/layer_kind.h"
#include "store/model/manifest.h"
#include "store/model/problem.h"

namespace ollamafs {

// A blob as a manifest asks for it.
struct BlobRef {
  Digest digest;
  std::uint64_t size;  // bytes, as the manifest says

  auto operator<=>(const BlobRef&) const noexcept = default;
};

// A layer of a manifest, as the manifest says it. Models of one tensor per layer have thousands, so
// that this has no text of its own: the views point into StoredManifest::layer_text.
struct StoredLayer {
  std::optional<Digest> digest;  // none: what stands there is no SHA-256 digest, which is a fault
  LayerKind kind = LayerKind::unknown;
  std::int64_t size = 0;          // bytes; one that is negative is a fault
  std::string_view media_type{};  // of any kind
  std::string_view name{};        // of a tensor or a file, in safetensors models; else empty
};

// A runnable manifest with its exact bytes, and what the store must hold for it. Immutable; all
// tags that lead to one manifest blob share it.
struct StoredManifest {
  std::string bytes;
  Digest digest;  // of `bytes`: the model's ID, as Ollama >= 0.40 computes it
  std::string media_type;
  std::string runner;  // as in Manifest
  std::optional<Digest> config;
  std::vector<StoredLayer> layers;                // in the manifest's order, all of them
  std::shared_ptr<const std::string> layer_text;  // what their views point into; copies share it
  std::vector<BlobRef> blobs;    // config and layers, each digest once, sorted by digest
  bool is_anchor = false;        // layers are manifests: of the v1 tree, docs/store-format.md §3.2
  std::int64_t listed_size = 0;  // bytes; SIZE in `ollama list`, docs/store-format.md §6
  Faults faults;                 // what it names that no store could hold; printable lines

  // Takes over a parsed manifest. Never fails: what cannot be right becomes a fault.
  [[nodiscard]] static std::shared_ptr<const StoredManifest> from(std::string bytes,
                                                                  const Manifest& manifest);

  // Stands for a manifest of which only the digest is known, because its blob is gone.
  [[nodiscard]] static std::shared_ptr<const StoredManifest> lost(const Digest& digest,
                                                                  Faults faults);
};

}  // namespace ollamafs
