#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "store/catalog/catalog.h"
#include "store/folder/store_dir.h"

namespace ollamafs {

// A model in a few words. Texts are as the store has them, any bytes, and cut where they are longer
// than anybody reads. Empty: nothing says it.
struct ModelSummary {
  std::string family{};
  std::string parameters{};    // their number in words: "3.2B"
  std::string quantization{};  // "Q4_K_M"
  std::optional<std::uint64_t> context_length{};
  std::string license{};  // the first line of the first one

  bool has_gaps = false;  // something could not be read, which may be read another time
};

// Sums a model up, which is to be whole, from the beginnings of its files: of each not more than
// some kilobytes are read, so that a page can do it for ten thousand. Throws std::system_error if
// this process lacks descriptors or memory.
[[nodiscard]] ModelSummary summarize(const StoreDir& store, const Model& model);

}  // namespace ollamafs
