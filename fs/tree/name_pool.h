#pragma once

#include <algorithm>
#include <memory_resource>
#include <string_view>

namespace ollamafs {

// Keeps names, one behind the other: they are small and many, and go all at once.
class NamePool {
 public:
  // A view of `name` that lives as long as the pool. Behind it is a NUL, for libfuse.
  std::string_view add(std::string_view name) {
    auto* const kept = static_cast<char*>(memory_.allocate(name.size() + 1, 1));
    *std::ranges::copy(name, kept).out = '\0';
    return {kept, name.size()};
  }

 private:
  std::pmr::monotonic_buffer_resource memory_;
};

}  // namespace ollamafs
