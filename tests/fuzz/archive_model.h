#pragma once

#include "store/catalog/catalog.h"
#include "tests/fuzz/input.h"

namespace ollamafs::test {

// A model that is on no disk: name, number of blobs, their digests and sizes as `input` chooses
// them, with a manifest that really says so. It may have faults, if the blobs are too large.
[[nodiscard]] Model model_from(Input& input);

}  // namespace ollamafs::test
