#include "src/say/output.h"

#include <fmt/format.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "src/say/exit_status.h"

namespace ollamafs {

void print_json(const nlohmann::ordered_json& json) {
  fmt::print("{}\n", json.dump(2, ' ', true, nlohmann::ordered_json::error_handler_t::replace));
}

void end_output(const std::string& failure) {
  if (std::fflush(stdout) != 0) throw CommandError{failure};
}

}  // namespace ollamafs
