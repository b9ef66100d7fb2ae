#include "src/open_store.h"

#include <fmt/format.h>

#include <system_error>

#include "src/caller.h"
#include "src/exit_status.h"
#include "store/store_access.h"
#include "store/text.h"

namespace ollamafs {

StoreChoice choose_store(const std::filesystem::path& given) try {
  StoreChoice choice = find_store(given, Host::current());
  if (const auto barrier = find_barrier(choice.taken.path)) {
    throw CommandError{fmt::format("{}\n{}", choice.reason, explain(*barrier, caller_name())),
                       ExitStatus::store_unreadable};
  }
  return choice;
} catch (const StoreNotFound& error) {
  throw CommandError{error.what(), ExitStatus::no_store};
}

StoreDir open_store(const StoreChoice& choice, OutsideLinks outside,
                    const std::vector<std::filesystem::path>& follow) try {
  return StoreDir{choice.taken.path, outside, follow};
} catch (const std::system_error& error) {
  throw CommandError{fmt::format("the store {} cannot be opened: {}",
                                 printable(choice.taken.path.string()), printable(error.what()))};
}

}  // namespace ollamafs
