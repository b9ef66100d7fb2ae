#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "store/base/progress.h"
#include "store/base/write_calls.h"
#include "store/model/digest.h"
#include "store/model/model_name.h"
#include "store/transfer/import_source.h"

namespace ollamafs {

struct ImportOptions {
  std::optional<ModelName> name{};  // for the one model that the sources hold
  bool replace = false;             // also a model of that name with another ID
  bool trust_existing = false;      // blobs of the right size are not read again
  bool dry_run = false;             // nothing is written
};

// A model as the store has it now.
struct ImportedModel {
  enum class State : std::uint8_t {
    added,
    replaced,
    there,  // it was there already, with this ID
  };

  ModelName name;
  Digest digest;  // of its manifest
  State state = State::added;
  std::string note{};  // printable; empty: nothing is to be said
};

struct ImportResult {
  std::vector<ImportedModel> models;
  std::uint64_t blobs_written = 0;
  std::uint64_t bytes_written = 0;
  std::uint64_t blobs_there = 0;  // that the models need and were there, and right
};

// Takes all models of `sources` into the models folder `store`, which is made if it is missing, in
// their portable form (docs/store-format.md §3.4): each blob only with the bytes that its name
// says, and when all are there the manifests, at once or not at all. All models, or none.
//
// Throws TransferError, std::system_error that names a path, or Interrupted. The store then is as
// it was, or has some more blobs that are right; another call goes on from there. If somebody else
// deletes blobs while their manifest is written, that stays, and another call completes the model.
// Reads the sources once; if all are quick, first goes through their members, to know before
// anything is written what is missing, whether there is room, and which names are taken.
[[nodiscard]] ImportResult import_models(std::vector<std::unique_ptr<ImportSource>> sources,
                                         const std::filesystem::path& store,
                                         const ImportOptions& options,
                                         Progress& progress = Progress::none(),
                                         const WriteCalls& calls = WriteCalls::kernel());

}  // namespace ollamafs
