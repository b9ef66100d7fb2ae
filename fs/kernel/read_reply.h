#pragma once

#include <cstddef>
#include <cstdint>

#include "fs/kernel/fuse.h"
#include "fs/serve/file_system.h"

namespace ollamafs {

// Answers one READ request: with the bytes of an open file from `offset` on, `size` of them or as
// many as there are before its end, or with one error for all of them; ENOMEM if there is no room
// to read them into. That is before it returns, unless a blob must be verified first: then it is
// done by the Driver's `verifications`, and the kernel keeps the file open until it is answered.
// From any thread. Each thread that answers keeps room for its largest request so far.
void reply_read(fuse_req_t req, OpenFile& file, std::size_t size, std::uint64_t offset) noexcept;

}  // namespace ollamafs
