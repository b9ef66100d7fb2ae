#pragma once

#include <cstdint>

#include "store/base/progress.h"
#include "store/layout/open_layout.h"
#include "store/transfer/byte_sink.h"

namespace ollamafs {

// Copies the bytes of `file` from the offset `from` on to the sink. Tells `progress` each blob and
// each byte. What is written last, the manifests in a tar, is not written before all blobs were
// found to be still what they were.
//
// Throws TransferError: what the sink throws, or Kind::broken if a blob cannot be read or is not
// the file any more that was opened, Kind::failed if this process lacks descriptors or memory for
// it. Then what was written is of no use. Throws Interrupted.
void copy_layout(const OpenLayout& file, std::uint64_t from, ByteSink& sink, Progress& progress);

// How many bytes from the beginning `fd`, open for reading, has in common with `file`: all that
// are compared equal, in steps of some size. Throws as copy_layout does.
[[nodiscard]] std::uint64_t common_beginning(const OpenLayout& file, int fd, Progress& progress);

// Whether what `fd` has of its first 512 bytes is as in `file`: a tar's first header, which names
// its first blob. Throws as copy_layout does.
[[nodiscard]] bool begins_as(const OpenLayout& file, int fd);

// Throws TransferError, as copy_layout does.
[[noreturn]] void throw_blob_failure(const Digest& blob, const std::error_code& error);

}  // namespace ollamafs
