#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

#include "tests/protocol/fake_kernel.h"

namespace ollamafs::test {

// A file that the kernel has open until the end of the scope. Throws std::system_error if it cannot
// be opened.
class OpenedFile {
 public:
  OpenedFile(FakeKernel& kernel, std::uint64_t node) : kernel_{kernel}, node_{node} {
    const auto answer = kernel.open(node);
    if (answer.error != 0) throw std::system_error{answer.error, std::generic_category(), "open"};
    handle_ = answer.value.fh;
  }
  OpenedFile(FakeKernel& kernel, const std::filesystem::path& path)
      : OpenedFile{kernel, kernel.walk(path)} {}
  ~OpenedFile() { close(); }
  OpenedFile(const OpenedFile&) = delete;
  OpenedFile& operator=(const OpenedFile&) = delete;

  [[nodiscard]] std::uint64_t node() const noexcept { return node_; }
  [[nodiscard]] std::uint64_t handle() const noexcept { return handle_; }

  Answer<std::string> read(std::uint64_t offset, std::uint32_t size) {
    return kernel_.read(node_, handle_, offset, size);
  }

  void close() {
    if (handle_ == 0) return;
    EXPECT_EQ(kernel_.release(node_, handle_), 0);
    handle_ = 0;
  }

 private:
  FakeKernel& kernel_;
  std::uint64_t node_;
  std::uint64_t handle_ = 0;
};

// A directory that is listed piece by piece. There is nothing to open: it has no handle.
class ListedDirectory {
 public:
  ListedDirectory(FakeKernel& kernel, std::uint64_t node) : kernel_{kernel}, node_{node} {}
  ListedDirectory(FakeKernel& kernel, const std::filesystem::path& path)
      : ListedDirectory{kernel, kernel.walk(path)} {}

  [[nodiscard]] std::uint64_t node() const noexcept { return node_; }

  // One request by FUSE_READDIR or FUSE_READDIRPLUS.
  Answer<std::vector<ListedName>> piece(std::uint32_t opcode, std::uint64_t offset,
                                        std::uint32_t size) {
    return opcode == FUSE_READDIR ? kernel_.readdir(node_, offset, size)
                                  : kernel_.readdirplus(node_, offset, size);
  }

  // All that comes from `offset` on, asked for in pieces of `size` bytes.
  std::vector<ListedName> rest(std::uint32_t opcode, std::uint64_t offset = 0,
                               std::uint32_t size = 4096) {
    std::vector<ListedName> listed;
    while (listed.size() < 100'000) {  // a listing that goes round has no end
      const auto some = piece(opcode, offset, size);
      EXPECT_EQ(some.error, 0);
      if (some.value.empty()) break;
      listed.insert(listed.end(), some.value.begin(), some.value.end());
      offset = listed.back().next;
    }
    return listed;
  }

 private:
  FakeKernel& kernel_;
  std::uint64_t node_;
};

[[nodiscard]] inline std::vector<std::string> names_of(const std::vector<ListedName>& listed) {
  std::vector<std::string> names;
  for (const ListedName& entry : listed) names.push_back(entry.name);
  return names;
}

}  // namespace ollamafs::test
