// -o verify: no tool gets a corrupted blob as if it were whole, and the good ones are as without
// it.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "store/base/unique_fd.h"
#include "tests/mounted/broken_model.h"
#include "tests/mounted/mount.h"
#include "tests/mounted/shown.h"
#include "tests/mounted/ssh_server.h"
#include "tests/support/process.h"
#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::SizeIs;

// So that what was found by reading is not found by looking.
const Mount::Options kVerified{.arguments = {"-o", "verify,poll=86400"}};

constexpr std::size_t kSize = 20'000'000;

class VerifiedMount : public ::testing::Test {
 protected:
  VerifiedMount() {
    store.weights() = store.builder.layer(kModelType, random_bytes(9, kSize));
    store.rewrite();
  }

  // The file keeps its size.
  void flip(std::uint64_t at, const fs::path& blob) const {
    std::fstream file{blob};
    file.seekg(static_cast<std::streamoff>(at));
    const int byte = file.get();
    file.seekp(static_cast<std::streamoff>(at));
    file.put(static_cast<char>(byte ^ 1));
  }
  void flip(std::uint64_t at) const { flip(at, store.blob()); }

  [[nodiscard]] fs::path shown(const Mount& mount) const {
    return mount / "models/bad/one+v1/blobs" / store.blob().filename();
  }
  static std::string cat(const fs::path& path) { return run({"cat", path.string()}).out; }
  static int status_of_cat(const fs::path& path) { return run({"cat", path.string()}).status; }
  // How many bytes the daemon has read by read(2) and its like.
  static std::uint64_t bytes_read(Mount& mount) {
    std::istringstream io{read_file("/proc/" + std::to_string(mount.daemon().pid()) + "/io")};
    std::string name;
    std::uint64_t count = 0;
    io >> name >> count;
    return count;
  }

  TempDir dir;
  ThreeModels store{dir / "store"};
};

class VerifiedCopy : public VerifiedMount, public ::testing::WithParamInterface<Tool> {};

TEST_P(VerifiedCopy, FailsAndGetsNoManifestOfACorruptedModel) {
  const SshServer server;
  for (const std::uint64_t at :
       {std::uint64_t{0}, std::uint64_t{kSize / 2}, std::uint64_t{kSize - 1}}) {
    SCOPED_TRACE(at);
    flip(at);
    {
      Mount mount{store.builder.root(), kVerified};
      const fs::path into = dir / ("copy" + std::to_string(at));
      const Result result = copy(GetParam(), mount / "models", into, server.config());
      EXPECT_NE(result.status, 0);
      if (GetParam().name == std::string{"Scp"}) {  // ends at the first error of reading
        EXPECT_THAT(result.err, HasSubstr("Input/output error"));
        EXPECT_TRUE(manifests_in(into / "models/bad").empty());
      } else {
        EXPECT_THAT(manifests_in(into / "models"), SizeIs(2));
        expect_good_copy(store, into / "models/good+v1");
      }
      expect_broken(mount, "its SHA-256 is not the one in its name",
                    store.blob().filename().string());
      EXPECT_EQ(count(mount.log(), "error: "), 1U) << mount.log();
    }
    flip(at);
  }
}

TEST_P(VerifiedCopy, IsTheSameOfGoodModels) {
  const SshServer server;
  Mount mount{store.builder.root(), kVerified};
  for (const char* const into : {"first", "second"}) {
    const Result result = copy(GetParam(), mount / "models", dir / into, server.config());
    EXPECT_EQ(result.status, 0) << result.err;
    EXPECT_THAT(manifests_in(dir / into / "models"), SizeIs(3));
    expect_good_copy(store, dir / into / "models/good+v1");
    EXPECT_TRUE(read_file(dir / into / "models/bad/one+v1/blobs" / store.blob().filename()) ==
                read_file(store.blob()));
  }
  EXPECT_EQ(count(mount.log(), "error: "), 0U) << mount.log();
}

INSTANTIATE_TEST_SUITE_P(, VerifiedCopy, ::testing::ValuesIn(kTools),
                         [](const auto& test) { return test.param.name; });

TEST_F(VerifiedMount, SaysWhyThereIsNoPassthrough) {
  const Mount mount{store.builder.root(), kVerified};
  EXPECT_THAT(mount.log(), HasSubstr("no passthrough, because they are verified"));
}

TEST_F(VerifiedMount, GivesNoWholeArchiveOfACorruptedModel) {
  flip(kSize / 2);
  Mount mount{store.builder.root(), kVerified};
  const Result result = run({"cat", (mount / "archives/bad/one+v1.tar").string()});
  EXPECT_NE(result.status, 0);
  EXPECT_THAT(result.err, HasSubstr("Input/output error"));
  EXPECT_EQ(opening_fails_with(mount / "archives/bad/one+v1.tar"), EIO);
  EXPECT_EQ(status_of_cat(mount / "archives/good+v1.tar"), 0);
}

TEST_F(VerifiedMount, FindsASmallBlobWhenItIsOpened) {
  flip(3, store.path_of(store.bad.layers[1]));  // which all three share
  Mount mount{store.builder.root(), kVerified};
  EXPECT_EQ(opening_fails_with(mount / "archives/good+v1.tar"), EIO);
  expect_broken(mount, "its SHA-256", store.path_of(store.bad.layers[1]).filename().string());
}

