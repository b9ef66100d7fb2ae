// A model whose weights have 8 GiB + 1 MiB: more than the octal digits of a tar's size field can
// tell. Reads tens of GiB, so it is a program of its own for the release build.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <memory>
#include <stdexcept>

#include "store/base/unique_fd.h"
#include "tests/mounted/mount.h"
#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

using ::testing::HasSubstr;

constexpr std::uint64_t kSize = (std::uint64_t{8} << 30) + (std::uint64_t{1} << 20);

struct Reader {
  const char* name;
  const char* list;  // sh: the members of the archive "$1" with their sizes
  const char* read;  // sh: the bytes of the member "$2" of the archive "$1"
};

void PrintTo(const Reader& reader, std::ostream* out) {
  *out << reader.name;
}

// What another program prints, as it comes.
class Output {
 public:
  Output(const std::string& script, const std::string& archive, const std::string& member)
      : pipe_{::popen(("set -- '" + archive + "' '" + member + "'; " + script).c_str(), "re")} {
    if (!pipe_) throw std::runtime_error{"popen"};
  }
  ~Output() { (void)close(); }
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

  std::size_t read(std::string& buffer) {
    return std::fread(buffer.data(), 1, buffer.size(), pipe_);
  }

  // The program's status.
  int close() {
    FILE* pipe = std::exchange(pipe_, nullptr);
    return pipe ? ::pclose(pipe) : -1;
  }

 private:
  FILE* pipe_;
};

class LargeArchive : public ::testing::TestWithParam<Reader> {
 protected:
  LargeArchive() {
    ManifestSpec large = store.text_model(1, 1000);
    large.layers[0] = store.sparse_layer(kModelType, kSize, 2);
    manifest = large.json();
    weights = *Digest::parse(large.layers[0].digest);
    store.v1("large:latest", large);
    mount = std::make_unique<Mount>(store.root());
    archive = (*mount / "archives/large+latest.tar").string();
  }

  TempDir dir;
  StoreBuilder store{dir / "store"};
  std::string manifest;
  Digest weights;
  std::unique_ptr<Mount> mount;
  std::string archive;
};

TEST_P(LargeArchive, IsListedWithTheTrueSizeOfTheWeights) {
  const std::string out = must({"sh", "-c", GetParam().list, "sh", archive});
  EXPECT_THAT(out, HasSubstr(weights.blob_name()));
  EXPECT_THAT(out, ::testing::ContainsRegex("(^|[^0-9])" + std::to_string(kSize) + "([^0-9]|$)"));
}

// The manifest stands behind the weights: who takes their size for another does not find it.
TEST_P(LargeArchive, HasItsManifestBehindTheWeights) {
  EXPECT_EQ(must({"sh", "-c", GetParam().read, "sh", archive,
                  "manifests/registry.ollama.ai/library/large/latest"}),
            manifest);
}

TEST_P(LargeArchive, IsReadThrough) {
  Output out{GetParam().read, archive, "blobs/" + weights.blob_name()};
  const UniqueFd blob{::open(store.blob_path(weights).c_str(), O_RDONLY | O_CLOEXEC)};
  std::string got(1 << 20, '\0'), expected(1 << 20, '\0');
  std::uint64_t at = 0;
  while (const std::size_t n = out.read(got)) {
    ASSERT_EQ(::pread(blob.get(), expected.data(), n, static_cast<off_t>(at)),
              static_cast<ssize_t>(n))
        << "more bytes than the blob has, from " << at;
    ASSERT_EQ(std::memcmp(got.data(), expected.data(), n), 0) << "other bytes, from " << at;
    at += n;
  }
  EXPECT_EQ(at, kSize);
  EXPECT_EQ(out.close(), 0);
}

// GNU tar reads by 10 KiB unless it is told otherwise: a minute for this, and nothing else.
INSTANTIATE_TEST_SUITE_P(
    By, LargeArchive,
    ::testing::Values(
        Reader{"GnuTar", "tar -tvf \"$1\"", "tar -b 2048 -xOf \"$1\" \"$2\""},
        Reader{"Bsdtar", "bsdtar -tvf \"$1\"", "bsdtar -xOf \"$1\" \"$2\""},
        Reader{"Busybox", "busybox tar -tvf \"$1\"", "busybox tar -xOf \"$1\" \"$2\""},
        Reader{"Python",
               "python3 -c 'import sys, tarfile\n"
               "for member in tarfile.open(sys.argv[1]):\n"
               "  print(member.name, member.size)' \"$1\"",
               "python3 -c 'import shutil, sys, tarfile\n"
               "member = tarfile.open(sys.argv[1]).extractfile(sys.argv[2])\n"
               "shutil.copyfileobj(member, sys.stdout.buffer, 1 << 20)' \"$1\" \"$2\""},
        Reader{"SevenZip", "$(command -v 7zz || command -v 7z) l -slt \"$1\"",
               "$(command -v 7zz || command -v 7z) x -so \"$1\" \"$2\""}),
    [](const auto& test) { return std::string{test.param.name}; });

}  // namespace
}  // namespace ollamafs::test
