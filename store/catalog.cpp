#include "store/catalog.h"

#include <algorithm>

namespace ollamafs {

std::span<const std::uint32_t> Catalog::users(std::uint32_t blob) const noexcept {
  return std::span{users_}.subspan(users_start_[blob], users_start_[blob + 1] - users_start_[blob]);
}

const Model* Catalog::find(std::string_view shown) const noexcept {
  const auto it = std::ranges::find(models_, shown, &Model::shown);
  return it == models_.end() ? nullptr : &*it;
}

}  // namespace ollamafs
