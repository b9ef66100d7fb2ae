// The archives of a mount: what every reader of tars makes of them, and every way of reading them.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <iterator>
#include <map>
#include <random>
#include <regex>
#include <set>
#include <sstream>
#include <system_error>
#include <thread>

#include "store/base/unique_fd.h"
#include "tests/mounted/mount.h"
#include "tests/support/sample_store.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;
using ::testing::Each;
using ::testing::EndsWith;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

// The files below a directory, by path, each with the hash of its bytes.
using Files = std::map<std::string, std::string>;

Files files_in(const fs::path& top) {
  Files files;
  for (const auto& entry : fs::recursive_directory_iterator{top}) {
    const std::string path = entry.path().lexically_relative(top).string();
    if (entry.is_symlink() || entry.is_regular_file()) {
      files[path] =
          entry.is_symlink() ? "a symlink" : Digest::of(read_file(entry.path())).blob_name();
    }
  }
  return files;
}

[[noreturn]] void fail(const std::string& what) {
  throw std::system_error{errno, std::generic_category(), what};
}

UniqueFd open_for_reading(const fs::path& path, int flags = 0) {
  UniqueFd fd{::open(path.c_str(), O_RDONLY | O_CLOEXEC | flags)};
  if (!fd) fail(path.string());
  return fd;
}

// What is there from `offset` on, up to `size` bytes; nothing more after an error.
std::string read_at(const UniqueFd& fd, std::uint64_t offset, std::size_t size) {
  std::string bytes(size, '\0');
  std::size_t done = 0;
  for (ssize_t n = 1; n > 0 && done < size; done += static_cast<std::size_t>(n)) {
    n = ::pread(fd.get(), bytes.data() + done, size - done, static_cast<off_t>(offset + done));
    n = std::max<ssize_t>(n, 0);
  }
  bytes.resize(done);
  return bytes;
}

