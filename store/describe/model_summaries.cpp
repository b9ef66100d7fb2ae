#include "store/describe/model_summaries.h"

namespace ollamafs {

// Two threads may both read one: it is the same.
ModelSummary ModelSummaries::of(const Model& model) {
  const Digest& digest = model.manifest->digest;
  {
    const std::lock_guard lock{mutex_};
    if (const auto it = kept_.find(digest); it != kept_.end()) return it->second;
  }
  ModelSummary summary = summarize(store_, model);
  if (summary.has_gaps) return summary;
  const std::lock_guard lock{mutex_};
  if (kept_.size() >= most_) kept_.clear();
  kept_.insert_or_assign(digest, summary);
  return summary;
}

}  // namespace ollamafs
