#pragma once

#include <sys/types.h>

#include <filesystem>
#include <functional>
#include <optional>
#include <string>

namespace ollamafs {

// The mount that this process has made, wherever it is by now. Others may have moved it, hidden it
// under another, or unmounted it and mounted something else in its place: that is never touched.
class OwnMount {
 public:
  // The mount that was just made at `path`, which is absolute and without symlinks. Throws
  // std::system_error if the mount table cannot be read.
  explicit OwnMount(const std::filesystem::path& path);

  // Takes it out of the tree, at all its places; what is open of it can still be read. Nothing
  // happens if it is gone already. `is_connected` tells whether the kernel still has the connection
  // to it. Returns what stood in the way, a printable line.
  [[nodiscard]] std::optional<std::string> detach(const std::function<bool()>& is_connected) const;

 private:
  std::optional<dev_t> device_;  // nothing: it was gone at once
};

}  // namespace ollamafs
