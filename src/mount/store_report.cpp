#include "src/mount/store_report.h"

#include <fmt/format.h>

#include <set>
#include <utility>

#include "store/base/text.h"

namespace ollamafs {
namespace {

constexpr std::size_t kMostLines = 20;

// What is wrong in a store: of each model or file that is, its name and a sentence that goes on
// from it.
using Wrongs = std::set<std::pair<std::string, std::string>>;

Wrongs wrongs_of(const Catalog& catalog) {
  Wrongs wrongs;
  for (const Model& model : catalog.models()) {
    if (!model.whole())
      wrongs.emplace(model.shown, fmt::format("is broken: {}", model.faults.front().text));
  }
  for (const Problem& problem : catalog.problems()) wrongs.emplace(problem.path, problem.text);
  return wrongs;
}

}  // namespace

std::vector<std::string> store_news(const Catalog& before, const Catalog& now) {
  const Wrongs known = wrongs_of(before);
  std::vector<std::string> lines;
  if (now.is_gone() && !before.is_gone())
    lines.emplace_back("the store is gone: nothing can be copied until it is back");
  if (before.is_gone() && !now.is_gone()) lines.emplace_back("the store is back");
  std::size_t left = 0;
  for (const auto& wrong : wrongs_of(now)) {
    if (known.contains(wrong)) continue;
    if (lines.size() < kMostLines) {
      lines.push_back(fmt::format("{} {}", printable(wrong.first), wrong.second));
    } else {
      ++left;
    }
  }
  if (left > 0) lines.push_back(fmt::format("and {} more: see `ollamafs list`", left));
  return lines;
}

}  // namespace ollamafs
