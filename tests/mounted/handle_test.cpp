// File handles, as an NFS server keeps them for its clients, across a restart of the daemon.
#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "store/base/unique_fd.h"
#include "tests/mounted/life.h"
#include "tests/mounted/shown.h"
#include "tests/mounted/walk.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;
using ::testing::Contains;

// What name_to_handle_at gives: opaque bytes.
class Handle {
 public:
  explicit Handle(const fs::path& path) {
    handle()->handle_bytes = MAX_HANDLE_SZ;
    int mount_id = 0;
    if (::name_to_handle_at(AT_FDCWD, path.c_str(), handle(), &mount_id, 0) != 0) {
      throw std::system_error{errno, std::generic_category(), path.string()};
    }
  }

  // Opens what it stands for, on the mount at `view`; errno tells why not.
  [[nodiscard]] UniqueFd opened(const fs::path& view, int flags = O_RDONLY) const {
    const UniqueFd root{::open(view.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    Handle copy = *this;
    return UniqueFd{::open_by_handle_at(root.get(), copy.handle(), flags | O_CLOEXEC)};
  }

  // Another handle of the kind, which nobody has given out.
  [[nodiscard]] Handle forged(std::size_t byte) const {
    Handle forged = *this;
    forged.room_[sizeof(file_handle) + byte] ^= 0x15;
    return forged;
  }
  [[nodiscard]] std::size_t size() { return handle()->handle_bytes; }

  [[nodiscard]] std::string hex() {
    std::string hex = fmt::format("type {}:", handle()->handle_type);
    for (std::size_t i = 0; i < size(); ++i)
      hex += fmt::format(" {:02x}", static_cast<unsigned char>(room_[sizeof(file_handle) + i]));
    return hex;
  }

 private:
  file_handle* handle() { return reinterpret_cast<file_handle*>(room_); }

  alignas(file_handle) char room_[sizeof(file_handle) + MAX_HANDLE_SZ] = {};
};

using Handles = std::map<std::string, Handle>;

class FileHandles : public ::testing::Test, public TwoRelatives {
 protected:
  FileHandles() { write_two_relatives(); }

  void mount() const {
    must({binary(), "mount", "--store", store.root().string(), place_.path().string()});
  }
  void unmount() const { must({binary(), "umount", place_.path().string()}); }

  void remount() const {
    unmount();
    mount();
  }

  [[nodiscard]] Handles handles_of_all() const {
    Handles handles;
    for (const auto& [path, st] : walk(view())) {
      handles.emplace(path, Handle{path.empty() ? view() : view() / path});
    }
    return handles;
  }

  [[nodiscard]] fs::path view() const { return place_.path(); }
  [[nodiscard]] std::string opening_gives(const Handle& handle) const {
    return ::strerrorname_np(handle.opened(view()) ? 0 : errno);
  }

 private:
  Place place_;
};

std::string path_of(const UniqueFd& fd) {
  return "/proc/self/fd/" + std::to_string(fd.get());
}

TEST_F(FileHandles, LeadToTheSameFileOrDirectoryAfterARestart) {
  mount();
  const Handles handles = handles_of_all();
  const Nodes before = walk(view());
  std::map<std::string, std::string> content;
  for (const auto& [path, st] : before) {
    if (S_ISREG(st.st_mode)) content[path] = read_file(view() / path);
  }
  remount();
  EXPECT_GT(handles.size(), 20u);
  for (const auto& [path, handle] : handles) {
    const UniqueFd fd = handle.opened(view());
    ASSERT_TRUE(fd) << path << ": " << std::strerror(errno);
    struct stat st {};
    ASSERT_EQ(::fstat(fd.get(), &st), 0);
    EXPECT_EQ(st.st_ino, before.at(path).st_ino) << path;
    EXPECT_EQ(st.st_mode, before.at(path).st_mode) << path;
    EXPECT_EQ(st.st_mtime, before.at(path).st_mtime) << path;
    if (S_ISREG(st.st_mode)) {
      EXPECT_TRUE(read_file(path_of(fd)) == content.at(path)) << path;
    } else {
      EXPECT_EQ(names_in(path_of(fd)), names_in(view() / path)) << path;
    }
  }
}

// The kernel finds the way up by looking up "..", before anybody has walked down.
TEST_F(FileHandles, OfDirectoriesLeadUpAndDownAfterARestart) {
  mount();
  const Handle deep{view() / "models/first+latest/manifests/registry.ollama.ai/library/first"};
  const std::string manifest = first.json();
  remount();
  const UniqueFd directory = deep.opened(view());
  ASSERT_TRUE(directory) << std::strerror(errno);
  EXPECT_EQ(fs::read_symlink(path_of(directory)),
            view() / "models/first+latest/manifests/registry.ollama.ai/library/first");
  EXPECT_EQ(read_file(path_of(directory) + "/latest"), manifest);
  const UniqueFd up{::openat(directory.get(), "../../../../blobs", O_RDONLY | O_DIRECTORY)};
  EXPECT_THAT(names_in(path_of(up)), Contains(digest_of(first.layers[0]).blob_name()));
}

TEST_F(FileHandles, StayTheSameBytes) {
  mount();
  Handles before = handles_of_all();
  remount();
  for (auto [path, handle] : handles_of_all())
    EXPECT_EQ(handle.hex(), before.at(path).hex()) << path;
}

TEST_F(FileHandles, OfAModelThatIsGoneAreStale) {
  mount();
  const Handles handles = handles_of_all();
  unmount();
  fs::remove(store.v1_path(*ModelName::parse("second:latest")));
  mount();
  const std::string only_second = digest_of(second.layers.back()).blob_name();
  std::size_t stale = 0;
  for (const auto& [path, handle] : handles) {
    const bool gone = path.find("second+latest") != std::string::npos &&
                      (path.find("sha256-") == std::string::npos || path.ends_with(only_second));
    if (path.starts_with("contents/") || path.starts_with("layouts/")) continue;
    if (path == "index.html") continue;  // tells of another store now
    const bool has_config = path.ends_with(digest_of(*second.config).blob_name());
    if (has_config) continue;
    EXPECT_EQ(opening_gives(handle), gone ? "ESTALE" : "0") << path;
    stale += gone ? 1 : 0;
  }
  EXPECT_GE(stale, 9u);
}

// A pull puts another manifest in the place of one: its blobs may be the same, the model is not.
TEST_F(FileHandles, OfAModelThatChangedAreStaleButForItsBlobs) {
  mount();
  const Handle model{view() / "models/first+latest"}, tar{view() / "archives/first+latest.tar"},
      manifest{view() / "models/first+latest/manifests/registry.ollama.ai/library/first/latest"},
      blob{view() / "models/first+latest/blobs" / digest_of(first.layers[0]).blob_name()};
  unmount();
  store.v1("first:latest", second);
  mount();
  for (const Handle& old : {model, tar, manifest}) EXPECT_EQ(opening_gives(old), "ESTALE");
  EXPECT_EQ(opening_gives(blob), "0");
  EXPECT_EQ(opening_gives(Handle{view() / "models/first+latest"}), "0");
}

TEST_F(FileHandles, OfAModelThatIsBackLeadToItAgain) {
  mount();
  const Handle tar{view() / "archives/first+latest.tar"};
  unmount();
  const fs::path tag = store.v1_path(*ModelName::parse("first:latest"));
  fs::rename(tag, dir / "kept");
  mount();
  EXPECT_EQ(opening_gives(tar), "ESTALE");
  unmount();
  fs::rename(dir / "kept", tag);
  mount();
  EXPECT_EQ(opening_gives(tar), "0");
}

TEST_F(FileHandles, ThatNobodyGaveOutAreStale) {
  mount();
  Handle real{view() / "models/first+latest"};
  for (std::size_t byte = 0; byte < real.size(); ++byte) {
    EXPECT_EQ(opening_gives(real.forged(byte)), "ESTALE") << byte;
  }
  EXPECT_FALSE(names_in(view() / "models").empty());  // the mount lives
}

TEST_F(FileHandles, OpenNothingForWriting) {
  mount();
  const Handle tar{view() / "archives/first+latest.tar"};
  remount();
  EXPECT_FALSE(tar.opened(view(), O_RDWR));
  EXPECT_EQ(errno, EROFS);
}

}  // namespace
}  // namespace ollamafs::test
