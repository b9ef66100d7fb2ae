#pragma once

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

namespace ollamafs::test {

// What a program may take at most that has something bad to read: it must not hang.
inline constexpr std::chrono::seconds kSoon{60};

// How often `what` occurs in `text`.
[[nodiscard]] std::size_t count(const std::string& text, const std::string& what);

// What `ollamafs list` says of a store, to people and to machines. Throws unless its status is 0.
[[nodiscard]] std::string list(const std::filesystem::path& store);
[[nodiscard]] nlohmann::json list_json(const std::filesystem::path& store);

// The names in a directory.
[[nodiscard]] std::set<std::string> names_in(const std::filesystem::path& folder);

}  // namespace ollamafs::test
