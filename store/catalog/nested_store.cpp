#include "store/catalog/nested_store.h"

#include <algorithm>
#include <iterator>
#include <string>
#include <system_error>
#include <utility>

#include "store/base/dir_stream.h"

namespace ollamafs {
namespace {

bool has_directory(const StoreDir& store, const std::string& path) {
  std::error_code ec;
  (void)store.open_directory(path, ec);
  return !ec;
}

std::vector<std::string> folder_entries(const StoreDir& store) {
  std::vector<std::string> names;
  std::error_code ec;
  StoreDir::Opened folder = store.open_directory(".", ec);
  if (ec) return names;
  for_each_dir_entry(store.calls(), std::move(folder.fd), ec, [&](const dirent& entry) {
    if (entry.d_type != DT_REG) names.emplace_back(entry.d_name);
  });
  return names;
}

}  // namespace

std::vector<Problem> nested_stores(const StoreDir& store) {
  std::vector<Problem> found;
  for (const std::string& name : folder_entries(store)) {
    const bool is_ours = std::ranges::find(kStoreFolders, name) != std::end(kStoreFolders);
    for (const char* const folder : kStoreFolders) {
      const std::string path = name + "/" + folder;
      if ((is_ours && name != folder) || !has_directory(store, path)) continue;
      found.push_back(
          {ProblemKind::nested,
           {},
           is_ours ? path : name,
           "is a models folder one level too deep, where Ollama does not look: move what "
           "is in it up"});
      break;
    }
  }
  return found;
}

}  // namespace ollamafs
