#include "tests/mounted/data_path.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <system_error>

#include "tests/mounted/expected_archive.h"
#include "tests/support/process.h"

namespace ollamafs::test {

namespace fs = std::filesystem;

namespace {

// Enough of them beside the blobs that fill the table, and half of them are for blobs.
constexpr unsigned kFewDescriptors = 64;
constexpr std::size_t kTaken = 40;

constexpr const char* kManifest = "manifests/registry.ollama.ai/library/read/me";

// The memory that O_DIRECT from a disk wants.
struct Free {
  void operator()(void* memory) const noexcept { std::free(memory); }
};
using Aligned = std::unique_ptr<char, Free>;

bool ask_whether_library_is_new() {
  const std::string versions = must({binary(), "--version"});
  const std::size_t at = versions.find("libfuse ");
  int major = 0, minor = 0;
  if (at == std::string::npos ||
      std::sscanf(versions.c_str() + at, "libfuse %d.%d", &major, &minor) != 2) {
    throw std::runtime_error{"no version of libfuse in: " + versions};
  }
  return major > 3 || minor >= 17;
}

}  // namespace

bool library_is_new() {
  static const bool is_new = ask_whether_library_is_new();  // asked for every range that is read
  return is_new;
}

void PrintTo(const DataPath& path, std::ostream* out) {
  *out << path.name;
}

std::string name_of(const ::testing::TestParamInfo<DataPath>& test) {
  return test.param.name;
}

Outcome read_range(const UniqueFd& fd, std::uint64_t offset, std::size_t size) {
  constexpr std::size_t page = 4096;
  const Aligned memory{static_cast<char*>(std::aligned_alloc(page, (size / page + 1) * page))};
  Outcome outcome;
  std::size_t done = 0;
  for (ssize_t n = 1; n > 0 && done < size; done += static_cast<std::size_t>(n)) {
    n = ::pread(fd.get(), memory.get() + done, size - done, static_cast<off_t>(offset + done));
    if (n >= 0) continue;
    outcome.error = errno;
    break;
  }
  outcome.bytes.assign(memory.get(), done);
  return outcome;
}

DataPathTest::DataPathTest() {
  write_model();
  mount();
  if (GetParam().late) take_all_descriptors();
}

// Blobs on either side of every size at which something else is done: of a request that is mapped
// rather than copied, of a blob that is held in memory, of a window of mapped bytes.
void DataPathTest::write_model() {
  ManifestSpec model = store_.text_model(1, 17'000'003);
  for (const std::size_t size : {65'537u, 300'001u, 65'536u, 1'000u, 1u, 0u}) {
    model.layers.push_back(store_.layer(kTensorType, random_bytes(size + 7, size)));
  }
  store_.v1("read:me", model);
  const LayerSpec& read = GetParam().file == Path::small_blob ? model.layers[5] : model.layers[0];
  blob_ = store_.blob_path(*Digest::parse(read.digest));
  manifest_ = fs::path{"models/read+me"} / kManifest;
  if (is_archive()) {
    file_ = "archives/read+me.tar";
    const ExpectedArchive archive{store_, "read:me", model};
    expected_ = archive.bytes;
    blob_start_ = archive.starts.at("blobs/" + blob_.filename().string());
    for (const auto& [member, start] : archive.starts) {
      borders_.insert(borders_.end(), {start, start + fs::file_size(store_.root() / member)});
    }
  } else {
    file_ = fs::path{"models/read+me/blobs"} / blob_.filename();
    expected_ = read_file(blob_);
  }
  for (const std::uint64_t border : {0u, 64u << 10, 16u << 20}) {
    borders_.push_back(blob_start_ + border);
  }
  borders_.push_back(expected_.size());
}

void DataPathTest::mount() {
  Mount::Options options;
  if (GetParam().by_user) {
    fuse_conf_.emplace("/etc/fuse.conf", "user_allow_other\n", "0644");
    options.run.as = User::named("games");
    options.arguments = {"-o", "allow_other"};  // so that this process can read it too
  }
  if (GetParam().late) {
    for (std::size_t i = 0; i < kTaken; ++i) {
      ManifestSpec other;
      other.layers = {store_.layer(kTensorType, random_bytes(1000 + i, 70'000))};
      store_.v1("other:tag" + std::to_string(i), other);
    }
    options.run.descriptors = kFewDescriptors;
  }
  mount_ = std::make_unique<Mount>(store_.root(), options);
}

void DataPathTest::take_all_descriptors() {
  for (std::size_t i = 0; i < kTaken; ++i) {
    const std::string model = "models/other+tag" + std::to_string(i);
    for (const auto& blob : fs::directory_iterator{*mount_ / model / "blobs"}) {
      taken_.emplace_back(::open(blob.path().c_str(), O_RDONLY | O_CLOEXEC));
      if (!taken_.back()) throw std::system_error{errno, std::generic_category(), blob.path()};
    }
  }
}

UniqueFd DataPathTest::open(int flags) const {
  UniqueFd fd{::open((*mount_ / file_).c_str(), O_RDONLY | O_CLOEXEC | flags)};
  if (!fd) throw std::system_error{errno, std::generic_category(), file_.string()};
  return fd;
}

UniqueFd DataPathTest::open_uncached(int flags) const {
  UniqueFd fd = open(flags);
  ::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED);
  return fd;
}

bool DataPathTest::read_by_kernel() const {
  const DataPath& path = GetParam();
  return path.file == Path::large_blob && !path.by_user && !path.late && library_is_new();
}

std::size_t DataPathTest::alignment(int flags) const {
  return (flags & O_DIRECT) && read_by_kernel() ? 4096 : 1;
}

DataPathTest::Range DataPathTest::any_range(std::mt19937_64& random, std::size_t align) const {
  std::uint64_t offset = random() % (expected_.size() + 100'000);
  if (random() % 2) {
    const std::uint64_t border = borders_[random() % borders_.size()];
    offset = border - std::min<std::uint64_t>(border, random() % 3 * (random() % 70'000));
  }
  const std::size_t size = 1 + random() % (std::size_t{1} << (random() % 22));
  return {offset / align * align, (size + align - 1) / align * align};
}

}  // namespace ollamafs::test
