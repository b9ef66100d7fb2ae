#include "src/commands/version.h"

#include <fmt/format.h>
#include <openssl/crypto.h>
#include <spdlog/version.h>

#include <CLI/Version.hpp>
#include <nlohmann/json.hpp>

namespace ollamafs {

std::string version_text(const std::string& libfuse) {
  return fmt::format(
      "ollamafs {}\n"
      "libfuse {}\n"
      "libcrypto {}\n"
      "spdlog {}.{}.{}\n"
      "fmt {}.{}.{}\n"
      "nlohmann/json {}.{}.{}\n"
      "CLI11 {}",
      OLLAMAFS_VERSION, libfuse, OpenSSL_version(OPENSSL_FULL_VERSION_STRING), SPDLOG_VER_MAJOR,
      SPDLOG_VER_MINOR, SPDLOG_VER_PATCH, FMT_VERSION / 10000, FMT_VERSION / 100 % 100,
      FMT_VERSION % 100, NLOHMANN_JSON_VERSION_MAJOR, NLOHMANN_JSON_VERSION_MINOR,
      NLOHMANN_JSON_VERSION_PATCH, CLI11_VERSION);
}

}  // namespace ollamafs
