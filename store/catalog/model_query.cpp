#include "store/catalog/model_query.h"

#include <fnmatch.h>

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <optional>
#include <tuple>
#include <utility>

#include "store/model/model_name.h"

namespace ollamafs {
namespace {

// ---- spellings ----

// `typed` without a scheme, and as `list` writes it if it is spelled as in the view. Neither '+'
// nor '%' is in Ollama's grammar (docs/store-format.md §2), so no name is lost.
std::string as_listed(std::string_view typed) {
  if (const auto scheme = typed.find("://"); scheme != typed.npos) typed.remove_prefix(scheme + 3);
  std::string name{typed};
  for (std::size_t at = 0; (at = name.find('%', at)) != name.npos; ++at) {
    if (equal_fold(name.substr(at, 3), "%3A")) name.replace(at, 3, ":");
  }
  if (const auto plus = name.rfind('+'); plus != name.npos) name[plus] = ':';
  return name;
}

// Where the colon of the tag is; a colon left of the last slash is a port's.
std::size_t tag_colon(std::string_view name) {
  const auto slash = name.rfind('/');
  const auto colon = name.rfind(':');
  return slash != name.npos && colon != name.npos && colon < slash ? name.npos : colon;
}

const Model* model_shown_as(const Catalog& catalog, std::string_view shown) {
  const auto models = catalog.models();
  const auto it = std::ranges::lower_bound(models, view_name(shown), {}, &Model::view_name);
  return it != models.end() && it->shown == shown ? &*it : nullptr;
}

template <class Predicate>
std::vector<const Model*> models_where(const Catalog& catalog, Predicate predicate) {
  std::vector<const Model*> found;
  for (const Model& model : catalog.models()) {
    if (predicate(model)) found.push_back(&model);
  }
  return found;
}

// ---- patterns ----

bool is_pattern(std::string_view name) {
  return name.find_first_of("*?[") != name.npos;
}

bool matches(const std::string& pattern, const Model& model) {
  return ::fnmatch(pattern.c_str(), model.shown.c_str(), FNM_NOESCAPE | FNM_CASEFOLD) == 0;
}

std::vector<const Model*> models_like(const Catalog& catalog, const std::string& pattern) {
  const bool has_tag = tag_colon(pattern) != pattern.npos;
  const std::string latest = pattern + ":" + std::string{ModelName::kDefaultTag};
  return models_where(catalog, [&](const Model& model) {
    return matches(pattern, model) || (!has_tag && matches(latest, model));
  });
}

// ---- the nearest names ----

// How many characters must be typed, deleted or replaced to get from one text to the other, in
// whatever case; `most` + 1 if it is more than `most`.
std::size_t edit_distance(std::string_view a, std::string_view b, std::size_t most) {
  if (std::max(a.size(), b.size()) - std::min(a.size(), b.size()) > most) return most + 1;
  std::vector<std::size_t> row(b.size() + 1);  // of the first characters of a: to each start of b
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i + 1);
    for (std::size_t j = 0; j < b.size(); ++j) {
      const bool same = equal_fold(a.substr(i, 1), b.substr(j, 1));
      const std::size_t replaced = diagonal + (same ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
    }
  }
  return std::min(row.back(), most + 1);
}

// A name in two parts, of which the second may be missing.
struct Split {
  std::string_view model;  // with host and namespace
  std::optional<std::string_view> tag;
};

Split tag_apart(std::string_view name) {
  const auto colon = tag_colon(name);
  if (colon == name.npos) return {name, std::nullopt};
  return {name.substr(0, colon), name.substr(colon + 1)};
}

// Sorts the nearest to the front: a mistyped tag says less than a mistyped model.
struct Near {
  std::size_t model;  // edit distances
  std::size_t tag;
  std::string_view shown;

  auto operator<=>(const Near&) const = default;
};

std::vector<std::string> nearest_names(const Catalog& catalog, std::string_view name) {
  constexpr std::size_t kMostNames = 5;
  constexpr std::size_t kMostEdits = 3;
  const Split typed = tag_apart(name);
  const std::size_t most = std::clamp<std::size_t>(typed.model.size() / 4, 1, kMostEdits);
  std::vector<Near> near;
  for (const Model& model : catalog.models()) {
    const Split shown = tag_apart(model.shown);
    std::size_t distance = edit_distance(typed.model, shown.model, most);
    if (distance > most && typed.model.find('/') == typed.model.npos) {
      // The namespace may have been left out.
      const auto behind = shown.model.substr(shown.model.rfind('/') + 1);
      distance = edit_distance(typed.model, behind, most);
    }
    if (distance > most) continue;
    const std::size_t of_tag =
        typed.tag && shown.tag ? edit_distance(*typed.tag, *shown.tag, kMostEdits) : 0;
    near.push_back({distance, of_tag, model.shown});
  }
  std::ranges::sort(near);
  near.resize(std::min(near.size(), kMostNames));
  std::vector<std::string> names;
  names.reserve(near.size());
  for (const Near& one : near) names.emplace_back(one.shown);
  return names;
}

}  // namespace

ModelQueryResult find_models(const Catalog& catalog, std::string_view typed) {
  const std::string name = as_listed(typed);
  if (is_pattern(name)) {
    auto found = models_like(catalog, name);
    if (found.empty()) return UnknownName{};
    return found;
  }
  if (const Model* const model = model_shown_as(catalog, name)) return FoundModels{model};
  const auto parsed = ModelName::parse(name);
  if (!parsed) return UnknownName{nearest_names(catalog, name)};
  const std::string display = parsed->display();
  if (const Model* const model = model_shown_as(catalog, display)) return FoundModels{model};
  auto found =
      models_where(catalog, [&](const Model& model) { return equal_fold(model.shown, display); });
  if (found.empty()) return UnknownName{nearest_names(catalog, name)};
  if (found.size() > 1) return AmbiguousName{std::move(found)};
  return found;
}

const Model* find_model(const Catalog& catalog, std::string_view typed) {
  const ModelQueryResult result = find_models(catalog, typed);
  const auto* const found = std::get_if<FoundModels>(&result);
  return found && found->size() == 1 ? found->front() : nullptr;
}

}  // namespace ollamafs
