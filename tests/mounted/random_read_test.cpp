// Files read at random in every way there is, against a copy of them in memory.
//
// To repeat a run: OLLAMAFS_TEST_SEED=N in the environment. OLLAMAFS_TEST_READS=N makes it longer.
#include <gtest/gtest.h>

#include <cstdlib>
#include <random>

#include "tests/mounted/in_child.h"
#include "tests/mounted/mount.h"
#include "tests/mounted/random_reader.h"
#include "tests/mounted/walk.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const char* value = std::getenv(name);
  return value ? std::stoull(value) : otherwise;
}

// Another one in every run.
std::uint64_t new_seed() {
  return from_environment("OLLAMAFS_TEST_SEED", std::random_device{}());
}

struct File {
  const char* name;
  const char* user;  // who mounts and reads; nullptr: root, whose blobs the kernel may read itself
};

void PrintTo(const File& file, std::ostream* out) {
  *out << file.name << (file.user ? " of a user" : "");
}

class RandomReads : public ::testing::TestWithParam<File> {
 protected:
  RandomReads() {
    store_.v1("first:latest", model_);
    ManifestSpec tensors = store_.text_model(2, 100'000);
    for (std::uint64_t i = 0; i < 60; ++i) {  // an archive of many short segments
      tensors.layers.push_back(
          store_.layer(kTensorType, random_bytes(100 + i, 300 + 37 * static_cast<std::size_t>(i))));
    }
    store_.v1("many:latest", tensors);
  }

  // What the file must hold. An archive: what another mount gives to who reads straight on. README
  // tells of its own mount.
  [[nodiscard]] std::string content(const Mount& mount) const {
    const std::string name = GetParam().name;
    if (name == "Blob") return read_file(store_.blob_path(digest_of(model_.layers[0])));
    if (name == "Manifest") return model_.json();
    if (name == "Readme") return must({"cat", mount / path()});
    return read_file(Mount{store_.root()} / path());
  }

  [[nodiscard]] std::string path() const {
    const std::string name = GetParam().name;
    if (name == "Blob") {
      return "models/first+latest/blobs/" + digest_of(model_.layers[0]).blob_name();
    }
    if (name == "Manifest") {
      return "models/first+latest/manifests/registry.ollama.ai/library/first/latest";
    }
    if (name == "Archive") return "archives/first+latest.tar";
    if (name == "ArchiveOfManyBlobs") return "archives/many+latest.tar";
    return "README.txt";
  }

  TempDir dir_;
  StoreBuilder store_{dir_ / "store"};
  const ManifestSpec model_ = store_.text_model(1, 5'000'003);
};

TEST_P(RandomReads, GiveWhatTheFileHolds) {
  const auto user = GetParam().user ? std::optional{User::named(GetParam().user)} : std::nullopt;
  const std::uint64_t seed = new_seed();
  const std::size_t reads = from_environment("OLLAMAFS_TEST_READS", 4000);
  const Mount mount{store_.root(), {.run = {.as = user}}};
  const std::string right = content(mount);
  EXPECT_EQ(in_child(user,
                     [&] {
                       return RandomReader{mount / path(), right, seed}.run(reads);
                     }),
            "")
      << "to repeat: OLLAMAFS_TEST_SEED=" << seed;
}

INSTANTIATE_TEST_SUITE_P(Of, RandomReads,
                         ::testing::Values(File{"Archive", nullptr},
                                           File{"ArchiveOfManyBlobs", nullptr},
                                           File{"Blob", nullptr}, File{"Manifest", nullptr},
                                           File{"Readme", nullptr}, File{"Archive", "games"},
                                           File{"Blob", "games"}),
                         [](const auto& test) {
                           return std::string{test.param.name} + (test.param.user ? "OfAUser" : "");
                         });

}  // namespace
}  // namespace ollamafs::test
