#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "store/catalog/catalog.h"
#include "store/folder/store_dir.h"
#include "store/transfer/importer.h"
#include "store/transfer/store_writer.h"

namespace ollamafs {

// Where a manifest has to be written so that a store has a model under a name.
struct Placement {
  ImportedModel::State state = ImportedModel::State::added;
  ModelName name;                 // as the store spells it, if it has the name
  std::vector<std::string> v1{};  // paths below the store; of a model that is there: none
  std::vector<std::string> v2{};  // likewise: entries that would hide those of v1
  std::string note{};             // printable
};

// What is done where another model has the name, or something that is no model stands in its place.
struct TakenName {
  bool replace = false;                    // else it is refused, in these words:
  std::string_view not_done = "imported";  // "x is not …"
  std::string_view way_out =               // behind the reason
      "take its place with --replace, or give the new one another name with --name";
};

// Decides that, for a model named `name` with the manifest `digest`. Ollama takes names that differ
// in case only for one, so the spelling of the store stays. Throws TransferError::refused, as
// `taken` says.
[[nodiscard]] Placement place_model(const Catalog& catalog, const ModelName& name,
                                    const Digest& digest, const TakenName& taken);

// Writes the manifest to where place_model() said; all blobs must be there. Throws
// std::system_error, and TransferError::refused if somebody else was quicker and `place` does not
// replace.
void put_manifest(StoreWriter& writer, const StoreDir& reader, const Placement& place,
                  std::string_view bytes, const TakenName& taken);

}  // namespace ollamafs
