#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ollamafs {

// What a daemon says of its mount, as the value of kStatusAttribute (docs/view.md §2), and what
// `ollamafs status` reads there.
struct MountReport {
  std::string store;     // its path
  bool is_gone = false;  // the store
  std::uint64_t models = 0;
  std::uint64_t broken = 0;                  // how many of them
  std::vector<std::string> broken_models{};  // the first of those, as `ollama list` names them
  std::optional<bool> passthrough{};         // nothing: no blob was opened so far
  std::string access{};                      // a sentence about that
  std::int64_t since = 0;                    // seconds since the epoch
  std::uint64_t bytes_read = 0;  // through the daemon; the kernel's own reads it cannot see
  std::int64_t pid = 0;          // the daemon's, in its own namespace
  std::string version{};

  void add_broken(const std::string& model);
};

// As JSON, of a few kilobytes at most.
[[nodiscard]] std::string to_json(const MountReport& report);

// Nothing if it is none.
[[nodiscard]] std::optional<MountReport> to_mount_report(std::string_view text);

}  // namespace ollamafs
