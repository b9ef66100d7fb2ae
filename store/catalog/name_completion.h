#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "store/catalog/catalog.h"

namespace ollamafs {

// What `typed` may become when a model's name is completed: of each model of the catalog the first
// of its spellings that begins with it. Spellings are, in this order, the name that `list` shows,
// the same as in the view, and both of it with its namespace, and with its host too; behind a
// scheme if `typed` has one.
//
// What was typed is kept, in whatever case: each result begins with it, and find_model() finds the
// model by it. In the order of Catalog::models().
[[nodiscard]] std::vector<std::string> complete_name(const Catalog& catalog,
                                                     std::string_view typed);

}  // namespace ollamafs
