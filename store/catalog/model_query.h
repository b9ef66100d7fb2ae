#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "store/catalog/catalog.h"

namespace ollamafs {

// What a typed name stands for in a catalog. Pointers are to models of the catalog and live as long
// as that.

// One model, or with wildcards all that match, in the order of Catalog::models(). Never empty.
using FoundModels = std::vector<const Model*>;

// Several models, which differ only in the case of their names. None of them may be guessed.
struct AmbiguousName {
  std::vector<const Model*> candidates;  // in the order of Catalog::models()
};

// No model. For "did you mean".
struct UnknownName {
  std::vector<std::string> nearest;  // shown names, at most five, the nearest first; may be empty
};

using ModelQueryResult = std::variant<FoundModels, AmbiguousName, UnknownName>;

// Finds what a person means by `typed`, which may be any text. In this order it is
//   - the name that `list` shows,
//   - another spelling of that: without the tag if it is "latest", with the public host or the
//     default namespace, with a scheme ("https://"), or as in the view, which writes '+' for the
//     colon of the tag and "%3A" for others,
//   - one of these in another case, as Ollama takes it too (docs/store-format.md §2).
// A model that is stored under two spellings is the one which is shown without its host.
//
// With '*', '?' or '[' in it, `typed` is a pattern as of a shell (fnmatch(3); '*' also stands for
// '/') of shown names in any case; without a tag it also means those whose tag is "latest".
[[nodiscard]] ModelQueryResult find_models(const Catalog& catalog, std::string_view typed);

// The one model that find_models() finds, or null if there is none or are several.
[[nodiscard]] const Model* find_model(const Catalog& catalog, std::string_view typed);

}  // namespace ollamafs
