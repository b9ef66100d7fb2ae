#include "store/layout/file_names.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <string_view>
#include <tuple>

#include "store/base/text.h"

namespace ollamafs {
namespace {

constexpr std::size_t kLongestName = 200;  // bytes, so that a number and a suffix find room

bool is_plain(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '_' || c == '-' || c == '+' || c == '=';
}

// Names that Windows keeps for devices, whatever stands behind their first dot.
bool is_device(std::string_view name) {
  const std::string stem = lower_case(name.substr(0, name.find('.')));
  constexpr std::array<std::string_view, 4> devices = {"con", "prn", "aux", "nul"};
  if (std::ranges::find(devices, stem) != devices.end()) return true;
  return stem.size() == 4 && (stem.starts_with("com") || stem.starts_with("lpt")) &&
         stem[3] >= '0' && stem[3] <= '9';
}

// A name out of a manifest as one component that every system takes; empty if nothing is left.
std::string tame(std::string_view name) {
  std::string tamed{name.substr(0, kLongestName)};
  for (char& c : tamed) {
    if (!is_plain(c)) c = '_';
  }
  const std::size_t first = tamed.find_first_not_of(".-");
  tamed.erase(0, first == std::string::npos ? tamed.size() : first);
  while (tamed.ends_with('.')) tamed.pop_back();
  if (is_device(tamed)) tamed.insert(0, "_");
  return tamed;
}

// Gives each name once, without regard to case: the second gets "-2" before its suffix.
class UniqueNames {
 public:
  explicit UniqueNames(const std::vector<std::string>& taken) {
    for (const std::string& name : taken) taken_.insert(lower_case(name));
  }

  std::string take(const std::string& folder, const std::string& stem, const std::string& suffix) {
    std::string path = folder + stem + suffix;
    for (unsigned number = 2; !taken_.insert(lower_case(path)).second; ++number) {
      path = fmt::format("{}{}-{}{}", folder, stem, number, suffix);
    }
    return path;
  }

 private:
  std::set<std::string> taken_;
};

class Namer {
 public:
  Namer(const StoredManifest& manifest, const std::vector<std::string>& taken)
      : manifest_{manifest}, unique_{taken} {
    shards_ = std::ranges::count_if(
        manifest.layers, [](const StoredLayer& layer) { return layer.kind == LayerKind::model; });
  }

  FileNames name_all() && {
    FileNames names;
    names.layers.reserve(manifest_.layers.size());
    std::map<std::tuple<std::string_view, std::string_view, Digest>, std::string> named;
    for (std::size_t i = 0; i < manifest_.layers.size(); ++i) {
      const StoredLayer& layer = manifest_.layers[i];
      if (!layer.digest) {
        names.layers.emplace_back();
        continue;
      }
      const auto [it, is_new] = named.try_emplace({layer.media_type, layer.name, *layer.digest});
      if (is_new) it->second = name_of(layer, i);
      names.layers.push_back(it->second);
    }
    if (manifest_.config) names.config = unique_.take("", "config", ".json");
    return names;
  }

 private:
  std::string name_of(const StoredLayer& layer, std::size_t index) {
    switch (layer.kind) {
      case LayerKind::model:
        if (shards_ == 1) return unique_.take("", "model", ".gguf");
        return unique_.take("", fmt::format("model-{:05}-of-{:05}", ++shard_, shards_), ".gguf");
      case LayerKind::projector:
        return unique_.take("", "mmproj", ".gguf");
      case LayerKind::adapter:
        return unique_.take("extra/", "adapter", ".gguf");
      case LayerKind::draft:
        return unique_.take("extra/", "draft", ".gguf");
      case LayerKind::tensor:
        return own_name("tensors/", layer, index, ".safetensors");
      case LayerKind::json:
        return own_name("", layer, index, ".json");
      case LayerKind::template_:
      case LayerKind::prompt:
        return unique_.take("", "template", ".txt");
      case LayerKind::system:
        return unique_.take("", "system", ".txt");
      case LayerKind::params:
        return unique_.take("", "params", ".json");
      case LayerKind::messages:
        return unique_.take("", "messages", ".json");
      case LayerKind::license:
        return unique_.take("", "license", ".txt");
      case LayerKind::embed:
      case LayerKind::unknown:
        break;
    }
    return unique_.take("", fmt::format("layer-{}", index + 1), ".bin");
  }

  std::string own_name(const std::string& folder, const StoredLayer& layer, std::size_t index,
                       const std::string& suffix) {
    std::string stem = tame(layer.name);
    if (stem.ends_with(suffix)) stem.resize(stem.size() - suffix.size());
    if (stem.empty()) stem = fmt::format("layer-{}", index + 1);
    return unique_.take(folder, stem, suffix);
  }

  const StoredManifest& manifest_;
  UniqueNames unique_;
  std::ptrdiff_t shards_ = 0;
  unsigned shard_ = 0;
};

}  // namespace

FileNames file_names(const StoredManifest& manifest, const std::vector<std::string>& taken) {
  return Namer{manifest, taken}.name_all();
}

}  // namespace ollamafs
