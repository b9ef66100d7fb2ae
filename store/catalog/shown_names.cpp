#include "store/catalog/shown_names.h"

#include <fmt/format.h>

#include <algorithm>
#include <climits>
#include <string_view>
#include <tuple>

namespace ollamafs {
namespace {

// An archive's name has this behind it.
constexpr std::size_t kSuffix = std::string_view{".tar"}.size();

bool fits_in_names(std::string_view path) {
  for (;;) {
    const std::size_t slash = path.find('/');
    const bool last = slash == std::string_view::npos;
    if (path.substr(0, slash).size() + (last ? kSuffix : 0) > NAME_MAX) return false;
    if (last) return true;
    path.remove_prefix(slash + 1);
  }
}

// The one that keeps a displayed name comes before the others that display alike.
bool comes_before(const Model& a, const Model& b) {
  if (const int order = a.shown.compare(b.shown); order != 0) return order < 0;
  return std::tuple{!a.name.is_canonical(), std::string_view{a.tag_path}} <
         std::tuple{!b.name.is_canonical(), std::string_view{b.tag_path}};
}

}  // namespace

void assign_shown_names(std::vector<Model>& models, std::vector<Problem>& problems) {
  for (Model& model : models) model.shown = model.name.display();
  std::ranges::sort(models, comes_before);
  std::string previous;
  for (Model& model : models) {
    if (model.shown == previous) {
      model.shown = model.name.full();
      problems.push_back(
          {ProblemKind::renamed,
           {},
           model.tag_path,
           fmt::format("is shown as {}: another spelling has the name {}", model.shown, previous)});
    } else {
      previous = model.shown;
    }
    model.view_name = view_name(model.shown);
  }
  std::erase_if(models, [&](const Model& model) {
    if (fits_in_names(model.view_name)) return false;
    problems.push_back({ProblemKind::unshowable,
                        {},
                        model.tag_path,
                        fmt::format("cannot be shown: a part of its name has more than {} bytes",
                                    NAME_MAX - kSuffix)});
    return true;
  });
}

}  // namespace ollamafs
