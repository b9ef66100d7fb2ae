#pragma once

#include <string>
#include <vector>

#include "store/catalog/catalog.h"

namespace ollamafs {

// The models that were typed, each once, in the order typed; all of a pattern in the order of the
// catalog. See find_models() for what may be typed. Pointers are to models of the catalog. Throws
// CommandError for the first name that stands for none (not_found, with the nearest names) or for
// several (usage, with the candidates).
[[nodiscard]] std::vector<const Model*> named_models(const Catalog& catalog,
                                                     const std::vector<std::string>& typed);

// The one model that was typed. As above; a pattern that means several is CommandError as well.
[[nodiscard]] const Model& named_model(const Catalog& catalog, const std::string& typed);

}  // namespace ollamafs
