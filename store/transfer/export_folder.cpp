#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <utility>
#include <vector>

#include "store/base/text.h"
#include "store/transfer/byte_sink.h"
#include "store/transfer/copy_layout.h"
#include "store/transfer/export.h"
#include "store/transfer/part_file.h"
#include "store/transfer/transfer_error.h"

namespace ollamafs {

namespace fs = std::filesystem;

namespace {

// Copies one blob as a file of its own, by which a file system that can share its blocks does so.
class WholeFileSink final : public ByteSink {
 public:
  WholeFileSink(int fd, const std::string& name, const WriteCalls& calls, Progress& progress)
      : fd_{fd}, calls_{calls}, plain_{fd, name, calls, progress} {}

  void write(std::string_view bytes) override { plain_.write(bytes); }

  std::uint64_t send(int fd, std::uint64_t offset, std::uint64_t size) override {
    const ssize_t copied = shares_ ? calls_.copy_file_range(fd, offset, fd_, size) : -1;
    if (copied > 0) return static_cast<std::uint64_t>(copied);
    shares_ = false;
    return plain_.send(fd, offset, size);
  }

 private:
  const int fd_;
  const WriteCalls& calls_;
  DescriptorSink plain_;
  bool shares_ = true;
};

// The file of a member, as it is there.
class PresentFile {
 public:
  explicit PresentFile(const fs::path& path)
      : fd_{::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC)} {}

  // Whether it is a regular file with this content; reads it whole if it has this size.
  [[nodiscard]] bool is(const ArchiveMember& member, Progress& progress) const {
    struct stat st {};
    if (!fd_ || ::fstat(fd_.get(), &st) != 0 || !S_ISREG(st.st_mode)) return false;
    if (static_cast<std::uint64_t>(st.st_size) != member.size) return false;
    Hasher hasher;
    std::vector<char> buffer(256u << 10);
    for (;;) {
      const ssize_t got = ::read(fd_.get(), buffer.data(), buffer.size());
      if (got < 0 && errno == EINTR) {
        progress.add(0);
      } else if (got < 0) {
        return false;
      } else if (got == 0) {
        return hasher.finish() == member.digest;
      } else {
        hasher.add({buffer.data(), static_cast<std::size_t>(got)});
        progress.add(static_cast<std::uint64_t>(got));
      }
    }
  }

 private:
  UniqueFd fd_;
};

class FolderExport {
 public:
  FolderExport(const ExportSource& source, const fs::path& folder, bool replace,
               const WriteCalls& calls, Progress& progress)
      : source_{source}, folder_{folder}, replace_{replace}, calls_{calls}, progress_{progress} {}

  void run() {
    progress_.expect(source_.size(), source_.file->layout().blobs().size());
    make_folder(folder_);
    // All that would be refused, before anything is written.
    for (const ArchiveMember& member : source_.members) {
      if (member.of_model) refuse_other_manifest(member);
    }
    std::size_t blob = 0;
    for (const ArchiveMember& member : source_.members) {
      if (member.of_model) {
        write_manifest(member);
      } else {
        write_blob(member, source_.file->blobs()[blob++]);
      }
    }
  }

 private:
  // With all folders above it that lack.
  void make_folder(const fs::path& path) {
    if (path.empty() || ::faccessat(AT_FDCWD, path.c_str(), F_OK, 0) == 0) return;
    make_folder(path.parent_path());
    if (calls_.mkdirat(AT_FDCWD, path.c_str(), 0777) != 0 && errno != EEXIST)
      throw_write_failure(printable(path.native()), errno);
  }

  void refuse_other_manifest(const ArchiveMember& member) const {
    const fs::path path = folder_ / member.path;
    if (replace_ || ::faccessat(AT_FDCWD, path.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) != 0) return;
    if (PresentFile{path}.is(member, Progress::none())) return;
    throw TransferError{
        TransferError::Kind::refused,
        fmt::format("{} is there already, for another version of {}\ngive --force to have it "
                    "replaced",
                    printable(path.native()), member.of_model->shown)};
  }

  void write_manifest(const ArchiveMember& member) {
    const std::string& bytes = member.of_model->manifest->bytes;
    const fs::path path = folder_ / member.path;
    if (PresentFile{path}.is(member, progress_)) return;
    // Its part is no name that might be taken for a tag.
    const fs::path part = folder_ / (member.digest.blob_path() + ".part");
    write_file(member, part, [&](ByteSink& out) {
      out.write(bytes);
      progress_.add(bytes.size());
    });
  }

  void write_blob(const ArchiveMember& member, const std::shared_ptr<const OpenBlob>& blob) {
    if (PresentFile{folder_ / member.path}.is(member, progress_)) {
      return progress_.next(member.digest.blob_name());
    }
    Layout::Builder layout;
    layout.blob(member.digest, member.size);
    const OpenLayout file{std::move(layout).finish(), {blob}};
    const fs::path part = folder_ / (member.path + ".part");
    write_file(member, part, [&](ByteSink& out) { copy_layout(file, 0, out, progress_); });
  }

  template <class Write>
  void write_file(const ArchiveMember& member, const fs::path& part_path, const Write& write) {
    const fs::path path = folder_ / member.path;
    make_folder(path.parent_path());
    make_folder(part_path.parent_path());
    PartFile part{path, part_path, true, calls_};
    part.continue_at(0);
    part.require_room(member.size, member.size);
    WholeFileSink out{part.fd(), part.shown_part(), calls_, progress_};
    write(out);
    part.commit();
  }

  const ExportSource& source_;
  const fs::path& folder_;
  const bool replace_;
  const WriteCalls& calls_;
  Progress& progress_;
};

}  // namespace

void export_to_folder(const ExportSource& source, const fs::path& folder, bool replace,
                      const WriteCalls& calls, Progress& progress) {
  FolderExport{source, folder, replace, calls, progress}.run();
}

}  // namespace ollamafs
