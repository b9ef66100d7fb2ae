#include "src/commands/commands.h"

#include "src/commands/mount_commands.h"

namespace ollamafs {

std::vector<std::unique_ptr<Command>> all_commands() {
  std::vector<std::unique_ptr<Command>> commands = mount_commands();
  for (const auto& make : {make_list, make_show, make_export, make_import, make_verify, make_du,
                           make_prune, make_help})
    commands.push_back(make());
  return commands;
}

}  // namespace ollamafs
