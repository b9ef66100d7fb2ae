#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "tests/soak/crew.h"
#include "tests/support/store_builder.h"

namespace ollamafs::test {

// A few models, each of which has one of a few versions at a time, or none. All share some blobs.
class ChangingStore {
 public:
  static constexpr std::size_t kModels = 6;

  explicit ChangingStore(const std::filesystem::path& root);

  [[nodiscard]] const std::filesystem::path& root() const noexcept { return store_.root(); }

  // The name of a model in the view, or of any.
  [[nodiscard]] static std::string shown(std::size_t model);
  [[nodiscard]] static std::string shown(Random& random) { return shown(random() % kModels); }

  // As `ollama pull`, `rm` and `cp` do, and as an old server that writes in place.
  void change(Random& random) const;

  // Gives every model some version, and every blob's file a new time, as after a repair.
  void repair() const;

  // Whether that is the archive of a version of some model.
  [[nodiscard]] bool had(const std::string& archive) const { return archives_.contains(archive); }

 private:
  [[nodiscard]] std::string archive_now(std::size_t model) const;

  StoreBuilder store_;
  std::vector<ManifestSpec> versions_;
  std::set<std::string> archives_;
};

// What the file has; nothing if it cannot be opened or read to its end.
[[nodiscard]] std::optional<std::string> try_to_read(const std::filesystem::path& file);

}  // namespace ollamafs::test
