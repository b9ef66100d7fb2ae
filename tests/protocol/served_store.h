#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "fs/serve/file_system.h"
#include "fs/views/views.h"
#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {

// A store of a test's own and the real file system that shows it.
class ServedStore {
 public:
  using Fill = std::function<void(const StoreBuilder&)>;

  explicit ServedStore(const Fill& fill, std::chrono::milliseconds hold = {})
      : builder_{filled(dir_ / "models", fill)},
        store_{builder_.root(), OutsideLinks::refuse},
        fs_{store_,
            scan(),
            BlobLimits{},
            [this](const std::string& message) {
              const std::scoped_lock lock{mutex_};
              complaints_.push_back(message);
            },
            [](const CacheNotices&) {},
            hold} {}

  [[nodiscard]] const StoreBuilder& builder() const noexcept { return builder_; }
  [[nodiscard]] FileSystem& fs() noexcept { return fs_; }

  // The store as it is on disk now.
  [[nodiscard]] std::shared_ptr<const Tree> scan(const Tree* previous = nullptr) const {
    TreeOptions options;
    options.awake = ViewSet::all();
    options.store = &store_;
    return build_tree(Catalog::read(store_), options, {"/view", builder_.root()}, previous);
  }

  // Shows the store as it is on disk now.
  void rescan() { fs_.publish(scan(fs_.find(kRootInode).tree.get())); }

  // Where the blob of a layer is on disk.
  [[nodiscard]] std::filesystem::path blob(const LayerSpec& layer) const {
    return builder_.blob_path(*Digest::parse(layer.digest));
  }

  // What was said of blobs that turned bad.
  [[nodiscard]] std::vector<std::string> complaints() {
    const std::scoped_lock lock{mutex_};
    return complaints_;
  }

 private:
  static StoreBuilder filled(const std::filesystem::path& root, const Fill& fill) {
    StoreBuilder builder{root};
    fill(builder);
    return builder;
  }

  TempDir dir_;
  StoreBuilder builder_;
  StoreDir store_;
  std::mutex mutex_;
  std::vector<std::string> complaints_;
  FileSystem fs_;
};

// The name of a layer's blob in a model's directory.
inline std::string blob_name(const LayerSpec& layer) {
  return Digest::parse(layer.digest)->blob_name();
}

}  // namespace ollamafs::test
