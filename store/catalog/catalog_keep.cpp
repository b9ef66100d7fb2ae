#include <algorithm>
#include <deque>
#include <string_view>
#include <utility>

#include "store/base/path_prefix.h"
#include "store/catalog/catalog.h"

namespace ollamafs {
namespace {

// A model and the blobs that its indexes mean.
struct Placed {
  const Model* model;
  std::span<const Blob> blobs;
  bool kept;
};

// As one of two that display alike.
Model under_full_name(Model model) {
  model.shown = model.name.full();
  model.view_name = view_name(model.shown);
  return model;
}

}  // namespace

std::shared_ptr<const Catalog> Catalog::keep(const Catalog& now, const Catalog& before,
                                             std::span<const std::uint32_t> kept) {
  std::vector<Placed> placed;
  std::deque<Model> displaced;  // by one that displays alike and has the name as long as it is kept
  auto next = now.models_.begin();
  const auto take_until = [&](std::string_view view_name) {
    for (; next != now.models_.end() && next->view_name < view_name; ++next)
      placed.push_back({&*next, now.blobs_, false});
  };
  for (const std::uint32_t index : kept) {
    const Model& model = before.models_[index];
    take_until(model.view_name);
    const Model* instead = &model;
    bool is_kept = true;
    if (next != now.models_.end() && next->view_name == model.view_name) {
      if (next->whole() && next->name == model.name &&
          next->manifest->digest == model.manifest->digest) {
        instead = &*next;
        is_kept = false;
      } else if (next->name != model.name) {
        displaced.push_back(under_full_name(*next));
      }
      ++next;
    }
    placed.push_back(
        {instead, is_kept ? std::span{before.blobs_} : std::span{now.blobs_}, is_kept});
  }
  for (; next != now.models_.end(); ++next) placed.push_back({&*next, now.blobs_, false});
  const auto name_of = [](const Placed& model) -> const std::string& {
    return model.model->view_name;
  };
  for (const Model& model : displaced) {
    const auto at = std::ranges::lower_bound(placed, model.view_name, {}, name_of);
    if (at != placed.end() && name_of(*at) == model.view_name) continue;  // that is kept too
    placed.insert(at, {&model, now.blobs_, false});
  }

  std::shared_ptr<Catalog> out{new Catalog};
  out->problems_ = now.problems_;
  out->unread_ = now.unread_;
  // What is kept needs its blobs as it had them, unless they are there still.
  for (const Placed& model : placed) {
    for (const std::uint32_t index : model.model->blobs) {
      const Blob& blob = model.blobs[index];
      const auto current = model.kept ? now.blob_index(blob.digest) : std::nullopt;
      const bool is_there = current && now.blobs_[*current].good() &&
                            now.blobs_[*current].identity.size == blob.identity.size;
      out->blobs_.push_back(is_there ? now.blobs_[*current] : blob);
    }
  }
  // Of two the good one: the other is of a model that misses it.
  std::ranges::sort(out->blobs_, {}, [](const Blob& blob) {
    return std::pair{blob.digest, !blob.good()};
  });
  const auto [first, last] = std::ranges::unique(out->blobs_, {}, &Blob::digest);
  out->blobs_.erase(first, last);
  for (const Placed& model : placed) {
    Model& copy = out->models_.emplace_back(*model.model);
    for (std::uint32_t& index : copy.blobs) {
      index = *out->blob_index(model.blobs[index].digest);
    }
  }
  out->index_users();
  return out;
}

std::shared_ptr<const Catalog> Catalog::keep_unread(std::shared_ptr<const Catalog> now,
                                                    const Catalog& before) {
  std::vector<std::uint32_t> kept;
  const auto is_unread = [&](std::string_view path) {
    return std::ranges::binary_search(now->unread_, path);
  };
  const auto is_elsewhere = [&](const Model& model) {
    const auto it = std::ranges::lower_bound(now->models_, model.view_name, {}, &Model::view_name);
    return it != now->models_.end() && it->name == model.name && it->tag_path != model.tag_path &&
           it->whole();
  };
  for (std::uint32_t i = 0; i < before.models_.size(); ++i) {
    const Model& model = before.models_[i];
    if (any_on_the_way(model.tag_path, is_unread) && !is_elsewhere(model)) kept.push_back(i);
  }
  return kept.empty() ? now : keep(*now, before, kept);
}

}  // namespace ollamafs
