#include "store/transfer/open_sources.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <system_error>
#include <utility>

#include "store/base/text.h"
#include "store/base/unique_fd.h"
#include "store/transfer/archive_source.h"
#include "store/transfer/byte_stream.h"
#include "store/transfer/folder_source.h"
#include "store/transfer/loose_source.h"
#include "store/transfer/part_content.h"
#include "store/transfer/split_parts.h"
#include "store/transfer/transfer_error.h"

namespace ollamafs {
namespace {

namespace fs = std::filesystem;
using Kind = TransferError::Kind;

std::string shown_path(const fs::path& path) {
  return printable(path.string());
}

UniqueFd open_path(const fs::path& path, Progress& progress) {
  UniqueFd fd;
  do {
    progress.add(0);  // a named pipe that nobody fills is waited for
    fd = UniqueFd{path == "-" ? ::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0)
                              : ::open(path.c_str(), O_RDONLY | O_NOCTTY | O_CLOEXEC)};
  } while (!fd && errno == EINTR);
  if (fd) return fd;
  const std::error_code ec{errno, std::generic_category()};
  const bool is_missing = ec == std::errc::no_such_file_or_directory;
  throw TransferError{is_missing ? Kind::not_found : Kind::failed,
                      fmt::format("{}: {}", shown_path(path),
                                  is_missing ? "there is no such source" : ec.message())};
}

bool is_directory(int fd) {
  struct stat st {};
  return ::fstat(fd, &st) == 0 && S_ISDIR(st.st_mode);
}

std::vector<fs::path> files_in(const fs::path& directory) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator{directory}) {
    if (entry.is_regular_file()) files.push_back(entry.path());
  }
  std::ranges::sort(files);
  return files;
}

// The parts of one file, if a folder holds nothing else: as archives/NAME.tar.parts of a mount.
// Files that are hidden do not count: other systems leave some on a stick.
std::vector<fs::path> parts_in(const fs::path& directory) {
  auto files = files_in(directory);
  std::erase_if(files, [](const fs::path& file) { return file.filename().string()[0] == '.'; });
  auto rows = group_parts(files, continues_archive);
  const bool are_parts =
      rows.size() == 1 && next_part(rows[0][0].filename().string()) && begins_archive(rows[0][0]);
  return are_parts ? std::move(rows[0]) : std::vector<fs::path>{};
}

std::unique_ptr<ImportSource> open_loose_files(const fs::path& path, Progress& progress) {
  if (auto source = open_loose_source(files_in(path), shown_path(path), progress)) return source;
  throw TransferError{
      Kind::broken,
      fmt::format("{} holds no model: neither a folder blobs with files sha256-… and a folder "
                  "manifests, nor files of which one is a manifest, nor the parts of an archive",
                  shown_path(path))};
}

class Opening {
 public:
  Opening(OutsideLinks links, Progress& progress) : links_{links}, progress_{progress} {}

  void open(const std::vector<fs::path>& parts) {
    std::vector<UniqueFd> files;
    std::vector<std::string> names;
    for (const fs::path& part : parts) {
      files.push_back(open_path(part, progress_));
      names.push_back(shown_path(part));
    }
    const fs::path& path = parts.front();
    if (is_directory(files.front().get())) {
      open_folder(path);
      return;
    }
    std::string shown = path == "-" ? "standard input" : shown_path(path);
    if (path == "-" && ::isatty(STDIN_FILENO)) {
      throw TransferError{Kind::usage, "standard input is a terminal; pipe an archive to it"};
    }
    ByteStream stream{std::move(files), std::move(names), progress_};
    const bool is_packed = is_archive(stream.peek(kArchiveBeginning));
    if (is_packed || path == "-" || stream.peek(1).empty()) {
      if (stream.is_seekable()) stream.seek(0);
      sources_.push_back(open_archive_source(std::move(stream), std::move(shown)));
    } else {
      loose_.insert(loose_.end(), parts.begin(), parts.end());
    }
  }

  std::vector<std::unique_ptr<ImportSource>> finish() && {
    if (loose_.empty()) return std::move(sources_);
    auto source = open_loose_source(loose_, shown_path(loose_.front()), progress_);
    if (!source) {
      throw TransferError{Kind::broken,
                          fmt::format("{} is no archive, neither tar nor zip, and no manifest",
                                      shown_path(loose_.front()))};
    }
    sources_.push_back(std::move(source));
    return std::move(sources_);
  }

 private:
  void open_folder(const fs::path& folder) {
    if (auto source = open_folder_source(StoreDir{folder, links_}, shown_path(folder))) {
      sources_.push_back(std::move(source));
    } else if (const auto parts = parts_in(folder); !parts.empty()) {
      open(parts);
    } else {
      sources_.push_back(open_loose_files(folder, progress_));
    }
  }

  OutsideLinks links_;
  Progress& progress_;
  std::vector<std::unique_ptr<ImportSource>> sources_;
  std::vector<fs::path> loose_;
};

}  // namespace

std::vector<std::unique_ptr<ImportSource>> open_sources(const std::vector<fs::path>& paths,
                                                        OutsideLinks links, Progress& progress) {
  Opening opening{links, progress};
  for (const auto& parts : group_parts(paths, continues_archive)) opening.open(parts);
  return std::move(opening).finish();
}

}  // namespace ollamafs
