#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>

namespace ollamafs {

// What a service of the system is started with, as its unit files say.
struct ServiceUnit {
  // Environment= and EnvironmentFile=, where the latter wins. A key without a value: it is set, but
  // only systemd can tell to what, because of a specifier.
  std::map<std::string, std::optional<std::string>> environment;
  // User=. Empty: root. Nothing: as above.
  std::optional<std::string> user = "";
};

// Reads the unit `name` ("ollama.service") and its drop-ins below `root` (systemd.unit(5),
// systemd.exec(5)), without asking systemd: it need not run, and it tells ordinary users only what
// it has loaded. Nothing if there is no such unit, or if it is masked or unreadable.
//
// Lines that systemd would not accept are passed over, as it does. Not followed: globs and
// continued lines in environment files, drop-ins for all services, UnsetEnvironment=. An
// environment file that is missing or may not be read counts as empty.
[[nodiscard]] std::optional<ServiceUnit> read_service_unit(const std::filesystem::path& root,
                                                           const std::string& name);

}  // namespace ollamafs
