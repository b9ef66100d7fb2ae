#pragma once

#include <optional>
#include <string>

#include "store/catalog/catalog.h"
#include "store/folder/store_dir.h"

namespace ollamafs {

// What a model's config blob says (docs/store-format.md §4), as far as it is needed.
struct ModelConfig {
  std::string remote_host;   // of a cloud model
  std::string remote_model;  // likewise; not empty: the model runs elsewhere
};

// Reads the config of a model; nothing if it has none, or none that can be read.
[[nodiscard]] std::optional<ModelConfig> read_config(const StoreDir& store, const Model& model);

}  // namespace ollamafs
