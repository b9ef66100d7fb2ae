#pragma once

#include <string>

#include "fs/kernel/passthrough.h"

namespace ollamafs {

// A printable sentence about who reads the blobs, and what would make that faster.
[[nodiscard]] std::string blob_access_note(const BlobAccess& access);

}  // namespace ollamafs
