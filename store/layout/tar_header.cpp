#include "store/layout/tar_header.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <numeric>
#include <optional>
#include <utility>

namespace ollamafs {
namespace {

constexpr std::uint64_t kOctalSizeLimit = std::uint64_t{1} << 33;  // 8 GiB: eleven octal digits
constexpr std::size_t kNameMax = 100;
constexpr std::size_t kPrefixMax = 155;

// struct posix_header. Every field is bytes, so there is no padding.
struct UstarHeader {
  char name[100];
  char mode[8];
  char uid[8];
  char gid[8];
  char size[12];
  char mtime[12];
  char checksum[8];
  char typeflag;
  char linkname[100];
  char magic[6];
  char version[2];
  char uname[32];
  char gname[32];
  char devmajor[8];
  char devminor[8];
  char prefix[155];
  char unused[12];
};
static_assert(sizeof(UstarHeader) == kTarBlock);

template <std::size_t N>
void put(char (&field)[N], std::string_view text) noexcept {
  std::copy_n(text.begin(), std::min(text.size(), N), field);
}

// N - 1 octal digits and a NUL.
template <std::size_t N>
void put_octal(char (&field)[N], std::uint64_t value) {
  put(field, fmt::format("{:0{}o}", value, N - 1));
}

// GNU's form for what octal digits cannot hold: the top bit set, the number big-endian at the end.
// Readers that do not know pax records read this one.
void put_size(char (&field)[12], std::uint64_t value) {
  if (value < kOctalSizeLimit) {
    put_octal(field, value);
    return;
  }
  field[0] = static_cast<char>(0x80);
  for (std::size_t i = sizeof field - 1; i > 0; --i, value >>= 8) {
    field[i] = static_cast<char>(value & 0xFF);
  }
}

struct SplitPath {
  std::string_view prefix, name;
};

// At the last '/' that leaves a prefix and a name which fit their fields.
std::optional<SplitPath> split(std::string_view path) noexcept {
  if (path.size() <= kNameMax) return SplitPath{{}, path};
  const std::size_t slash = path.rfind('/', kPrefixMax);
  if (slash == std::string_view::npos || slash == 0) return std::nullopt;
  const SplitPath parts{path.substr(0, slash), path.substr(slash + 1)};
  if (parts.name.empty() || parts.name.size() > kNameMax) return std::nullopt;
  return parts;
}

std::string block(char typeflag, SplitPath path, std::uint64_t size, std::int64_t mtime) {
  UstarHeader header{};
  put(header.name, path.name);
  put(header.prefix, path.prefix);
  put_octal(header.mode, 0644);
  put_octal(header.uid, 0);
  put_octal(header.gid, 0);
  put_size(header.size, size);
  put_octal(header.mtime, static_cast<std::uint64_t>(mtime));
  header.typeflag = typeflag;
  put(header.magic, "ustar");
  put(header.version, "00");
  put(header.uname, "ollama");
  put(header.gname, "ollama");
  put_octal(header.devmajor, 0);
  put_octal(header.devminor, 0);

  // The sum of all bytes, the field itself taken as blanks: six digits, NUL, blank.
  put(header.checksum, "        ");
  std::string bytes(sizeof header, '\0');
  std::memcpy(bytes.data(), &header, sizeof header);
  const unsigned sum = std::accumulate(bytes.begin(), bytes.end(), 0u, [](unsigned total, char c) {
    return total + static_cast<unsigned char>(c);
  });
  const std::string digits = fmt::format("{:06o}", sum);
  bytes.replace(offsetof(UstarHeader, checksum), digits.size() + 1, digits.c_str(),
                digits.size() + 1);
  return bytes;
}

// "LENGTH KEYWORD=VALUE\n", where LENGTH counts its own digits too.
std::string pax_record(std::string_view keyword, std::string_view value) {
  const std::size_t rest = keyword.size() + value.size() + 3;
  std::size_t length = rest + 1;
  while (std::to_string(length).size() + rest > length) ++length;
  return fmt::format("{} {}={}\n", length, keyword, value);
}

std::string pax_records(std::string_view path, std::uint64_t size) {
  std::string records;
  if (!split(path)) records += pax_record("path", path);
  if (size >= kOctalSizeLimit) records += pax_record("size", std::to_string(size));
  return records;
}

std::string_view last_component(std::string_view path) noexcept {
  return path.substr(path.rfind('/') + 1);
}

}  // namespace

std::string tar_header(std::string_view path, std::uint64_t size, std::int64_t mtime) {
  std::string out;
  if (std::string records = pax_records(path, size); !records.empty()) {
    const std::string name = fmt::format("PaxHeaders/{}", last_component(path)).substr(0, kNameMax);
    out = block('x', {{}, name}, records.size(), mtime);
    records.append(tar_padding(records.size()), '\0');
    out += records;
  }
  return out + block('0', split(path).value_or(SplitPath{{}, last_component(path)}), size, mtime);
}

std::uint64_t tar_header_size(std::string_view path, std::uint64_t size) noexcept {
  const std::uint64_t records = pax_records(path, size).size();
  return records == 0 ? kTarBlock : 2 * kTarBlock + records + tar_padding(records);
}

}  // namespace ollamafs
