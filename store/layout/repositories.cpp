#include "store/layout/repositories.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <string_view>
#include <utility>

#include "store/base/text.h"

namespace ollamafs {
namespace {

constexpr bool is_mark(char c) noexcept {
  return c == '-' || c == '.';
}

// As hubs allow it. It begins with no mark before, so that something is left.
std::string hub_name(std::string_view text) {
  std::string name;
  name.reserve(text.size());
  for (const char c : text) {
    if (!is_mark(c) || !is_mark(name.back())) name += c == ':' ? '_' : c;
  }
  while (is_mark(name.back())) name.pop_back();
  return name;
}

bool is_hugging_face(const ModelName& name) {
  return equal_fold(name.host(), "hf.co") || equal_fold(name.host(), "huggingface.co");
}

// Whose names come first.
enum class Origin : std::uint8_t { hugging_face, public_registry, other };

Origin origin_of(const ModelName& name) {
  if (is_hugging_face(name)) return Origin::hugging_face;
  return name.is_public() ? Origin::public_registry : Origin::other;
}

// What tells one repository from all others.
using Key = std::array<std::string, 4>;

Key key_of(const ModelName& name) {
  const Origin origin = origin_of(name);
  return {std::to_string(static_cast<int>(origin)),
          origin == Origin::other ? lower_case(name.host()) : "", lower_case(name.name_space()),
          lower_case(name.model())};
}

using OwnerAndName = std::pair<std::string, std::string>;

// Long enough for every host that there is. A file's name has 255 bytes at most.
constexpr std::size_t kLongestHost = 60;

OwnerAndName with_host(const ModelName& name) {
  return {hub_name(std::string_view{name.host()}.substr(0, kLongestHost)),
          hub_name(name.name_space() + "." + name.model())};
}

OwnerAndName without_host(const ModelName& name) {
  const bool is_default =
      name.is_public() && equal_fold(name.name_space(), ModelName::kDefaultNamespace);
  return {hub_name(is_default ? ModelName::kDefaultNamespace : name.name_space()),
          hub_name(name.model())};
}

// Gives owners and names that no other repository has.
class FreeNames {
 public:
  OwnerAndName take(const ModelName& name) {
    if (origin_of(name) != Origin::other) {
      if (OwnerAndName names = without_host(name); is_new(names)) return names;
    }
    const OwnerAndName names = with_host(name);
    OwnerAndName numbered = names;
    for (unsigned number = 2; !is_new(numbered); ++number) {
      numbered.second = fmt::format("{}-{}", names.second, number);
    }
    return numbered;
  }

 private:
  bool is_new(const OwnerAndName& names) {
    return taken_.insert(lower_case(names.first + "/" + names.second)).second;
  }

  std::set<std::string> taken_;
};

// What the names of a model's files begin with.
std::string stem_of(const ModelName& name) {
  constexpr std::string_view kGguf = "-gguf";
  std::string stem = name.model();
  if (is_hugging_face(name) && lower_case(stem).ends_with(kGguf)) {
    stem.resize(stem.size() - kGguf.size());
  }
  return stem + "-" + name.tag();
}

std::vector<RepositoryFile> files_of(const Catalog& catalog, const Model& model,
                                     const std::string& stem) {
  std::vector<RepositoryFile> files;
  const auto& layers = model.manifest->layers;
  files.reserve(layers.size());
  const auto shards = std::ranges::count(layers, LayerKind::model, &StoredLayer::kind);
  int shard = 0, projectors = 0;
  for (const StoredLayer& layer : layers) {
    std::string name;
    if (layer.kind == LayerKind::model) {
      name = shards == 1 ? stem : fmt::format("{}-{:05}-of-{:05}", stem, ++shard, shards);
    } else if (layer.kind == LayerKind::projector) {
      name = "mmproj-" + stem;
      if (++projectors > 1) name += fmt::format("-{}", projectors);
    } else {
      continue;
    }
    files.push_back({name + ".gguf", *catalog.blob_index(*layer.digest)});
  }
  return files;
}

bool has_weights(const Model& model) {
  return std::ranges::find(model.manifest->layers, LayerKind::model, &StoredLayer::kind) !=
         model.manifest->layers.end();
}

// Puts the files of the models of one repository together.
class Filler {
 public:
  Filler(const Catalog& catalog, Repository& repository)
      : catalog_{catalog}, repository_{repository} {}

  void add(const Model& model) {
    const std::string stem = stem_of(model.name);
    auto files = files_of(catalog_, model, stem);
    for (unsigned number = 2; !are_new(files); ++number) {
      files = files_of(catalog_, model, fmt::format("{}-{}", stem, number));
    }
    for (RepositoryFile& file : files) {
      taken_.insert(lower_case(file.name));
      repository_.files.push_back(std::move(file));
    }
  }

 private:
  [[nodiscard]] bool are_new(const std::vector<RepositoryFile>& files) const {
    return std::ranges::none_of(files, [this](const RepositoryFile& file) {
      return taken_.contains(lower_case(file.name));
    });
  }

  const Catalog& catalog_;
  Repository& repository_;
  std::set<std::string> taken_;
};

}  // namespace

std::vector<Repository> repositories(const Catalog& catalog) {
  std::map<Key, std::vector<const Model*>> models;
  for (const Model& model : catalog.models()) {
    if (model.whole() && has_weights(model)) models[key_of(model.name)].push_back(&model);
  }
  std::vector<Repository> all;
  all.reserve(models.size());
  FreeNames names;
  for (const auto& [key, tags] : models) {
    auto [owner, name] = names.take(tags.front()->name);
    all.push_back({std::move(owner), std::move(name), {}});
    Filler filler{catalog, all.back()};
    for (const Model* const model : tags) filler.add(*model);
  }
  return all;
}

}  // namespace ollamafs
