#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "store/base/progress.h"
#include "store/base/write_calls.h"
#include "store/layout/archive.h"
#include "store/layout/open_layout.h"

namespace ollamafs {

// How models leave the store.
enum class ExportFormat : std::uint8_t { tar, tar_zst, tar_gz, folder };

// ".tar" and so on; nothing for a folder.
[[nodiscard]] std::string_view suffix_of(ExportFormat format) noexcept;

// The format of a file by its name's end, if that tells: ".tar.zst", ".tgz", ….
[[nodiscard]] std::optional<ExportFormat> format_of(const std::filesystem::path& name);

// The name that a file or folder with these models gets: "llama3.1+latest.tar". A slash becomes a
// '+'. Several models make "ollama-models".
[[nodiscard]] std::string export_name(const std::vector<const Model*>& models, ExportFormat format);

// What is exported: one tar's members, and the open file that it is.
struct ExportSource {
  std::vector<ArchiveMember> members;
  std::shared_ptr<const OpenLayout> file;

  [[nodiscard]] std::uint64_t size() const noexcept { return file->layout().size(); }  // bytes
};

// Opens all blobs of whole models, but for those in `without`. `pool` and `catalog` must outlive
// the result. Throws TransferError with Kind::broken, and all faults of a model that is not whole.
[[nodiscard]] ExportSource open_export(BlobPool& pool, const Catalog& catalog,
                                       const std::vector<const Model*>& models,
                                       const std::set<Digest>& without = {});

// The three ways out. Each throws TransferError and Interrupted, and tells `progress` the bytes of
// the tar, whatever the format; with `calls` it writes.

// To a descriptor: a pipe, say. What was written until it throws is of no use. `format` is not
// folder; `name` is printable.
void export_to_descriptor(const ExportSource& source, ExportFormat format, int fd,
                          const std::string& name, const WriteCalls& calls, Progress& progress);

// To a file that has this name only when it is whole and on the disk. Meanwhile it is PATH.part:
// after Interrupted, or after a crash, the next export of a plain tar compares what that has, and
// goes on behind it; where there is no room for the rest it stays. A part that does not begin as
// the tar does is somebody else's. That, and what is at `path`, is replaced only if `replace` says
// so.
void export_to_file(const ExportSource& source, ExportFormat format,
                    const std::filesystem::path& path, bool replace, const WriteCalls& calls,
                    Progress& progress);

// To a models folder, which is made if need be: blobs/, then the manifests, by a StoreWriter. A
// file there has its name only when it is whole and on the disk. A blob that is there already is
// kept if its bytes are right. Where the folder has another model of the name, in either tree, all
// is refused, unless `replace`. Returns what is to be said of it: printable lines.
[[nodiscard]] std::vector<std::string> export_to_folder(const ExportSource& source,
                                                        const std::filesystem::path& folder,
                                                        bool replace, const WriteCalls& calls,
                                                        Progress& progress);

}  // namespace ollamafs
