#include "tests/mounted/broken_model.h"

#include <fcntl.h>
#include <gmock/gmock.h>

#include <cerrno>
#include <iterator>
#include <ostream>

#include "store/base/unique_fd.h"
#include "tests/mounted/life.h"

namespace ollamafs::test {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::StartsWith;

void PrintTo(const Tool& tool, std::ostream* out) {
  *out << tool.name;
}

Result copy(const Tool& tool, const fs::path& from, const fs::path& into, const std::string& ssh,
            const RunOptions& options) {
  fs::create_directories(into);
  return run({"bash", "-o", "pipefail", "-c", tool.line, "copy", from.string(), into.string(), ssh},
             options);
}

std::vector<std::string> manifests_in(const fs::path& folder) {
  std::vector<std::string> manifests;
  if (!fs::exists(folder)) return manifests;
  for (const auto& entry : fs::recursive_directory_iterator{folder}) {
    const std::string path = entry.path().lexically_relative(folder).string();
    if (!entry.is_directory() && path.find("manifests/") != std::string::npos) {
      manifests.push_back(path);
    }
  }
  return manifests;
}

int opening_fails_with(const fs::path& path) {
  return UniqueFd{::open(path.c_str(), O_RDONLY | O_CLOEXEC)} ? 0 : errno;
}

std::string attribute(const fs::path& path, const std::string& name) {
  return must({"getfattr", "--only-values", "-n", "user.ollamafs." + name, path.string()});
}

void expect_good_copy(const ThreeModels& store, const fs::path& folder) {
  EXPECT_EQ(read_file(folder / kGoodManifest), store.good.json());
  EXPECT_EQ(std::distance(fs::directory_iterator{folder / "blobs"}, {}), 4);
  for (const LayerSpec& layer : store.good.layers) {
    const fs::path blob = store.path_of(layer);
    EXPECT_EQ(read_file(folder / "blobs" / blob.filename()), read_file(blob));
  }
}

void expect_broken(const Mount& mount, const std::string& state, const std::string& named) {
  const fs::path model = mount / "models/bad/one+v1";
  const fs::path archive = mount / "archives/bad/one+v1.tar";
  // The kernel hears a moment later that it must not answer from memory any more.
  EXPECT_TRUE(eventually([&] { return listing_fails_with(model) == EIO; }));
  for (const char* const below :
       {"blobs", "manifests", "manifests/registry.ollama.ai", "manifests/registry.ollama.ai/bad",
        "manifests/registry.ollama.ai/bad/one", "manifests/registry.ollama.ai/bad/one/v1"}) {
    EXPECT_TRUE(eventually([&] { return opening_fails_with(model / below) == EIO; })) << below;
  }
  EXPECT_EQ(opening_fails_with(archive), EIO);
  EXPECT_TRUE(fs::is_directory(model));
  EXPECT_TRUE(fs::is_regular_file(archive));
  for (const fs::path& path : {model, archive}) {
    EXPECT_THAT(attribute(path, "state"), StartsWith("broken: "));
    EXPECT_THAT(attribute(path, "state"), HasSubstr(state));
    EXPECT_THAT(attribute(path, "state"), HasSubstr(named));
  }
}

}  // namespace ollamafs::test
