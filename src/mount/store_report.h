#pragma once

#include <string>
#include <vector>

#include "store/catalog/catalog.h"

namespace ollamafs {

// What is wrong in the store `now` that was not wrong `before`, for the log: a printable line for
// each broken model and for each problem, by name. Where much is wrong, the first 20 lines and one
// that counts the rest.
[[nodiscard]] std::vector<std::string> store_news(const Catalog& before, const Catalog& now);

}  // namespace ollamafs
