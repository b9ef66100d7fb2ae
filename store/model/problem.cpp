#include "store/model/problem.h"

#include <array>
#include <cstddef>

namespace ollamafs {
namespace {

// By kind.
constexpr std::array<std::string_view, 22> kNames = {
    "missing",      "not-a-file", "outside",    "unreadable",   "damaged",    "wrong-size",
    "bad-manifest", "bad-digest", "bad-size",   "no-child",     "in-doubt",   "stray-file",
    "nested",       "directory",  "bad-name",   "foreign-link", "unlistable", "hidden",
    "passed-over",  "renamed",    "unshowable", "followed",
};
static_assert(kNames.size() == static_cast<std::size_t>(ProblemKind::followed) + 1);

}  // namespace

std::string_view to_string(ProblemKind kind) noexcept {
  return kNames[static_cast<std::size_t>(kind)];
}

ProblemKind problem_kind(const std::error_code& ec) noexcept {
  if (ec == std::errc::no_such_file_or_directory) return ProblemKind::missing;
  if (ec == std::errc::invalid_argument || ec == std::errc::too_many_symbolic_link_levels) {
    return ProblemKind::not_a_file;
  }
  if (ec == std::errc::cross_device_link) return ProblemKind::outside;
  return ProblemKind::unreadable;
}

}  // namespace ollamafs
