#include "src/commands/commands.h"

namespace ollamafs {

std::vector<std::unique_ptr<Command>> all_commands() {
  std::vector<std::unique_ptr<Command>> commands;
  for (const auto& make :
       {make_mount, make_umount, make_list, make_show, make_du, make_verify, make_prune})
    commands.push_back(make());
  return commands;
}

}  // namespace ollamafs
