#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace ollamafs {

// Files that were split: "x.tar.part00", "x.tar.part01", …; "x.001", …; "x.tar.aa", … (split(1)).

// The name that comes after `name` in such a row; nothing if it is no name of a part.
[[nodiscard]] std::optional<std::string> next_part(const std::string& name);

// Puts the parts of one file together, in their order: paths that follow each other, and behind the
// last the parts that `exists` has as well. Every path is in one group.
[[nodiscard]] std::vector<std::vector<std::filesystem::path>> group_parts(
    const std::vector<std::filesystem::path>& paths,
    const std::function<bool(const std::filesystem::path&)>& exists);

}  // namespace ollamafs
