#pragma once

// Room store/transfer: Models on their way: written to a file or a pipe, and taken into a
// store.

#include <memory>
#include <string_view>

#include "store/transfer/byte_stream.h"
#include "store/transfer/import_source.h"

namespace ollamafs {

// How many bytes is_archive() wants to see.
inline constexpr std::size_t kArchiveBeginning = 512;

// Whether a file that begins so is an archive, by its content: a tar, plain or compressed by gzip,
// zstd, xz or bzip2, or a zip.
[[nodiscard]] bool is_archive(std::string_view beginning) noexcept;

// Whether it is a tar that is not compressed.
[[nodiscard]] bool is_plain_tar(std::string_view beginning) noexcept;

// The archive in `stream`; `shown` names it in messages. Refuses whatever could be meant to write
// elsewhere: members with absolute paths or "..", links but those of a store itself, devices.
// Throws as ImportSource.
[[nodiscard]] std::unique_ptr<ImportSource> open_archive_source(ByteStream stream,
                                                                std::string shown);

}  // namespace ollamafs
