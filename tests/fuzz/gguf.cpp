// Reading the header of a GGUF file of any bytes whatever: never more is kept than the limits say,
// and what is behind a header's end changes nothing of it.
#include "store/describe/gguf.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "store/base/unique_fd.h"
#include "tests/fuzz/check.h"

namespace ollamafs::test {
namespace {

constexpr GgufLimits kTight{.bytes = 512, .values = 4, .tensors = 2, .string = 32, .strings = 64};

std::optional<GgufHeader> read_header(std::string_view bytes, const GgufLimits& limits) try {
  const UniqueFd file{::memfd_create("gguf", MFD_CLOEXEC)};
  OLLAMAFS_CHECK(file && ::write(file.get(), bytes.data(), bytes.size()) ==
                             static_cast<ssize_t>(bytes.size()));
  return read_gguf(FileCalls::kernel(), file.get(), limits);
} catch (const GgufError& error) {
  OLLAMAFS_CHECK_FOR(is_one_printable_line(error.what()), error.what());
  return std::nullopt;
}

void check_limits(const GgufHeader& header, const GgufLimits& limits) {
  OLLAMAFS_CHECK(header.version >= 1 && header.version <= 3);
  OLLAMAFS_CHECK(header.values.size() <= limits.values);
  OLLAMAFS_CHECK(header.tensors <= limits.tensors);
  std::uint64_t kept = 0;
  for (const auto& [key, value] : header.values) {
    OLLAMAFS_CHECK(key.size() <= limits.string);
    kept += key.size();
    const std::string* const text = std::get_if<std::string>(&value);
    if (!text) continue;
    OLLAMAFS_CHECK(text->size() <= limits.string);
    kept += text->size();
  }
  OLLAMAFS_CHECK(kept <= limits.strings);
}

// But for numbers that are none: those are unequal to themselves.
void check_same(const GgufHeader& one, const GgufHeader& other) {
  OLLAMAFS_CHECK(one.version == other.version && one.tensors == other.tensors);
  OLLAMAFS_CHECK(one.parameters == other.parameters && one.values.size() == other.values.size());
  for (const auto& [key, value] : one.values) {
    const auto there = other.values.find(key);
    OLLAMAFS_CHECK_FOR(there != other.values.end(), key);
    OLLAMAFS_CHECK_FOR(there->second == value || std::holds_alternative<double>(value), key);
  }
}

void check(std::string_view bytes) {
  const auto header = read_header(bytes, {});
  const auto tight = read_header(bytes, kTight);
  if (tight) check_limits(*tight, kTight);
  OLLAMAFS_CHECK(header || !tight);
  if (!header) return;
  check_limits(*header, {});
  if (tight) check_same(*header, *tight);
  const auto longer = read_header(std::string{bytes} + std::string(100, '\xFF'), {});
  OLLAMAFS_CHECK(longer);
  check_same(*header, *longer);
}

}  // namespace
}  // namespace ollamafs::test

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  ollamafs::test::check(ollamafs::test::as_text(data, size));
  return 0;
}
