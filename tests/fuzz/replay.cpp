// Stands in for libFuzzer where it is not linked: runs a target once over each input that is kept
// in the tree, or over single files.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "tests/fuzz/check.h"

namespace {

namespace fs = std::filesystem;

constexpr const char* kUsage =
    "usage: %s FILE...\n"
    "       %s --all CORPUS CRASHES    all files of both directories; the second may be missing\n";

bool replay(const fs::path& path) {
  std::ifstream file{path, std::ios::binary};
  const std::vector<char> bytes{std::istreambuf_iterator<char>{file}, {}};
  if (!file.is_open() || file.bad()) {
    std::fprintf(stderr, "%s cannot be read\n", path.c_str());
    return false;
  }
  // Exactly as large as the input: AddressSanitizer sees what is read behind it.
  const std::unique_ptr<std::uint8_t[]> data{new std::uint8_t[bytes.size()]};
  std::ranges::copy(bytes, data.get());
  std::printf("%s\n", path.c_str());  // the last one printed is the one that failed
  std::fflush(stdout);
  LLVMFuzzerTestOneInput(data.get(), bytes.size());
  return true;
}

std::vector<fs::path> files_in(const fs::path& directory) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator{directory}) files.push_back(entry.path());
  std::ranges::sort(files);
  return files;
}

std::vector<fs::path> inputs(int argc, char** argv) {
  if (argc < 2 || std::strcmp(argv[1], "--all") != 0) return {argv + 1, argv + argc};
  if (argc != 4) return {};
  std::vector<fs::path> files = files_in(argv[2]);
  if (files.empty()) std::fprintf(stderr, "%s holds no input\n", argv[2]);
  if (!files.empty() && fs::exists(argv[3]))
    std::ranges::copy(files_in(argv[3]), std::back_inserter(files));
  return files;
}

}  // namespace

int main(int argc, char** argv) try {
  const std::vector<fs::path> files = inputs(argc, argv);
  if (files.empty()) {
    std::fprintf(stderr, kUsage, argv[0], argv[0]);
    return 2;
  }
  const bool all_read = std::ranges::all_of(files, replay);
  std::printf("%zu inputs\n", files.size());
  return all_read ? 0 : 1;
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
