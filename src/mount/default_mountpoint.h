#pragma once

#include <filesystem>

namespace ollamafs {

// Where it is mounted if nobody says where: ollama-view in the home of who mounts, or of who called
// sudo to do so. Throws CommandError if that user has no home.
[[nodiscard]] std::filesystem::path default_mountpoint();

}  // namespace ollamafs
