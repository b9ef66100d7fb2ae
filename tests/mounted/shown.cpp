#include "tests/mounted/shown.h"

#include "tests/mounted/mount.h"
#include "tests/support/process.h"

namespace ollamafs::test {

namespace fs = std::filesystem;

std::size_t count(const std::string& text, const std::string& what) {
  std::size_t found = 0;
  for (std::size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += what.size()) {
    ++found;
  }
  return found;
}

std::string list(const fs::path& store) {
  return must({binary(), "list", "--store", store.string()}, {.timeout = kSoon});
}

nlohmann::json list_json(const fs::path& store) {
  return nlohmann::json::parse(
      must({binary(), "list", "--json", "--store", store.string()}, {.timeout = kSoon}));
}

std::set<std::string> names_in(const fs::path& folder) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator{folder}) names.insert(entry.path().filename());
  return names;
}

}  // namespace ollamafs::test
