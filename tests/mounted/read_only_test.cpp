// Nothing can be written: every call that writes, on every kind of file and directory and on names
// that are not there, for whoever makes it.
#include <gtest/gtest.h>
#include <sys/mount.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <sstream>

#include "tests/mounted/in_child.h"
#include "tests/mounted/mount.h"
#include "tests/mounted/walk.h"
#include "tests/mounted/writing_calls.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;

enum class Kind { file, directory, missing };

// Who makes the calls, and on whose mount.
struct Caller {
  const char* name;
  const char* user;        // nullptr: root
  const char* mounted_by;  // nullptr: root
};

void PrintTo(const Caller& caller, std::ostream* out) {
  *out << caller.name;
}

class ReadOnly : public ::testing::TestWithParam<Caller>, public TwoRelatives {
 protected:
  ReadOnly() {
    write_two_relatives();
    write_file(outside_, "outside");
    fs::permissions(dir.path(), fs::perms{0777});  // so that only the mount can refuse
    fs::permissions(outside_, fs::perms{0666});
  }

  [[nodiscard]] static std::optional<User> user(const char* name) {
    return name ? std::optional{User::named(name)} : std::nullopt;
  }

  [[nodiscard]] Mount::Options options() const {
    Mount::Options options{.run = {.as = user(GetParam().mounted_by)}};
    if (!GetParam().mounted_by) options.arguments = {"-o", "allow_other"};
    return options;
  }

  [[nodiscard]] static std::string manifest() {
    return "models/first+latest/manifests/registry.ollama.ai/library/first/latest";
  }
  [[nodiscard]] std::string blob() const {
    return "models/first+latest/blobs/" + digest_of(first.layers[0]).blob_name();
  }

  [[nodiscard]] Target target(const fs::path& view, const std::string& name) const {
    return {.path = (view / name).string(),
            .other = (view / "archives/second+latest.tar").string(),
            .absent = (view / "absent").string(),
            .outside = outside_.string(),
            .nowhere = (dir / "nowhere").string()};
  }

  // The calls that do not give what they must, one a line.
  [[nodiscard]] std::string wrong(std::span<const WritingCall> calls, const fs::path& view,
                                  const std::string& name, Kind kind) const {
    const Target at = target(view, name);
    return in_child(user(GetParam().user), [&] {
      std::ostringstream wrong;
      for (const WritingCall& call : calls) {
        const int expected = kind == Kind::file        ? call.on_file
                             : kind == Kind::directory ? call.on_directory
                                                       : call.on_missing;
        errno = 0;
        const int error = call.make(at) < 0 ? errno : 0;
        if (error == expected) continue;
        wrong << call.name << " on " << name << ": " << ::strerrorname_np(error) << " in place of "
              << ::strerrorname_np(expected) << '\n';
      }
      return wrong.str();
    });
  }

  const fs::path outside_ = dir / "outside";
};

TEST_P(ReadOnly, FilesTakeNoWritingCall) {
  const Mount mount{store.root(), options()};
  for (const std::string& name :
       {std::string{"README.txt"}, std::string{"archives/first+latest.tar"}, manifest(), blob()}) {
    EXPECT_EQ(wrong(calls_by_path(), mount.path(), name, Kind::file), "");
    EXPECT_EQ(wrong(calls_by_descriptor(), mount.path(), name, Kind::file), "");
  }
}

TEST_P(ReadOnly, DirectoriesTakeNoWritingCall) {
  const Mount mount{store.root(), options()};
  for (const std::string name : {"models", "archives", "models/first+latest",
                                 "models/first+latest/blobs", "models/first+latest/manifests"}) {
    EXPECT_EQ(wrong(calls_by_path(), mount.path(), name, Kind::directory), "");
    EXPECT_EQ(wrong(calls_by_descriptor(), mount.path(), name, Kind::directory), "");
  }
}

TEST_P(ReadOnly, NamesThatAreNotThereCannotBeMade) {
  const Mount mount{store.root(), options()};
  for (const std::string name :
       {"new", "models/new", "archives/new", "models/first+latest/new",
        "models/first+latest/blobs/new", "models/first+latest/manifests/new",
        "models/first+latest/manifests/registry.ollama.ai/library/first/new"}) {
    EXPECT_EQ(wrong(calls_by_path(), mount.path(), name, Kind::missing), "");
  }
}

// Root can take the `ro` from any mount. Then the kernel passes on what it had refused, and says
// what it likes when the program does not know such requests; but nothing changes.
TEST(ReadOnlyMount, RemountedForWritingStaysAsItIs) {
  TwoRelatives models;
  models.write_two_relatives();
  const Mount mount{models.store.root()};
  const auto shown = [&] {
    std::ostringstream all;
    for (const auto& [path, st] : walk_awake(mount.path())) {
      all << path << ' ' << st.st_ino << ' ' << st.st_mode << ' ' << st.st_uid << ' ' << st.st_size
          << ' ' << st.st_mtime << ' ' << st.st_nlink << '\n';
    }
    return all.str() + read_file(mount / "README.txt");
  };
  const std::string before = shown();
  ASSERT_EQ(::mount(nullptr, mount.path().c_str(), nullptr,
                    MS_REMOUNT | MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr),
            0)
      << std::strerror(errno);
  const std::string outside = (models.dir / "outside").string();
  write_file(outside, "outside");
  for (const char* name : {"README.txt", "archives/first+latest.tar", "models/first+latest/blobs",
                           "models", "models/new", "new"}) {
    const Target at{.path = (mount / name).string(),
                    .other = (mount / "archives/second+latest.tar").string(),
                    .absent = (mount / "absent").string(),
                    .outside = outside,
                    .nowhere = (models.dir / "nowhere").string()};
    for (const WritingCall& call : calls_by_path()) call.make(at);
    for (const WritingCall& call : calls_by_descriptor()) call.make(at);
  }
  EXPECT_EQ(shown(), before);
  EXPECT_EQ(read_file(outside), "outside");
}

INSTANTIATE_TEST_SUITE_P(For, ReadOnly,
                         ::testing::Values(Caller{"Root", nullptr, nullptr},
                                           Caller{"SomebodyOnRootsMount", "nobody", nullptr},
                                           Caller{"AUserOnTheirOwnMount", "games", "games"}),
                         [](const auto& test) { return std::string{test.param.name}; });

}  // namespace
}  // namespace ollamafs::test
