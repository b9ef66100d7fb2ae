#pragma once

#include <string_view>

namespace ollamafs {

// Whether `is` says so of a path or of one that leads to it: of "a", "a/b" and "a/b/c" for "a/b/c".
template <class Predicate>
[[nodiscard]] bool any_on_the_way(std::string_view path, Predicate&& is) {
  for (auto end = path.find('/'); end != path.npos; end = path.find('/', end + 1)) {
    if (is(path.substr(0, end))) return true;
  }
  return is(path);
}

}  // namespace ollamafs
