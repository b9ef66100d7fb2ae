#include "src/store/caller.h"

#include <pwd.h>
#include <unistd.h>

#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <string_view>

namespace ollamafs {
namespace {

std::optional<std::uint32_t> number_in(const char* variable) {
  const char* value = std::getenv(variable);
  if (!value) return std::nullopt;
  const std::string_view text{value};
  std::uint32_t number = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (ec != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::string name_of(uid_t uid) {
  const passwd* entry = ::getpwuid(uid);
  return entry ? entry->pw_name : std::to_string(uid);
}

}  // namespace

std::optional<SudoCaller> sudo_caller() {
  const auto uid = number_in("SUDO_UID");
  const auto gid = number_in("SUDO_GID");
  if (::geteuid() != 0 || !uid || !gid || *uid == 0) return std::nullopt;
  return SudoCaller{*uid, *gid, name_of(*uid)};
}

std::string caller_name() {
  return name_of(::geteuid());
}

}  // namespace ollamafs
