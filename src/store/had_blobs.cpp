#include "src/store/had_blobs.h"

#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <optional>
#include <system_error>

#include "src/say/exit_status.h"
#include "store/base/text.h"
#include "store/blobs/present_blobs.h"

namespace ollamafs {

namespace fs = std::filesystem;

namespace {

[[noreturn]] void refuse_have(const std::string& have, const std::string& reason) {
  throw CommandError{fmt::format("--have {}: {}", printable(have), reason), ExitStatus::not_found};
}

std::set<Digest> of_folder(const std::string& have, const std::vector<const Model*>& models) {
  std::error_code ec;
  std::map<Digest, std::uint64_t> present;
  try {
    const auto outside = ::geteuid() == 0 ? OutsideLinks::refuse : OutsideLinks::follow;
    present = present_blobs(StoreDir{have, outside}, ec);
  } catch (const std::system_error& error) {
    ec = error.code();
  }
  if (ec) refuse_have(have, ec.message());
  std::set<Digest> had;
  for (const Model* model : models) {
    for (const BlobRef& blob : model->manifest->blobs) {
      const auto it = present.find(blob.digest);
      if (it != present.end() && it->second == blob.size) had.insert(blob.digest);
    }
  }
  return had;
}

// The digest that a line names; nothing if it is empty or a download that is not finished.
std::optional<Digest> digest_of_line(const std::string& have, std::string line, unsigned number) {
  line.erase(line.find_last_not_of(" \t\r") + 1);
  const std::string name = line.substr(line.find_last_of('/') + 1);
  if (line.empty() || name.find("-partial") != std::string::npos) return std::nullopt;
  if (const auto digest = Digest::parse(name)) return digest;
  if (const auto digest = Digest::parse_hex(name)) return digest;
  throw CommandError{fmt::format("--have {}: line {} is no digest of a blob: {}", printable(have),
                                 number, printable(line)),
                     ExitStatus::usage};
}

std::set<Digest> of_list(const std::string& have, std::istream& list) {
  std::set<Digest> had;
  std::string line;
  for (unsigned number = 1; std::getline(list, line); ++number) {
    if (const auto digest = digest_of_line(have, line, number)) had.insert(*digest);
  }
  if (list.bad()) refuse_have(have, "cannot be read");
  return had;
}

}  // namespace

std::set<Digest> had_blobs(const std::string& have, const std::vector<const Model*>& models) {
  if (have == "-") return of_list(have, std::cin);
  std::error_code ec;
  if (fs::is_directory(have, ec)) return of_folder(have, models);
  std::ifstream file{have};
  if (!file) refuse_have(have, "there is no such folder or list, or it cannot be read");
  return of_list(have, file);
}

}  // namespace ollamafs
