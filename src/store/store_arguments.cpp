#include "src/store/store_arguments.h"

#include <unistd.h>

#include <cstddef>
#include <utility>

#include "src/store/open_store.h"

namespace ollamafs {

namespace fs = std::filesystem;

ChosenStore open_store(const StoreArguments& arguments, std::vector<std::string> command) {
  std::vector<fs::path> follow;
  std::ptrdiff_t at = 1;  // behind the command's own name
  for (const fs::path& directory : arguments.follow) {
    follow.push_back(follow_directory("--follow ", directory));
    command.insert(command.begin() + at, {"--follow", directory.string()});
    at += 2;
  }
  StoreChoice choice = choose_store(arguments.store, command);
  // As root, a link in somebody's store must not make us read whatever it leads to.
  const OutsideLinks outside = ::geteuid() == 0 ? OutsideLinks::refuse : OutsideLinks::follow;
  StoreDir dir = open_store(choice, outside, follow);
  return {std::move(choice), std::move(dir)};
}

}  // namespace ollamafs
