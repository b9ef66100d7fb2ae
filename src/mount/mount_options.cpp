#include "src/mount/mount_options.h"

#include <fmt/format.h>
#include <grp.h>
#include <pwd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <string_view>

#include "src/say/exit_status.h"
#include "src/store/open_store.h"
#include "store/base/text.h"

namespace ollamafs {
namespace {

constexpr std::array<std::string_view, 5> kAlways = {"ro", "nosuid", "nodev", "noexec",
                                                     "default_permissions"};
constexpr std::array<std::string_view, 4> kNever = {"rw", "suid", "dev", "exec"};

// What a line of fstab says to others than the file system (mount(8), "FILESYSTEM-INDEPENDENT MOUNT
// OPTIONS"), or of writing and of times of access, which nothing here has.
constexpr std::array<std::string_view, 27> kForOthers = {
    "defaults", "auto",  "noauto",      "_netdev",  "user",          "nouser",     "users",
    "nousers",  "owner", "noowner",     "group",    "nogroup",       "async",      "sync",
    "dirsync",  "atime", "noatime",     "diratime", "relatime",      "nodiratime", "norelatime",
    "silent",   "loud",  "strictatime", "lazytime", "nostrictatime", "nolazytime"};
constexpr std::array<std::string_view, 4> kForOthersPrefixes = {"x-", "X-", "comment=", "user="};

bool is_for_others(std::string_view word) {
  return std::ranges::find(kForOthers, word) != kForOthers.end() ||
         std::ranges::any_of(kForOthersPrefixes,
                             [&](std::string_view prefix) { return word.starts_with(prefix); });
}

[[noreturn]] void refuse(const std::string& message) {
  throw CommandError{message, ExitStatus::usage};
}

std::vector<std::string> split(const std::string& list) {
  std::vector<std::string> words(1);
  for (std::size_t i = 0; i < list.size(); ++i) {
    if (list[i] == ',') {
      words.emplace_back();
    } else {
      if (list[i] == '\\' && i + 1 < list.size()) ++i;
      words.back() += list[i];
    }
  }
  std::erase(words, "");
  return words;
}

// A number, or a name that `by_name` knows. The largest number means "none" to the kernel.
template <class ByName>
std::uint32_t id_of(std::string_view option, const std::string& value, ByName&& by_name) {
  std::uint32_t id = 0;
  const auto [end, ec] = std::from_chars(value.data(), value.data() + value.size(), id);
  if (ec == std::errc{} && end == value.data() + value.size() && id != UINT32_MAX) return id;
  if (const auto* entry = by_name(value.c_str())) return *entry;
  refuse(fmt::format("-o {}={}: neither a number nor a known name", option, printable(value)));
}

std::chrono::seconds seconds(std::string_view option, const std::string& value, unsigned least) {
  constexpr unsigned most = 86'400;
  unsigned number = 0;
  const auto [end, ec] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (ec == std::errc{} && end == value.data() + value.size() && number >= least && number <= most)
    return std::chrono::seconds{number};
  refuse(fmt::format("-o {}={}: not a number of seconds from {} to {}", option, printable(value),
                     least, most));
}

// Bytes, or thousands, millions or billions of them.
std::uint64_t split_size(const std::string& value) {
  constexpr std::uint64_t least = 1'000'000, most = std::numeric_limits<std::int64_t>::max();
  constexpr std::string_view suffixes = "KMG";
  std::uint64_t size = 0, unit = 1;
  const char* const behind = value.data() + value.size();
  auto [end, ec] = std::from_chars(value.data(), behind, size);
  if (ec == std::errc{} && end + 1 == behind && suffixes.find(*end) != suffixes.npos) {
    for (std::size_t i = 0; i <= suffixes.find(*end); ++i) unit *= 1000;
    ++end;
  }
  if (ec == std::errc{} && end == behind && size <= most / unit && size * unit >= least)
    return size * unit;
  refuse(fmt::format("-o split={}: not a number of bytes from {}, or of K, M or G",
                     printable(value), least));
}

const uid_t* user_id(const char* name) {
  const passwd* entry = ::getpwnam(name);
  return entry ? &entry->pw_uid : nullptr;
}

const gid_t* group_id(const char* name) {
  const group* entry = ::getgrnam(name);
  return entry ? &entry->gr_gid : nullptr;
}

ViewSet only_view(const std::string& value) {
  ViewSet views;
  if (const auto view = view_at(value)) {
    views.add(*view);
    return views;
  }
  std::string known;
  for (const ViewName& named : kViewNames) known += fmt::format(" {}", named.path);
  refuse(fmt::format("-o views={}: no such view, there are:{}", printable(value), known));
}

// Takes an option that changes nothing here, and refuses every other.
void take_or_refuse(MountOptions& options, const std::string& word, OptionRules rules) {
  if (word == "auto_unmount") {
    refuse(
        "-o auto_unmount: leave it out; a signal unmounts, and what a killed daemon has left is "
        "cleared by the next mount there");
  }
  if (word == "remount") refuse("-o remount: unmount it, and mount it anew with other options");
  if (word == "rw" && rules.rw_means_nothing) return;
  if (std::ranges::find(kNever, word) != kNever.end())
    refuse(fmt::format("-o {}: the view is always ro,nosuid,nodev,noexec", word));
  if (std::ranges::find(kAlways, word) != kAlways.end() || is_for_others(word)) return;
  if (!rules.skip_unknown) refuse(fmt::format("unknown option: -o {}", printable(word)));
  options.skipped.push_back(word);
}

void apply(MountOptions& options, const std::string& word, OptionRules rules) {
  const std::size_t equals = word.find('=');
  const std::string name = word.substr(0, equals);
  const std::string value = equals == std::string::npos ? "" : word.substr(equals + 1);
  const auto is_flag = [&](std::string_view flag) {
    if (name == flag && equals != std::string::npos)
      refuse(fmt::format("-o {} takes no value", name));
    return name == flag;
  };
  const auto has_value = [&](std::string_view option) {
    if (name == option && value.empty()) refuse(fmt::format("-o {}= needs a value", name));
    return name == option;
  };
  if (is_flag("allow_other")) {
    options.allow_other = true;
  } else if (is_flag("allow_root")) {
    options.allow_root = true;
  } else if (is_flag("nofail")) {
    options.nofail = true;
  } else if (is_flag("nonempty")) {
    options.nonempty = true;
  } else if (is_flag("verify")) {
    options.verify = true;
  } else if (has_value("uid")) {
    options.uid = id_of(name, value, user_id);
  } else if (has_value("gid")) {
    options.gid = id_of(name, value, group_id);
  } else if (has_value("follow")) {
    options.follow.push_back(follow_directory("-o follow=", value));
  } else if (has_value("poll")) {
    options.poll = seconds(name, value, 1);
  } else if (has_value("views")) {
    options.views = only_view(value);
  } else if (has_value("hold")) {
    options.hold = seconds(name, value, 0);
  } else if (has_value("split")) {
    options.split = split_size(value);
  } else {
    take_or_refuse(options, word, rules);
  }
}

}  // namespace

MountOptions parse_mount_options(const std::vector<std::string>& arguments, OptionRules rules) {
  MountOptions options;
  for (const std::string& argument : arguments) {
    bool is_in_views = false;  // views=models,archives: the list goes on behind its commas
    for (const std::string& word : split(argument)) {
      const auto view = view_at(word);
      if (is_in_views && view) {
        options.views.add(*view);
        continue;
      }
      is_in_views = word.starts_with("views=");
      apply(options, word, rules);
    }
  }
  if (options.allow_other && options.allow_root)
    refuse("-o allow_other and -o allow_root: only one of them");
  return options;
}

}  // namespace ollamafs
