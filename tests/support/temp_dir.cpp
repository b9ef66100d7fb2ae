#include "tests/support/temp_dir.h"

#include <stdlib.h>

#include <stdexcept>
#include <string>

namespace ollamafs::test {

TempDir::TempDir() {
  std::string name = (std::filesystem::temp_directory_path() / "ollamafs-test-XXXXXX").string();
  if (!::mkdtemp(name.data())) throw std::runtime_error{"mkdtemp " + name};
  path_ = std::filesystem::canonical(name);
  // mkdtemp makes it 0700; tests put stores in it that other users must reach.
  std::filesystem::permissions(path_, std::filesystem::perms{0755});
}

TempDir::~TempDir() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace ollamafs::test
