#include "store/mount_table.h"

#include <sys/sysmacros.h>

#include <cerrno>
#include <cstdio>
#include <fstream>
#include <optional>
#include <sstream>
#include <system_error>

namespace ollamafs {
namespace {

constexpr const char* kTable = "/proc/self/mountinfo";

// Blank, tab, newline and backslash stand as three octal digits in the table.
std::string unescape(const std::string& field) {
  std::string out;
  for (std::size_t i = 0; i < field.size(); ++i) {
    if (field[i] == '\\' && i + 3 < field.size()) {
      out += static_cast<char>((field[i + 1] - '0') << 6 | (field[i + 2] - '0') << 3 |
                               (field[i + 3] - '0'));
      i += 3;
    } else {
      out += field[i];
    }
  }
  return out;
}

// "36 35 98:0 /root /mountpoint options optional… - type source superoptions"
std::optional<MountEntry> parse(const std::string& line) {
  std::istringstream words{line};
  int id = 0;
  std::string skip, device, mountpoint, type, source;
  words >> id >> skip >> device >> skip >> mountpoint;
  while (words >> skip && skip != "-") {
  }
  unsigned major = 0, minor = 0;
  if (!(words >> type >> source) || std::sscanf(device.c_str(), "%u:%u", &major, &minor) != 2) {
    return std::nullopt;
  }
  return MountEntry{id, unescape(mountpoint), unescape(type), unescape(source),
                    ::makedev(major, minor)};
}

}  // namespace

std::vector<MountEntry> mount_table() {
  std::ifstream table{kTable};
  if (!table) throw std::system_error{errno, std::generic_category(), kTable};
  std::vector<MountEntry> entries;
  for (std::string line; std::getline(table, line);) {
    if (auto entry = parse(line)) entries.push_back(std::move(*entry));
  }
  return entries;
}

}  // namespace ollamafs
