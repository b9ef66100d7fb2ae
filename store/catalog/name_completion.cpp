#include "store/catalog/name_completion.h"

#include <array>
#include <optional>
#include <utility>

#include "store/catalog/model_query.h"
#include "store/model/model_name.h"

namespace ollamafs {
namespace {

using Spellings = std::array<std::string, 6>;

Spellings spellings_of(const Model& model) {
  const ModelName& name = model.name;
  std::string with_namespace = name.name_space() + "/" + name.model() + ":" + name.tag();
  std::string full = name.full();
  std::string as_viewed = view_name(with_namespace);
  std::string full_as_viewed = view_name(full);
  return {model.shown,          model.view_name, std::move(with_namespace),
          std::move(as_viewed), std::move(full), std::move(full_as_viewed)};
}

// The name that begins as it was typed and goes on as the model is spelled.
std::optional<std::string> completed(const Catalog& catalog, const Model& model,
                                     std::string_view scheme, std::string_view typed) {
  for (const std::string& spelling : spellings_of(model)) {
    if (!equal_fold(std::string_view{spelling}.substr(0, typed.size()), typed)) continue;
    std::string name{scheme};
    name += typed;
    name += std::string_view{spelling}.substr(typed.size());
    // Not if that means another model, or may mean several: "CASE" where there are Case and case.
    if (find_model(catalog, name) == &model) return name;
  }
  return std::nullopt;
}

}  // namespace

std::vector<std::string> complete_name(const Catalog& catalog, std::string_view typed) {
  std::string_view scheme;
  if (const auto at = typed.find("://"); at != typed.npos) {
    scheme = typed.substr(0, at + 3);
    typed.remove_prefix(scheme.size());
  }
  std::vector<std::string> names;
  for (const Model& model : catalog.models()) {
    if (auto name = completed(catalog, model, scheme, typed)) names.push_back(std::move(*name));
  }
  return names;
}

}  // namespace ollamafs