class Archive : public ::testing::Test {
 protected:
  // The sample, and what is hard for a tar: empty blobs, whole blocks, paths that ustar's fields
  // can only hold in two parts, or not at all.
  void write_models() {
    write_sample_models(store);
    ManifestSpec odd = store.text_model(30, 508);  // "GGUF" and 508 bytes: exactly a block
    odd.layers.push_back(store.layer(kSystemType, ""));
    odd.layers.push_back(store.layer(kLicenseType, random_bytes(31, 511)));
    odd.layers.push_back(store.layer(kAdapterType, random_bytes(32, 513)));
    odd.layers.push_back(odd.layers.front());  // named twice, in the tar once
    store.v1("odd:latest", odd);
    ManifestSpec bare;
    bare.config = store.layer(kConfigType, "{}");
    store.v1("no-layers:latest", bare);
    ManifestSpec unconfigured = store.text_model(33, 1000);
    unconfigured.config.reset();
    store.v2("no-config:latest", unconfigured);
    for (const std::string& name : long_names()) store.v1(name, store.text_model(34, 10'000));
  }

  // With manifests/ before them: over 100 bytes; over 100, and no '/' splits it into parts that
  // fit; over 255.
  static std::vector<std::string> long_names() {
    const auto name = [](std::size_t host, std::size_t space, std::size_t model, std::size_t tag) {
      return std::string(host, 'h') + "/" + std::string(space, 'n') + "/" +
             std::string(model, 'm') + ":" + std::string(tag, 't');
    };
    return {name(20, 40, 40, 10), name(10, 80, 60, 60), name(200, 80, 80, 80)};
  }

  // The models of a mount, as paths below models/.
  static std::vector<std::string> models_in(const Mount& mount) {
    std::vector<std::string> models;
    for (const auto& entry : fs::recursive_directory_iterator{mount / "models"}) {
      if (entry.path().filename().string().find('+') == std::string::npos) continue;
      models.push_back(entry.path().lexically_relative(mount / "models").string());
    }
    return models;
  }

  static fs::path archive(const Mount& mount, const std::string& model) {
    return mount / "archives" / (model + ".tar");
  }

  static constexpr const char* kText = "llama3.2+3b";  // 3 MB

  TempDir dir;
  StoreBuilder store{dir / "store"};
};

// What the archives are compared with below.
TEST_F(Archive, ModelDirectoriesHoldTheManifestAndTheBlobsThatItNames) {
  write_models();
  const Mount mount{store.root()};
  const auto models = models_in(mount);
  EXPECT_EQ(models.size(), 15u);
  for (const std::string& model : models) {
    const Files files = files_in(mount / "models" / model);
    std::set<std::string> expected;
    for (const auto& [path, hash] : files) {
      if (!path.starts_with("manifests/")) continue;
      expected.insert(path);
      const std::string manifest = read_file(mount / "models" / model / path);
      const std::regex digest{"sha256:([0-9a-f]{64})"};
      for (std::sregex_iterator it{manifest.begin(), manifest.end(), digest}, end; it != end;
           ++it) {
        expected.insert("blobs/sha256-" + it->str(1));
      }
    }
    std::set<std::string> found;
    for (const auto& [path, hash] : files) {
      found.insert(path);
      EXPECT_TRUE(path.starts_with("manifests/") || path == "blobs/" + hash) << model << path;
    }
    EXPECT_EQ(found, expected) << model;
    EXPECT_GE(found.size(), 2u) << model;
  }
}

struct Reader {
  const char* name;
  const char* unpack;  // sh: the archive "$1" into the empty directory "$2"
};

void PrintTo(const Reader& reader, std::ostream* out) {
  *out << reader.name;
}

class Unpacked : public Archive, public ::testing::WithParamInterface<Reader> {};

TEST_P(Unpacked, GivesTheModelDirectory) {
  write_models();
  const Mount mount{store.root()};
  const auto models = models_in(mount);
  EXPECT_EQ(models.size(), 15u);
  for (const std::string& model : models) {
    const TempDir target;
    const Result result = run({"sh", "-c", GetParam().unpack, "sh", archive(mount, model).string(),
                               target.path().string()});
    EXPECT_EQ(result.status, 0) << model;
    EXPECT_THAT(result.err, IsEmpty()) << model;
    EXPECT_EQ(files_in(target.path()), files_in(mount / "models" / model)) << model;
  }
}

INSTANTIATE_TEST_SUITE_P(
    By, Unpacked,
    ::testing::Values(Reader{"GnuTar", "tar -xf \"$1\" -C \"$2\""},
                      Reader{"GnuTarFromAPipe", "cat \"$1\" | tar -x -C \"$2\""},
                      Reader{"Bsdtar", "bsdtar -xf \"$1\" -C \"$2\""},
                      Reader{"Busybox", "busybox tar -xf \"$1\" -C \"$2\""},
                      Reader{"Python",
                             "python3 -W ignore -c 'import sys, tarfile\n"
                             "tarfile.open(sys.argv[1]).extractall(sys.argv[2])' \"$1\" \"$2\""},
                      Reader{"SevenZip",
                             "$(command -v 7zz || command -v 7z) x -o\"$2\" \"$1\" >/dev/null"}),
    [](const auto& test) { return std::string{test.param.name}; });

// Who copies out of a tar that ends too early must not have got the manifest; directories as
// members would change folders that exist.
TEST_F(Archive, MembersAreTheBlobsInOrderAndThenTheManifest) {
  write_models();
  const Mount mount{store.root()};
  for (const std::string& model : models_in(mount)) {
    std::istringstream lines{must({"tar", "-tf", archive(mount, model).string()})};
    const std::vector<std::string> members{std::istream_iterator<std::string>{lines}, {}};
    ASSERT_GE(members.size(), 2u) << model;
    EXPECT_TRUE(std::ranges::is_sorted(members)) << model;
    EXPECT_THAT(members.back(), StartsWith("manifests/")) << model;
    EXPECT_THAT(members, Each(Not(EndsWith("/")))) << model;
  }
}

// The same bytes everywhere (docs/view.md §3), so that an archive can be resumed, compared and
// published by its hash.
TEST_F(Archive, MountsOfTwoCopiesOfAStoreGiveTheSameBytes) {
  write_models();
  const fs::path copy = dir / "copy";
  must({"cp", "-a", store.root().string(), copy.string()});
  must({"chown", "-hR", "1234:5678", copy.string()});
  must({"find", copy.string(), "-exec", "touch", "-h", "-d", "2020-02-02", "{}", "+"});
  const Mount mount{store.root()};
  const Mount other{copy, {.arguments = {"-o", "uid=4321"}}};
  const Files archives = files_in(mount / "archives");
  EXPECT_EQ(archives.size(), 15u);
  EXPECT_EQ(files_in(other / "archives"), archives);
}

// ---- every way of reading ----

// Half of the readers go past the page cache, so that the daemon sees just these requests; half of
// the reads begin at an end of a block or next to it, as segments do.
TEST_F(Archive, RandomReadsByEightThreadsEqualASequentialCopy) {
  write_models();
  constexpr const char* many_members = "me/qwen3-moe+nvfp4";
  const std::string whole = read_file(archive(Mount{store.root()}, many_members));
  const Mount mount{store.root()};
  std::atomic<int> reads = 0, wrong = 0;
  std::vector<std::jthread> threads;
  for (unsigned seed = 0; seed < 8; ++seed) {
    UniqueFd opened = open_for_reading(archive(mount, many_members), seed % 2 == 0 ? O_DIRECT : 0);
    threads.emplace_back([&, seed, file = std::move(opened)] {
      std::mt19937_64 random{seed};
      for (int i = 0; i < 1250; ++i) {
        std::uint64_t offset = random() % (whole.size() + 1000);
        if (i % 2 == 0) offset = offset / 512 * 512 + 511 + random() % 3;
        const std::size_t size = random() % (std::size_t{1} << (1 + random() % 18));
        const std::string_view expected =
            std::string_view{whole}.substr(std::min<std::uint64_t>(offset, whole.size()), size);
        if (read_at(file, offset, size) != expected) ++wrong;
        ++reads;
      }
    });
  }
  threads.clear();
  EXPECT_EQ(reads, 10'000);
  EXPECT_EQ(wrong, 0);
}

TEST_F(Archive, DdGivesTheSameBytesAtAnyBlockSize) {
  write_models();
  const std::string expected = read_file(archive(Mount{store.root()}, kText));
  for (const std::string how : {"bs=97", "bs=511", "bs=513", "bs=4097", "bs=1000003", "bs=10M",
                                "bs=12345 iflag=direct", "bs=1000003 iflag=direct"}) {
    const Mount mount{store.root()};  // nothing is in the page cache
    EXPECT_TRUE(must({"sh", "-c", "dd status=none if=\"$1\" " + how, "sh",
                      archive(mount, kText).string()}) == expected)
        << how;
  }
}

std::string mapped(const fs::path& path, int sharing) {
  const UniqueFd fd = open_for_reading(path);
  struct stat st {};
  if (::fstat(fd.get(), &st) != 0) fail("fstat");
  const auto size = static_cast<std::size_t>(st.st_size);
  void* at = ::mmap(nullptr, size, PROT_READ, sharing, fd.get(), 0);
  if (at == MAP_FAILED) fail("mmap of " + path.string());
  std::string bytes{static_cast<const char*>(at), size};
  ::munmap(at, size);
  return bytes;
}

// llama.cpp maps the weights, shared. Archives go past the kernel's cache, which older libfuse only
// allows to be mapped privately.
TEST_F(Archive, FilesCanBeMapped) {
  write_models();
  const ManifestSpec text = store.text_model(1, 3'000'000);
  const Digest weights = *Digest::parse(text.layers[0].digest);
  const std::string tar = read_file(archive(Mount{store.root()}, kText));
  for (const int sharing : {MAP_PRIVATE, MAP_SHARED}) {
    const Mount mount{store.root()};
    EXPECT_TRUE(mapped(mount / "models" / kText / "blobs" / weights.blob_name(), sharing) ==
                read_file(store.blob_path(weights)));
    EXPECT_TRUE(mapped(archive(mount, kText), MAP_PRIVATE) == tar);
  }
}

// Copies a file inside the kernel. Returns what arrived, or the error of the first call.
template <class Transfer>
std::string transferred(const fs::path& from, const fs::path& to, Transfer&& transfer) {
  const UniqueFd in = open_for_reading(from);
  const UniqueFd out{::open(to.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644)};
  for (ssize_t n = 1; n != 0;) {
    n = transfer(in.get(), out.get());
    if (n < 0) fail("transfer");
  }
  return read_file(to);
}

TEST_F(Archive, FilesCanBeSent) {
  write_models();
  const std::string tar = read_file(archive(Mount{store.root()}, kText));
  const Mount mount{store.root()};
  EXPECT_TRUE(transferred(archive(mount, kText), dir / "sent", [](int in, int out) {
                return ::sendfile(out, in, nullptr, 300'001);
              }) == tar);
}

// From one file system to another the kernel may refuse to; then programs read and write. What it
// must not do is deliver something else.
TEST_F(Archive, FilesCanBeCopiedByRange) {
  write_models();
  const std::string tar = read_file(archive(Mount{store.root()}, kText));
  const Mount mount{store.root()};
  try {
    EXPECT_TRUE(transferred(archive(mount, kText), dir / "ranges", [](int in, int out) {
                  return ::copy_file_range(in, nullptr, out, nullptr, 300'001, 0);
                }) == tar);
  } catch (const std::system_error& refusal) {
    EXPECT_EQ(refusal.code(), std::errc::cross_device_link);
  }
}

TEST_F(Archive, CpAndCmpAgree) {
  write_models();
  const Mount mount{store.root()};
  for (const std::string& model : models_in(mount)) {
    const std::string from = archive(mount, model).string(), to = (dir / "copy.tar").string();
    must({"cp", from, to});
    EXPECT_EQ(run({"cmp", from, to}).status, 0) << model;
  }
}

}  // namespace
}  // namespace ollamafs::test
