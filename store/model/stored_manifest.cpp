#include "store/model/stored_manifest.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <string_view>
#include <utility>

#include "store/base/text.h"

namespace ollamafs {
namespace {

constexpr std::int64_t kMaxSize = std::numeric_limits<std::int64_t>::max();

// Long enough for every digest and media type that is one; what is longer is not worth a long line.
std::string excerpt(std::string_view text) {
  return printable(text.substr(0, 96));
}

class Collector {
 public:
  explicit Collector(StoredManifest& out) : out_{out} {}

  std::optional<Digest> add(std::string_view what, const Layer& layer) {
    if (layer.size > 0 && out_.listed_size > kMaxSize - layer.size) {
      out_.listed_size = kMaxSize;
    } else if (layer.size > 0) {
      out_.listed_size += layer.size;
    }
    const auto digest = Digest::parse(layer.digest);
    if (!digest) {
      fault(ProblemKind::bad_digest, {}, "{} names no blob: \"{}\" is not a SHA-256 digest", what,
            excerpt(layer.digest));
    } else if (layer.size < 0) {
      fault(ProblemKind::bad_size, digest, "{} has a negative size, {}", what, layer.size);
    } else {
      out_.blobs.push_back({*digest, static_cast<std::uint64_t>(layer.size)});
    }
    return digest;
  }

  // Leaves every digest once. The same blob cannot have two sizes.
  void finish() {
    auto& blobs = out_.blobs;
    std::ranges::sort(blobs);
    blobs.erase(std::ranges::unique(blobs).begin(), blobs.end());
    for (std::size_t i = 1; i < blobs.size(); ++i) {
      if (blobs[i].digest == blobs[i - 1].digest) {
        fault(ProblemKind::bad_size, blobs[i].digest,
              "the manifest gives blob {} two sizes, {} and {} bytes", blobs[i].digest.blob_name(),
              blobs[i - 1].size, blobs[i].size);
      }
    }
    const auto repeated = std::ranges::unique(blobs, {}, &BlobRef::digest);
    blobs.erase(repeated.begin(), repeated.end());
    check_total();
  }

 private:
  template <class... Args>
  void fault(ProblemKind kind, const std::optional<Digest>& digest,
             fmt::format_string<Args...> text, Args&&... args) {
    out_.faults.push_back({kind, digest, fmt::format(text, std::forward<Args>(args)...)});
  }

  // Half of what a file offset can express leaves room for the archive's headers and padding.
  void check_total() {
    std::uint64_t left = static_cast<std::uint64_t>(kMaxSize) / 2;
    for (const BlobRef& blob : out_.blobs) {
      if (blob.size > left) {
        fault(ProblemKind::bad_size, {}, "its blobs are larger than any file can be");
        return;
      }
      left -= blob.size;
    }
  }

  StoredManifest& out_;
};

// The names of all layers and their media types, but for those that every program knows, one after
// the other.
std::shared_ptr<const std::string> text_of(const std::vector<Layer>& layers) {
  std::string text;
  for (const Layer& layer : layers) {
    text += layer.name;
    if (layer_kind(layer.media_type) == LayerKind::unknown) text += layer.media_type;
  }
  text.shrink_to_fit();
  return std::make_shared<const std::string>(std::move(text));
}

// `text` is text_of() from this layer on; what belongs to the layer is cut off.
StoredLayer to_stored(const Layer& layer, std::optional<Digest> digest, std::string_view& text) {
  const auto cut = [&](std::size_t size) {
    const std::string_view piece = text.substr(0, size);
    text.remove_prefix(size);
    return piece;
  };
  StoredLayer stored{.digest = digest, .kind = layer_kind(layer.media_type), .size = layer.size};
  stored.name = cut(layer.name.size());
  stored.media_type = stored.kind == LayerKind::unknown ? cut(layer.media_type.size())
                                                        : ollamafs::media_type(stored.kind);
  return stored;
}

}  // namespace

std::shared_ptr<const StoredManifest> StoredManifest::from(std::string bytes,
                                                           const Manifest& manifest) {
  auto stored = std::make_shared<StoredManifest>();
  stored->digest = Digest::of(bytes);
  stored->bytes = std::move(bytes);
  stored->media_type = manifest.media_type;
  stored->runner = manifest.runner;
  Collector collector{*stored};
  if (!manifest.config.digest.empty())
    stored->config = collector.add("its config", manifest.config);
  stored->layers.reserve(manifest.layers.size());
  stored->layer_text = text_of(manifest.layers);
  std::string_view text = *stored->layer_text;
  for (const Layer& layer : manifest.layers) {
    stored->is_anchor |= is_manifest_type(layer.media_type);
    const std::string what =
        fmt::format("layer {} ({})", stored->layers.size() + 1, excerpt(layer.media_type));
    stored->layers.push_back(to_stored(layer, collector.add(what, layer), text));
  }
  collector.finish();
  return stored;
}

std::shared_ptr<const StoredManifest> StoredManifest::lost(const Digest& digest, Faults faults) {
  auto stored = std::make_shared<StoredManifest>();
  stored->digest = digest;
  stored->faults = std::move(faults);
  return stored;
}

}  // namespace ollamafs
