#include <fmt/format.h>

#include <cerrno>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "store/base/text.h"
#include "store/transfer/blob_intake.h"
#include "store/transfer/byte_sink.h"
#include "store/transfer/copy_layout.h"
#include "store/transfer/export.h"
#include "store/transfer/room.h"
#include "store/transfer/store_writer.h"
#include "store/transfer/target_names.h"
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

class FolderExport {
 public:
  FolderExport(const ExportSource& source, const fs::path& folder, bool replace,
               const WriteCalls& calls, Progress& progress)
      : source_{source},
        calls_{calls},
        progress_{progress},
        taken_{replace, "exported", "give --force to have it replaced"},
        writer_{folder, calls},
        reader_{writer_.reader()},
        there_{&writer_, reader_.get(), false, progress} {}

  // Returns the notes.
  std::vector<std::string> run() {
    progress_.expect(source_.size(), source_.file->layout().blobs().size());
    place_models();  // all that would be refused, before anything is written
    write_blobs();
    write_manifests();
    return std::move(notes_);
  }

 private:
  struct Placed {
    const Model* model;
    Placement place;
  };

  void place_models() {
    catalog_ = Catalog::read(*reader_);
    for (const ArchiveMember& member : source_.members) {
      if (!member.of_model) continue;
      const Model& model = *member.of_model;
      const Placed& placed = models_.emplace_back(
          Placed{&model, place_model(*catalog_, model.name, member.digest, taken_)});
      if (!placed.place.note.empty())
        notes_.push_back(fmt::format("{}: {}", model.shown, placed.place.note));
    }
  }

  void write_blobs() {
    std::size_t blob = 0;
    for (const ArchiveMember& member : source_.members) {
      if (!member.of_model) write_blob(member, source_.file->blobs()[blob++]);
    }
  }

  void write_blob(const ArchiveMember& member, const std::shared_ptr<const OpenBlob>& blob) {
    if (there_.has(member.digest, member.size)) {
      // One that no model needs yet looks new from now on: else a server that starts deletes it.
      if (!catalog_->blob_index(member.digest)) writer_.touch_blob(member.digest);
      return;
    }
    Layout::Builder layout;
    layout.blob(member.digest, member.size);
    const OpenLayout file{std::move(layout).finish(), {blob}};
    const std::string shown = printable((writer_.path() / member.path).native());
    const std::unique_ptr<NewFile> target = writer_.new_blob();
    require_room(target->fd(), {shown, member.digest.blob_name()}, member.size, member.size,
                 calls_);
    WholeFileSink out{target->fd(), shown, calls_, progress_};
    copy_layout(file, 0, out, progress_);
    writer_.commit_blob(*target, member.digest);
  }

  void write_manifests() {
    for (const auto& [model, place] : models_) {
      if (!place.v2.empty()) there_.put(model->manifest->digest, model->manifest->bytes);
    }
    writer_.sync_blobs();
    for (const auto& [model, place] : models_) {
      const std::string& bytes = model->manifest->bytes;
      put_manifest(writer_, *reader_, place, bytes, taken_);
      progress_.add(bytes.size());
    }
  }

  const ExportSource& source_;
  const WriteCalls& calls_;
  Progress& progress_;
  const TakenName taken_;
  StoreWriter writer_;
  const std::unique_ptr<StoreDir> reader_;
  BlobIntake there_;
  std::shared_ptr<const Catalog> catalog_;
  std::vector<Placed> models_;
  std::vector<std::string> notes_;
};

}  // namespace

std::vector<std::string> export_to_folder(const ExportSource& source, const fs::path& folder,
                                          bool replace, const WriteCalls& calls,
                                          Progress& progress) try {
  return FolderExport{source, folder, replace, calls, progress}.run();
} catch (const std::system_error& error) {
  const bool is_full =
      error.code() == std::errc::no_space_on_device || error.code().value() == EDQUOT;
  throw TransferError{is_full ? TransferError::Kind::no_space : TransferError::Kind::failed,
                      error.what()};
}

}  // namespace ollamafs