TEST_F(VerifiedMount, GivesTheGoodPartOfACorruptedBlobButNotItsEnd) {
  flip(5'000'000);
  Mount mount{store.builder.root(), kVerified};
  const UniqueFd file{::open(shown(mount).c_str(), O_RDONLY | O_CLOEXEC)};
  const std::string expected = read_file(store.blob());
  std::string part(100'000, '\0');
  for (const std::size_t at : {11'000'000U, 0U, 19'000'000U, 4'000'000U}) {
    ASSERT_EQ(::pread(file.get(), part.data(), part.size(), static_cast<off_t>(at)), 100'000);
    EXPECT_TRUE(part == expected.substr(at, part.size())) << at;
  }
  EXPECT_EQ(::pread(file.get(), part.data(), 1, kSize - 1), -1);
  EXPECT_EQ(errno, EIO);
  EXPECT_EQ(::pread(file.get(), part.data(), part.size(), 0), 100'000);
}

TEST_F(VerifiedMount, ReadsNothingBesideWhatIsReadAgain) {
  Mount mount{store.builder.root(), kVerified};
  const fs::path archive = mount / "archives/bad/one+v1.tar";
  const auto read_all = [&] { must({"dd", "if=" + archive.string(), "of=/dev/null", "bs=1M"}); };
  const std::uint64_t before = bytes_read(mount);
  read_all();
  const std::uint64_t between = bytes_read(mount);
  read_all();
  EXPECT_GE(between - before, kSize);
  EXPECT_LT(bytes_read(mount) - between, kSize + kSize / 4);  // what is asked for, and no more
}

TEST_F(VerifiedMount, GivesTheLastByteToWhoBeginsThere) {
  Mount mount{store.builder.root(), kVerified};
  EXPECT_EQ(must({"tail", "-c", "10", shown(mount).string()}),
            read_file(store.blob()).substr(kSize - 10));
}

TEST_F(VerifiedMount, ShowsABlobThatWasRepaired) {
  flip(1);
  Mount mount{store.builder.root(), {.arguments = {"-o", "verify"}}};
  EXPECT_NE(status_of_cat(shown(mount)), 0);
  flip(1);
  ASSERT_TRUE(
      eventually([&] { return attribute(mount / "models/bad/one+v1", "state") == "whole"; }));
  EXPECT_TRUE(cat(shown(mount)) == read_file(store.blob()));
}

TEST_F(VerifiedMount, ShowsABlobThatWasReplacedByAGoodOne) {
  const std::string good = read_file(store.blob());
  flip(kSize - 2);
  Mount mount{store.builder.root(), {.arguments = {"-o", "verify"}}};
  EXPECT_NE(status_of_cat(shown(mount)), 0);
  write_file(dir / "new", good);
  fs::rename(dir / "new", store.blob());
  ASSERT_TRUE(
      eventually([&] { return attribute(mount / "models/bad/one+v1", "state") == "whole"; }));
  EXPECT_TRUE(cat(shown(mount)) == good);
}

// What somebody read before, and the kernel keeps, is no way round.
TEST_F(VerifiedMount, MakesNoWholeFileOutOfTwoHalves) {
  const std::string good = read_file(store.blob());
  Mount mount{store.builder.root(), {.arguments = {"-o", "verify"}}};
  ASSERT_TRUE(cat(shown(mount)) == good);  // all of it is in the page cache
  flip(100);
  EXPECT_TRUE(eventually([&] {
    const Result result = run({"cat", shown(mount).string()});
    return result.status != 0;
  }));
}

TEST_F(VerifiedMount, LetsABlobBeMapped) {
  for (const bool is_good : {true, false}) {
    if (!is_good) flip(70'000);
    Mount mount{store.builder.root(), kVerified};
    const std::string script =
        "import mmap, sys\n"
        "with open(sys.argv[1], 'rb') as f:\n"
        "  m = mmap.mmap(f.fileno(), 0, mmap.MAP_SHARED, mmap.PROT_READ)\n"
        "  sys.stdout.buffer.write(m[:1000])\n"
        "  sys.stdout.flush()\n"
        "  sys.stdout.buffer.write(m[1000:])\n";
    const Result result = run({"python3", "-c", script, shown(mount).string()});
    EXPECT_EQ(result.out.substr(0, 1000), read_file(store.blob()).substr(0, 1000));
    EXPECT_EQ(result.status == 0, is_good);
    EXPECT_EQ(result.out == read_file(store.blob()), is_good);
  }
}

// While one blob's end is waited for by many, others are read; and who is killed does not wait.
TEST_F(VerifiedMount, KeepsNobodyElseWaiting) {
  const LayerSpec huge = store.builder.sparse_layer(kModelType, std::uint64_t{1} << 38, 5);
  store.weights() = huge;
  store.rewrite();
  Mount mount{store.builder.root(), kVerified};
  std::vector<std::unique_ptr<Background>> waiting;
  for (int i = 0; i < 20; ++i) {
    waiting.push_back(std::make_unique<Background>(
        std::vector<std::string>{"tail", "-c", "1", shown(mount).string()}, RunOptions{}));
  }
  EXPECT_EQ(status_of_cat(mount / "archives/good+v1.tar"), 0);
  for (const auto& tail : waiting) {
    EXPECT_FALSE(tail->ended());
    ::kill(tail->pid(), SIGKILL);
    EXPECT_TRUE(tail->wait(std::chrono::seconds{30}));
  }
}

}  // namespace
}  // namespace ollamafs::test
