#pragma once

#include <memory>
#include <vector>

#include "src/commands/command.h"

namespace ollamafs {

// Each in the file of its name. Those of mount, umount and status alone need fs/.

// Shows a store at a mount point. Returns when the mount answers, or with --foreground when it has
// ended.
[[nodiscard]] std::unique_ptr<Command> make_mount();

// Ends mounts. Fails if there is no mount of ollamafs, if it is busy, or belongs to another user.
[[nodiscard]] std::unique_ptr<Command> make_umount();

// Prints the mounts of this machine, and how they do.
[[nodiscard]] std::unique_ptr<Command> make_status();

// Prints the models as `ollama list` does, the newest first, then what is wrong with the broken
// ones and with the store.
[[nodiscard]] std::unique_ptr<Command> make_list();

// Writes models to a file, a directory or a pipe.
[[nodiscard]] std::unique_ptr<Command> make_export();

// Takes models from archives or folders into a store, and prints them.
[[nodiscard]] std::unique_ptr<Command> make_import();

// Prints what a model is, as `ollama show` does, from the store alone.
[[nodiscard]] std::unique_ptr<Command> make_show();

// Says how much room models take, and what deleting them would give back.
[[nodiscard]] std::unique_ptr<Command> make_du();

// Computes the SHA-256 of every blob, and says what is wrong.
[[nodiscard]] std::unique_ptr<Command> make_verify();

// Lists blobs that no manifest names, and deletes them.
[[nodiscard]] std::unique_ptr<Command> make_prune();

// Prints the help of the program, or of a command.
[[nodiscard]] std::unique_ptr<Command> make_help();

// All commands, in the order in which the help names them.
[[nodiscard]] std::vector<std::unique_ptr<Command>> all_commands();

}  // namespace ollamafs
