#pragma once

#include <filesystem>
#include <vector>

#include "src/store/store_arguments.h"

namespace CLI {
class App;
}

namespace ollamafs {

// Arguments and options that several commands take. What is given is written to the second argument
// when the command line is parsed.

// --store DIR. Stays empty if it is not given: find the store.
void add_store(CLI::App& command, std::filesystem::path& store);

// --follow DIR, as often as wanted.
void add_follow(CLI::App& command, std::vector<std::filesystem::path>& follow);

// Both.
void add_store_arguments(CLI::App& command, StoreArguments& arguments);

// --json
void add_json(CLI::App& command, bool& json);

// -q, --quiet, for make_progress(); `help` says what is left unsaid.
void add_quiet(CLI::App& command, bool& quiet, const char* help);

// MOUNTPOINT, which may be left out; `help` says what it has to be.
void add_mountpoint(CLI::App& command, std::filesystem::path& mountpoint, const char* help);

// The same, as many as wanted.
void add_mountpoints(CLI::App& command, std::vector<std::filesystem::path>& mountpoints,
                     const char* help);

}  // namespace ollamafs
