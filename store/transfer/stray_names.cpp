#include "store/transfer/stray_names.h"

#include <algorithm>
#include <array>

namespace ollamafs {

bool is_stray_name(std::string_view name) noexcept {
  using namespace std::string_view_literals;
  static constexpr std::array whole = {"lost+found"sv,      "System Volume Information"sv,
                                       "$RECYCLE.BIN"sv,    ".DS_Store"sv,
                                       ".Spotlight-V100"sv, ".fseventsd"sv,
                                       ".Trashes"sv};
  static constexpr std::array beginnings = {"._"sv, ".Trash-"sv, ".ollama-split-"sv,
                                            "ollama-safetensors"sv};
  return std::ranges::find(whole, name) != whole.end() ||
         std::ranges::any_of(beginnings,
                             [name](std::string_view one) { return name.starts_with(one); });
}

bool has_stray_name(std::string_view path) noexcept {
  while (!path.empty()) {
    const std::size_t slash = std::min(path.find('/'), path.size());
    if (is_stray_name(path.substr(0, slash))) return true;
    path.remove_prefix(std::min(slash + 1, path.size()));
  }
  return false;
}

}  // namespace ollamafs
