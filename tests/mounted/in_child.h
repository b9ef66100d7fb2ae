#pragma once

#include <functional>
#include <optional>
#include <string>

#include "tests/support/process.h"

namespace ollamafs::test {

// Runs `action` in a child process, as this user if one is named, and returns what it returns: for
// calls that no command makes. The child must not touch the test's own objects that have an end.
// Throws std::runtime_error with the reason if the child fails.
[[nodiscard]] std::string in_child(const std::optional<User>& user,
                                   const std::function<std::string()>& action);

}  // namespace ollamafs::test
