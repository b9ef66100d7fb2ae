#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fs/views/index_page.h"
#include "fs/views/views.h"
#include "store/base/text.h"
#include "store/describe/model_summaries.h"

namespace ollamafs {
namespace {

// A fault's text may quote a manifest, and a page of ten thousand models must stay one page.
std::string fault_text(const Model& model) {
  constexpr std::size_t most = 3, longest = 300;
  std::string text;
  for (std::size_t i = 0; i < std::min(most, model.faults.size()); ++i) {
    text += (i == 0 ? "" : "; ") + with_valid_utf8(model.faults[i].text.substr(0, longest));
  }
  if (model.faults.size() > most)
    text += " and " + std::to_string(model.faults.size() - most) + " more";
  return text;
}

// The rows of the page, from what `tree` shows. With `summaries` also what stands in the blobs of
// models; without no blob is read.
class IndexRows {
 public:
  IndexRows(const Tree& tree, const MountFacts& facts, ViewSet shown, ModelSummaries* summaries)
      : tree_{tree}, facts_{facts}, shown_{shown}, summaries_{summaries} {}

  [[nodiscard]] std::vector<IndexRow> all() const {
    std::vector<IndexRow> rows;
    rows.reserve(tree_.catalog().models().size());
    for (const Model& model : tree_.catalog().models()) rows.push_back(row_of(model));
    return rows;
  }

 private:
  [[nodiscard]] IndexRow row_of(const Model& model) const {
    IndexRow row;
    row.name = model.shown;
    row.id = model.manifest->digest.id();
    row.size = model.manifest->listed_size;
    row.mtime = model.mtime;
    row.fault = fault_text(model);
    add_sizes(row, model);
    add_ways(row, model);
    if (summaries_ && model.whole()) add_summary(row, summaries_->of(model));
    return row;
  }

  static void add_summary(IndexRow& row, ModelSummary summary) {
    row.family = std::move(summary.family);
    row.parameters = std::move(summary.parameters);
    row.quantization = std::move(summary.quantization);
    if (summary.context_length) row.context = std::to_string(*summary.context_length);
    row.license = std::move(summary.license);
  }

  void add_sizes(IndexRow& row, const Model& model) const {
    for (const BlobRef& blob : model.manifest->blobs) {
      const auto index = tree_.catalog().blob_index(blob.digest);
      const bool is_shared = index && tree_.catalog().users(*index).size() > 1;
      (is_shared ? row.shared : row.own) += blob.size;
    }
  }

  // What of a model can be opened: nothing of a broken one. An archive is of what the store has,
  // where the model may be gone already.
  void add_ways(IndexRow& row, const Model& model) const {
    const Model* const stored = tree_.stored().at_view_name(model.view_name);
    if (shown_.has(View::archives) && stored && stored->whole())
      row.archive = "archives/" + model.view_name + ".tar";
    if (!model.whole()) return;
    if (shown_.has(View::contents)) row.contents = "contents/" + model.view_name + "/";
    if (shown_.has(View::models)) {
      const auto from = (facts_.mountpoint / "models" / model.view_name).string();
      row.command = "rsync -rtO --delay-updates " + shell_word(from) + "/ HOST:.ollama/models/";
    }
  }

  const Tree& tree_;
  const MountFacts& facts_;
  ViewSet shown_;
  ModelSummaries* summaries_;
};

// All that the page is made of.
std::string index_identity(const TreeBuilder& tree, const MountFacts& facts) {
  std::string all = inode_identity({facts.mountpoint.string(), facts.store.string()});
  for (const ViewName& view : kViewNames) all += tree.options().shown.has(view.view) ? '1' : '0';
  for (const Model& model : tree.catalog().models()) {
    all += inode_identity({model.view_name, model.shown, model.manifest->digest.hex(),
                           std::to_string(model.mtime), fault_text(model)});
  }
  for (const Model& model : tree.stored().models()) {
    all += inode_identity({model.view_name, model.whole() ? "whole" : "broken"});
  }
  return inode_identity({"index", Digest::of(all).hex()});
}

}  // namespace

void add_index(TreeBuilder& tree, const MountFacts& facts) {
  const auto page = [facts, shown = tree.options().shown](const Tree& made,
                                                          ModelSummaries* summaries) {
    return index_page(facts.store.string(), IndexRows{made, facts, shown, summaries}.all());
  };
  // Who lists the folder asks for the size: that must not open the files of every model.
  tree.late_text(
      TreeBuilder::kRoot, "index.html",
      [page, summaries = facts.summaries](const Tree& made, const Node&) {
        return page(made, summaries);
      },
      index_identity(tree, facts),
      [page](const Tree& made, const Node&) -> std::uint64_t {
        return page(made, nullptr).size();
      });
}

}  // namespace ollamafs
