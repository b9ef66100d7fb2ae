#include "store/transfer/export.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "store/base/text.h"
#include "store/layout/open_archive.h"
#include "store/transfer/byte_sink.h"
#include "store/transfer/copy_layout.h"
#include "store/transfer/gzip_sink.h"
#include "store/transfer/part_file.h"
#include "store/transfer/seekable_zstd.h"
#include "store/transfer/transfer_error.h"

namespace ollamafs {

namespace fs = std::filesystem;

namespace {

void refuse_broken(const std::vector<const Model*>& models) {
  std::string message;
  for (const Model* model : models) {
    if (model->whole()) continue;
    if (!message.empty()) message += '\n';
    message += fmt::format("{} is broken and cannot be exported", model->shown);
    for (const Fault& fault : model->faults) message += "\n  " + fault.text;
  }
  if (!message.empty()) throw TransferError{TransferError::Kind::broken, message};
}

template <class Compressing>
void compress(const ExportSource& source, ByteSink& out, Progress& progress) {
  Compressing compressing{out};
  copy_layout(*source.file, 0, compressing, progress);
  compressing.finish();
}

void copy(const ExportSource& source, ExportFormat format, std::uint64_t from, ByteSink& out,
          Progress& progress) {
  switch (format) {
    case ExportFormat::tar_zst:
      return compress<SeekableZstd>(source, out, progress);
    case ExportFormat::tar_gz:
      return compress<GzipSink>(source, out, progress);
    default:
      return copy_layout(*source.file, from, out, progress);
  }
}

// How much of the part may stay. What somebody else made is not overwritten unasked; what a crash
// left of a compressed file cannot be told from that.
std::uint64_t usable_beginning(const ExportSource& source, bool resumable, bool replace,
                               PartFile& part, Progress& progress) {
  if (part.size() == 0) return 0;
  if (resumable && begins_as(*source.file, part.fd()))
    return common_beginning(*source.file, part.fd(), progress);
  if (!replace) part.refuse_foreign();
  return 0;
}

// A beginning that an earlier export has left is worth more than the room that it takes.
[[noreturn]] void keep_for_more_room(PartFile& part, const TransferError& error) {
  part.keep();
  throw TransferError{error.kind(),
                      fmt::format("{}\nmake room; the same command then goes on with {}",
                                  error.what(), part.shown_part())};
}

std::uint64_t blob_count(const ExportSource& source) {
  return source.file->layout().blobs().size();
}

}  // namespace

std::string_view suffix_of(ExportFormat format) noexcept {
  switch (format) {
    case ExportFormat::tar:
      return ".tar";
    case ExportFormat::tar_zst:
      return ".tar.zst";
    case ExportFormat::tar_gz:
      return ".tar.gz";
    default:
      return "";
  }
}

std::optional<ExportFormat> format_of(const fs::path& name) {
  const std::string text = name.filename().native();
  const auto ends = [&](std::string_view end) { return text.ends_with(end); };
  if (ends(".tar.zst") || ends(".tzst")) return ExportFormat::tar_zst;
  if (ends(".tar.gz") || ends(".tgz")) return ExportFormat::tar_gz;
  if (ends(".tar")) return ExportFormat::tar;
  return std::nullopt;
}

std::string export_name(const std::vector<const Model*>& models, ExportFormat format) {
  std::string name = models.size() == 1 ? models.front()->view_name : "ollama-models";
  std::ranges::replace(name, '/', '+');
  return name.append(suffix_of(format));
}

ExportSource open_export(BlobPool& pool, const Catalog& catalog,
                         const std::vector<const Model*>& models, const std::set<Digest>& without) {
  refuse_broken(models);
  ExportSource source;
  source.members = archive_members(models, without);
  std::optional<OpenLayout::Failure> failure;
  source.file = open_layout(pool, catalog, archive_layout(source.members), failure);
  if (failure) throw_blob_failure(failure->blob, failure->error);
  return source;
}

void export_to_descriptor(const ExportSource& source, ExportFormat format, int fd,
                          const std::string& name, const WriteCalls& calls, Progress& progress) {
  progress.expect(source.size(), blob_count(source));
  DescriptorSink out{fd, name, calls, progress};
  copy(source, format, 0, out, progress);
}

void export_to_file(const ExportSource& source, ExportFormat format, const fs::path& path,
                    bool replace, const WriteCalls& calls, Progress& progress) {
  const bool resumable = format == ExportFormat::tar;
  progress.expect(source.size(), blob_count(source));
  PartFile part{path, replace, calls};
  std::uint64_t there = 0;
  try {
    there = usable_beginning(source, resumable, replace, part, progress);
    part.continue_at(there);
    if (resumable) part.require_room(source.size() - there, source.size());
    DescriptorSink out{part.fd(), part.shown_part(), calls, progress};
    copy(source, format, there, out, progress);
    part.commit();
  } catch (const Interrupted&) {
    if (resumable) part.keep();
    throw;
  } catch (const TransferError& error) {
    if (there > 0 && error.kind() == TransferError::Kind::no_space) keep_for_more_room(part, error);
    throw;
  }
}

}  // namespace ollamafs
