#pragma once

#include <optional>
#include <string>
#include <vector>

#include "store/catalog/catalog.h"
#include "store/transfer/importer.h"

namespace ollamafs {

// Where a manifest has to be written so that a store has a model under a name.
struct Placement {
  ImportedModel::State state = ImportedModel::State::added;
  ModelName name;                 // as the store spells it, if it has the name
  std::vector<std::string> v1{};  // paths below the store; of a model that is there: none
  std::vector<std::string> v2{};  // likewise: entries that would hide those of v1
  std::string note{};             // printable
};

// Decides that, for a model named `name` with the manifest `digest`. Ollama takes names that differ
// in case only for one, so the spelling of the store stays. Throws TransferError::refused if
// another model has the name, or something that is no model stands in its place, unless `replace`.
[[nodiscard]] Placement place_model(const Catalog& catalog, const ModelName& name,
                                    const Digest& digest, bool replace);

}  // namespace ollamafs
