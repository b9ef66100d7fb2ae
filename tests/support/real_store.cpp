#include "tests/support/real_store.h"

#include <initializer_list>
#include <string>

#include "tests/support/process.h"
#include "tests/support/store_builder.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;

void unpack(const fs::path& root, const std::string& fixture,
            std::initializer_list<Weights> weights) {
  fs::create_directory(root);
  const fs::path fixtures{OLLAMAFS_FIXTURES};
  must({"tar", "--force-local", "-xzf", (fixtures / fixture).string(), "-C", root.string()});
  for (const Weights& blob : weights) {
    const fs::path path = root / "blobs" / ("sha256-" + std::string{blob.hex});
    write_file(path, "");
    fs::resize_file(path, blob.size);
  }
}

}  // namespace

void unpack_real_store_v1(const fs::path& root) {
  unpack(root, "real-store-v1.tar.gz", {kTiny, kChatty, kRequantised});
}

void unpack_real_store_v2(const fs::path& root) {
  unpack(root, "real-store-v2.tar.gz", {kTiny, kPlain, kProjector, kAdapter});
}

}  // namespace ollamafs::test
