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

// Tells of a file whether it is a part by its content: of the row's first, of what is before it in
// the row, and of the file in question, which need not exist.
using IsPart =
    std::function<bool(const std::filesystem::path& first, const std::filesystem::path& before,
                       const std::filesystem::path& next)>;

// Puts the parts of one file together, sorted by their numbers, with those between them and behind
// the last that are there as well. Every path is in one group. Throws TransferError::not_found if a
// part is missing between others.
[[nodiscard]] std::vector<std::vector<std::filesystem::path>> group_parts(
    const std::vector<std::filesystem::path>& paths, const IsPart& is_part);

}  // namespace ollamafs
