#include "src/commands/completed_values.h"

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <exception>
#include <utility>

#include "store/base/text.h"
#include "store/catalog/catalog.h"
#include "store/catalog/name_completion.h"
#include "store/watch/mount_table.h"

namespace ollamafs {
namespace {

// The parts of a list, without blanks and line ends.
std::vector<std::string> parts_of(std::string_view list) {
  constexpr std::string_view kBetween = ", \n";
  std::vector<std::string> parts;
  for (std::size_t at = 0; (at = list.find_first_not_of(kBetween, at)) != list.npos;) {
    const std::size_t end = std::min(list.find_first_of(kBetween, at), list.size());
    parts.emplace_back(list.substr(at, end - at));
    at = end;
  }
  return parts;
}

}  // namespace

std::vector<std::string> completed_models(const StoreArguments& store, std::string_view typed) try {
  const ChosenStore chosen = open_store(store, {"list"});
  return complete_name(*Catalog::read(chosen.dir), typed);
} catch (const std::exception&) {
  return {};
}

std::vector<std::string> completed_mounts(std::string_view typed) try {
  std::vector<std::string> mounts;
  for (const MountEntry& mount : mount_table()) {
    // A name that the shell would take for two is left out.
    if (mount.type != kMountType || printable(mount.mountpoint) != mount.mountpoint) continue;
    if (mount.mountpoint.starts_with(typed)) mounts.push_back(mount.mountpoint);
  }
  return mounts;
} catch (const std::exception&) {
  return {};
}

std::vector<std::string> completed_choice(std::string_view choice, std::string_view typed) {
  std::vector<std::string> values = parts_of(choice);
  std::erase_if(values, [&](const std::string& value) { return !value.starts_with(typed); });
  return values;
}

std::vector<std::string> completed_list(std::string_view description, std::string_view typed) {
  const std::size_t begin = typed.rfind(',') + 1;  // 0 if there is no comma
  const std::string_view before = typed.substr(0, begin);
  std::vector<std::string> values;
  for (std::string option : parts_of(description)) {
    const std::size_t equals = option.find('=');
    if (equals != option.npos) option.resize(equals + 1);
    const bool is_option = option.find_first_not_of("abcdefghijklmnopqrstuvwxyz_=") == option.npos;
    if (is_option && option.starts_with(typed.substr(begin)))
      values.push_back(std::string{before} + option);
  }
  return values;
}

std::filesystem::path with_home(const std::string& typed) {
  const char* const home = std::getenv("HOME");
  if (home == nullptr || !typed.starts_with("~/")) return typed;
  return std::filesystem::path{home} / typed.substr(2);
}

}  // namespace ollamafs
