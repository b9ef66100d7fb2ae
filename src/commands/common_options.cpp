#include "src/commands/common_options.h"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <string>

#include "store/find/server_process.h"

namespace ollamafs {
namespace {

constexpr const char* kEmpty = "may not be empty";

std::string refuse_empty(const std::string& value) {
  return value.empty() ? kEmpty : "";
}

// A script whose variable is not set writes --store "$DIR" and means a store of its own: that must
// not be taken for "find the store". What counts as empty is what find_store takes for that.
std::string refuse_empty_store(const std::string& value) {
  return trimmed_setting(value).empty() ? kEmpty : "";
}

}  // namespace

void add_store(CLI::App& command, std::filesystem::path& store) {
  command.add_option("--store", store, "The models folder (default: found)")
      ->type_name("DIR")
      ->check(refuse_empty_store);
}

void add_follow(CLI::App& command, std::vector<std::filesystem::path>& follow) {
  command.add_option("--follow", follow, "Where symlinks may lead out of the store")
      ->type_name("DIR")
      ->check(refuse_empty)
      ->expected(1)
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

void add_store_arguments(CLI::App& command, StoreArguments& arguments) {
  add_store(command, arguments.store);
  add_follow(command, arguments.follow);
}

void add_json(CLI::App& command, bool& json) {
  command.add_flag("--json", json, "For machines");
}

void add_quiet(CLI::App& command, bool& quiet, const char* help) {
  command.add_flag("-q,--quiet", quiet, help);
}

void add_mountpoint(CLI::App& command, std::filesystem::path& mountpoint, const char* help) {
  command.add_option("MOUNTPOINT", mountpoint, help)->check(refuse_empty)->type_name("");
}

void add_mountpoints(CLI::App& command, std::vector<std::filesystem::path>& mountpoints,
                     const char* help) {
  command.add_option("MOUNTPOINT", mountpoints, help)->check(refuse_empty)->type_name("");
}

}  // namespace ollamafs
