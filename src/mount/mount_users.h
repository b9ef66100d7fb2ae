#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace ollamafs {

// Who keeps the mount at `path` busy, as far as /proc lets this user see: "bash (pid 812)", each
// process once, by its number. Goes by the names of what is open, mapped or worked in, and asks the
// mount itself nothing: its daemon may hang. What is seen through a bind mount has another name,
// and is not found.
[[nodiscard]] std::vector<std::string> users_of_mount(const std::filesystem::path& path);

}  // namespace ollamafs
