#pragma once

#include <cstddef>
#include <mutex>
#include <unordered_map>

#include "store/describe/model_summary.h"

namespace ollamafs {

// Summaries of models that were read once. Blobs do not change under their digests, nor does then
// what a manifest's digest leads to. Safe to use from several threads.
class ModelSummaries {
 public:
  // `store` outlives this. Not more than `most` are kept: at one more all others are forgotten.
  explicit ModelSummaries(const StoreDir& store, std::size_t most = 50'000)
      : store_{store}, most_{most} {}

  // As summarize(); read anew if something was missing the last time.
  [[nodiscard]] ModelSummary of(const Model& model);

 private:
  const StoreDir& store_;
  std::size_t most_;
  std::mutex mutex_;
  std::unordered_map<Digest, ModelSummary> kept_;  // by the manifest's
};

}  // namespace ollamafs
