#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <filesystem>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include "store/base/unique_fd.h"
#include "tests/mounted/mount.h"
#include "tests/mounted/walk.h"

namespace ollamafs::test {

// A mount with one file of every kind, for calls that all of them must answer alike.
class EveryFile : public ::testing::Test, public TwoRelatives {
 protected:
  EveryFile() {
    write_two_relatives();
    mount_.emplace(store.root());
  }

  [[nodiscard]] std::string blob() const {
    return *mount_ / ("models/first+latest/blobs/" + digest_of(first.layers[0]).blob_name());
  }
  [[nodiscard]] std::string manifest() const {
    return *mount_ / "models/first+latest/manifests/registry.ollama.ai/library/first/latest";
  }
  [[nodiscard]] std::string archive() const { return *mount_ / "archives/first+latest.tar"; }
  [[nodiscard]] std::string readme() const { return *mount_ / "README.txt"; }

  [[nodiscard]] std::vector<std::string> files() const {
    return {blob(), manifest(), archive(), readme()};
  }
  [[nodiscard]] std::vector<std::string> directories() const {
    return {mount_->path(), *mount_ / "models", *mount_ / "archives",
            *mount_ / "models/first+latest", *mount_ / "models/first+latest/blobs"};
  }
  [[nodiscard]] std::vector<std::string> all() const {
    auto all = files();
    const auto more = directories();
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }

  static UniqueFd opened(const std::string& path, int flags = 0) {
    UniqueFd fd{::open(path.c_str(), O_RDONLY | O_CLOEXEC | flags)};
    if (!fd) throw std::system_error{errno, std::generic_category(), path};
    return fd;
  }

  std::optional<Mount> mount_;
};

}  // namespace ollamafs::test
