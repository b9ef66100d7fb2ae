#include "src/store/open_store.h"

#include <fmt/format.h>

#include <system_error>

#include "src/say/exit_status.h"
#include "src/store/caller.h"
#include "store/access/store_access.h"
#include "store/base/text.h"

namespace ollamafs {

namespace fs = std::filesystem;

std::string as_root(const std::vector<std::string>& command, const fs::path& store) {
  std::string line =
      fmt::format("sudo ollamafs {} --store {}", command.front(), shell_word(store.native()));
  for (std::size_t i = 1; i < command.size(); ++i) line += " " + shell_word(command[i]);
  return line;
}

StoreChoice choose_store(const fs::path& given, const std::vector<std::string>& command) try {
  StoreChoice choice = find_store(given, Host::current());
  if (const auto barrier = find_barrier(choice.taken.path)) {
    const std::string ways = explain(*barrier, caller_name(), as_root(command, choice.taken.path));
    throw CommandError{fmt::format("{}\n{}", choice.reason, ways), ExitStatus::store_unreadable};
  }
  return choice;
} catch (const StoreNotFound& error) {
  throw CommandError{error.what(), ExitStatus::no_store};
}

fs::path follow_directory(const std::string& option, const fs::path& given) {
  std::error_code ec;
  fs::path real = fs::canonical(given, ec);
  if (!ec && fs::is_directory(real, ec)) return real;
  if (!ec) ec = std::make_error_code(std::errc::not_a_directory);
  throw CommandError{fmt::format("{}{}: {}", option, printable(given.native()), ec.message()),
                     ExitStatus::usage};
}

StoreDir open_store(const StoreChoice& choice, OutsideLinks outside,
                    const std::vector<fs::path>& follow, const FileCalls& calls) try {
  return StoreDir{choice.taken.path, outside, follow, calls};
} catch (const std::system_error& error) {
  throw CommandError{fmt::format("the store {} cannot be opened: {}",
                                 printable(choice.taken.path.string()), printable(error.what()))};
}

}  // namespace ollamafs
