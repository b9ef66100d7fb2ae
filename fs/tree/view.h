#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace ollamafs {

// The parts of the tree that -o views= chooses from. Each is a directory, and a file in fs/views.
enum class View : std::uint8_t { models, archives, contents, ollama, huggingface, lmstudio, oci };

struct ViewName {
  View view;
  std::string_view path;  // below the root of the mount
};
inline constexpr std::array kViewNames{ViewName{View::models, "models"},
                                       ViewName{View::archives, "archives"},
                                       ViewName{View::contents, "contents"},
                                       ViewName{View::ollama, "layouts/ollama"},
                                       ViewName{View::huggingface, "layouts/huggingface"},
                                       ViewName{View::lmstudio, "layouts/lmstudio"},
                                       ViewName{View::oci, "layouts/oci"}};

// The view with this path, if there is one.
[[nodiscard]] constexpr std::optional<View> view_at(std::string_view path) noexcept {
  for (const ViewName& named : kViewNames) {
    if (named.path == path) return named.view;
  }
  return std::nullopt;
}

// Some of the views.
class ViewSet {
 public:
  constexpr ViewSet() noexcept = default;

  [[nodiscard]] static constexpr ViewSet all() noexcept {
    ViewSet set;
    for (const ViewName& named : kViewNames) set.add(named.view);
    return set;
  }

  constexpr void add(View view) noexcept { bits_ |= bit(view); }
  [[nodiscard]] constexpr bool has(View view) const noexcept { return (bits_ & bit(view)) != 0; }
  [[nodiscard]] constexpr bool empty() const noexcept { return bits_ == 0; }

  bool operator==(const ViewSet&) const noexcept = default;

 private:
  static constexpr std::uint32_t bit(View view) noexcept {
    return 1U << static_cast<unsigned>(view);
  }

  std::uint32_t bits_ = 0;
};

}  // namespace ollamafs
