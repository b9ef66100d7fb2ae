#pragma once

#include <string_view>

namespace ollamafs {

// Whether a file or folder of this name is none of a store's, with all that is in it, wherever it
// stands: what systems put on a disk of their own accord, wastebaskets, and what Ollama puts beside
// blobs while it loads or makes a model (docs/store-format.md §5).
[[nodiscard]] bool is_stray_name(std::string_view name) noexcept;

// The same of any component of a path.
[[nodiscard]] bool has_stray_name(std::string_view path) noexcept;

}  // namespace ollamafs
