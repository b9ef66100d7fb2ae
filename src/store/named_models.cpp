#include "src/store/named_models.h"

#include <fmt/format.h>

#include <algorithm>
#include <variant>

#include "src/say/exit_status.h"
#include "store/base/text.h"
#include "store/catalog/model_query.h"

namespace ollamafs {
namespace {

std::string shown(const std::vector<const Model*>& models) {
  std::vector<std::string> names;
  names.reserve(models.size());
  for (const Model* model : models) names.push_back(model->shown);
  return fmt::format("{}", fmt::join(names, ", "));
}

[[noreturn]] void refuse(const std::string& typed, const UnknownName& unknown) {
  const std::string help = unknown.nearest.empty()
                               ? "`ollamafs list` names the models of the store"
                               : fmt::format("did you mean {}?", fmt::join(unknown.nearest, ", "));
  throw CommandError{fmt::format("there is no model {} in the store\n{}", printable(typed), help),
                     ExitStatus::not_found};
}

[[noreturn]] void refuse(const std::string& typed, const std::vector<const Model*>& candidates) {
  throw CommandError{
      fmt::format("{} stands for several models: {}", printable(typed), shown(candidates)),
      ExitStatus::usage};
}

std::vector<const Model*> models_of(const Catalog& catalog, const std::string& typed) {
  const ModelQueryResult result = find_models(catalog, typed);
  if (const auto* unknown = std::get_if<UnknownName>(&result)) refuse(typed, *unknown);
  if (const auto* several = std::get_if<AmbiguousName>(&result)) refuse(typed, several->candidates);
  return std::get<FoundModels>(result);
}

}  // namespace

std::vector<const Model*> named_models(const Catalog& catalog,
                                       const std::vector<std::string>& typed) {
  std::vector<const Model*> named;
  for (const std::string& name : typed) {
    for (const Model* model : models_of(catalog, name)) {
      if (std::ranges::find(named, model) == named.end()) named.push_back(model);
    }
  }
  return named;
}

const Model& named_model(const Catalog& catalog, const std::string& typed) {
  const std::vector<const Model*> models = models_of(catalog, typed);
  if (models.size() > 1) refuse(typed, models);
  return *models.front();
}

}  // namespace ollamafs
