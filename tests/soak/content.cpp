#include "tests/soak/content.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>

#include "store/base/unique_fd.h"
#include "tests/mounted/expected_archive.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMiB = 1 << 20;

std::string at(const fs::path& path, std::uint64_t offset) {
  return path.string() + ", from " + std::to_string(offset);
}

// One range, as a program reads that wants all of it.
Reading read_range(const UniqueFd& fd, const fs::path& path, std::string_view expected,
                   std::uint64_t offset, std::size_t size, std::string& buffer) {
  expected = expected.substr(std::min<std::uint64_t>(offset, expected.size()), size);
  buffer.resize(std::max(buffer.size(), size));
  std::size_t done = 0;
  for (ssize_t n = 1; n > 0 && done < size; done += static_cast<std::size_t>(n)) {
    n = ::pread(fd.get(), buffer.data() + done, size - done, static_cast<off_t>(offset + done));
    if (n < 0) return {.error = errno};
  }
  if (std::string_view{buffer}.substr(0, done) == expected) return {};
  return {.fault = (done == expected.size() ? "other bytes in " : "an early end of ") +
                   at(path, offset)};
}

Reading read_through(const UniqueFd& fd, const fs::path& path, std::string_view expected,
                     std::size_t chunk) {
  std::string buffer;
  for (std::uint64_t offset = 0; offset <= expected.size(); offset += chunk) {
    Reading reading = read_range(fd, path, expected, offset, chunk, buffer);
    if (!reading.fault.empty() || reading.error != 0) return reading;
  }
  return {};
}

Reading read_here_and_there(const UniqueFd& fd, const fs::path& path, std::string_view expected,
                            Random& random) {
  std::string buffer;
  for (int i = 0; i < 20; ++i) {
    const std::uint64_t offset = random() % (expected.size() + 1000);
    const std::size_t size = 1 + random() % (std::size_t{1} << (random() % 22));
    Reading reading = read_range(fd, path, expected, offset, size, buffer);
    if (!reading.fault.empty() || reading.error != 0) return reading;
  }
  return {};
}

Reading read_mapped(const UniqueFd& fd, const fs::path& path, std::string_view expected,
                    Random& random) {
  if (expected.empty()) return {};
  void* const map = ::mmap(nullptr, expected.size(), PROT_READ, MAP_PRIVATE, fd.get(), 0);
  if (map == MAP_FAILED) return {.error = errno};
  Reading reading;
  const std::string_view mapped{static_cast<const char*>(map), expected.size()};
  for (int i = 0; i < 10 && reading.fault.empty(); ++i) {
    const std::uint64_t offset = random() % expected.size();
    const std::size_t size = random() % (256 << 10);
    if (mapped.substr(offset, size) != expected.substr(offset, size)) {
      reading.fault = "other bytes mapped of " + at(path, offset);
    }
  }
  ::munmap(map, expected.size());
  return reading;
}

UniqueFd open_file(const fs::path& path, bool direct) {
  return UniqueFd{::open(path.c_str(), O_RDONLY | O_CLOEXEC | (direct ? O_DIRECT : 0))};
}

}  // namespace

// A model of large weights and one of many tensors, some of which are held in memory. The archive
// of the first comes first.
Content::Content(const fs::path& root) : store_{root} {
  add_model("large:latest", store_.text_model(1, 33'000'001));
  ManifestSpec tensors = store_.text_model(2, 70'000);
  for (std::size_t i = 0; i < 60; ++i) {
    tensors.layers.push_back(store_.layer(kTensorType, random_bytes(i + 100, i * 3'001)));
  }
  add_model("tensors:latest", tensors);
}

void Content::add_model(const std::string& name, const ManifestSpec& model) {
  store_.v1(name, model);
  const std::string shown = name.substr(0, name.find(':')) + "+latest";
  const ExpectedArchive archive{store_, name, model};
  files_.push_back({"archives/" + shown + ".tar", archive.bytes});
  for (const auto& [member, start] : archive.starts) {
    files_.push_back({fs::path{"models"} / shown / member, read_file(store_.root() / member)});
  }
}

fs::path Content::archive_in(const fs::path& view) {
  return view / "archives/large+latest.tar";
}

const Content::File& Content::any_file(Random& random) const {
  return random() % 4 == 0 ? files_.front() : files_[random() % files_.size()];
}

Reading Content::read_something(const fs::path& view, Random& random) const {
  if (random() % 4 != 0) return read_unmapped(view, random);
  const File& file = any_file(random);
  const UniqueFd fd = open_file(view / file.path, false);
  return fd ? read_mapped(fd, file.path, file.bytes, random) : Reading{.error = errno};
}

// O_DIRECT on a blob that the kernel reads itself wants all aligned as the disk does.
Reading Content::read_unmapped(const fs::path& view, Random& random) const {
  const File& file = any_file(random);
  const bool direct = file.path.extension() == ".tar" && random() % 2;
  const UniqueFd fd = open_file(view / file.path, direct);
  if (!fd) return {.error = errno};
  if (random() % 2) return read_here_and_there(fd, file.path, file.bytes, random);
  return read_through(fd, file.path, file.bytes, 4096 + random() % kMiB);
}

Reading Content::read_a_little(const fs::path& view, Random& random) const {
  const File& file = any_file(random);
  const UniqueFd fd = open_file(view / file.path, false);
  if (!fd) return {.error = errno};
  std::string buffer;
  return read_range(fd, file.path, file.bytes, random() % (file.bytes.size() + 1),
                    1 + random() % (64 << 10), buffer);
}

Reading Content::read_archive(const fs::path& view) const {
  const UniqueFd fd = open_file(archive_in(view), false);
  return fd ? read_through(fd, files_.front().path, archive(), 128 << 10) : Reading{.error = errno};
}

}  // namespace ollamafs::test
