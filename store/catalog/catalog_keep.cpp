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

bool is_whole_still(const Model& now, const Model& before) {
  return now.whole() && now.name == before.name && now.manifest->digest == before.manifest->digest;
}

// The models of `now` and the kept ones of `before`, by view name. Of two with one view name the
// kept one has it, unless that is whole again in `now`. What loses its name to another model goes
// to `displaced`.
std::vector<Placed> merge(const Catalog& now, const Catalog& before,
                          std::span<const std::uint32_t> kept, std::deque<Model>& displaced) {
  std::vector<Placed> placed;
  auto next = now.models().begin();
  const auto end = now.models().end();
  const auto place_next = [&] { placed.push_back({&*next++, now.blobs(), false}); };
  for (const std::uint32_t index : kept) {
    const Model& model = before.models()[index];
    while (next != end && next->view_name < model.view_name) place_next();
    const bool is_taken = next != end && next->view_name == model.view_name;
    if (is_taken && is_whole_still(*next, model)) {
      place_next();
      continue;
    }
    placed.push_back({&model, before.blobs(), true});
    if (is_taken && next->name != model.name) displaced.push_back(under_full_name(*next));
    if (is_taken) ++next;
  }
  while (next != end) place_next();
  return placed;
}

// Puts models of `now` where their view names belong, unless one has that name already: then it is
// the same model, which is kept too.
void insert(std::vector<Placed>& placed, const std::deque<Model>& models, const Catalog& now) {
  const auto name_of = [](const Placed& one) -> const std::string& { return one.model->view_name; };
  for (const Model& model : models) {
    const auto at = std::ranges::lower_bound(placed, model.view_name, {}, name_of);
    if (at != placed.end() && name_of(*at) == model.view_name) continue;
    placed.insert(at, {&model, now.blobs(), false});
  }
}

// All blobs that these models name, each once, by digest. What is kept needs its blobs as it had
// them, unless they are there still.
std::vector<Blob> blobs_of(const std::vector<Placed>& placed, const Catalog& now) {
  std::vector<Blob> blobs;
  for (const Placed& one : placed) {
    for (const std::uint32_t index : one.model->blobs) {
      const Blob& blob = one.blobs[index];
      const auto current = one.kept ? now.blob_index(blob.digest) : std::nullopt;
      const Blob* const here = current ? &now.blobs()[*current] : nullptr;
      const bool is_there = here && here->good() && here->identity.size == blob.identity.size;
      blobs.push_back(is_there ? *here : blob);
    }
  }
  // Of two the good one: the other is of a model that misses it.
  std::ranges::sort(blobs, {}, [](const Blob& blob) {
    return std::pair{blob.digest, !blob.good()};
  });
  const auto [first, last] = std::ranges::unique(blobs, {}, &Blob::digest);
  blobs.erase(first, last);
  return blobs;
}

}  // namespace

std::shared_ptr<const Catalog> Catalog::keep(const Catalog& now, const Catalog& before,
                                             std::span<const std::uint32_t> kept) {
  std::deque<Model> displaced;
  std::vector<Placed> placed = merge(now, before, kept, displaced);
  insert(placed, displaced, now);

  std::shared_ptr<Catalog> out{new Catalog};
  out->problems_ = now.problems_;
  out->unread_ = now.unread_;
  out->blobs_ = blobs_of(placed, now);
  for (const Placed& one : placed) {
    Model& model = out->models_.emplace_back(*one.model);
    for (std::uint32_t& index : model.blobs) index = *out->blob_index(one.blobs[index].digest);
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
    const Model* const other = now->at_view_name(model.view_name);
    return other && other->name == model.name && other->tag_path != model.tag_path &&
           other->whole();
  };
  for (std::uint32_t i = 0; i < before.models_.size(); ++i) {
    const Model& model = before.models_[i];
    if (any_on_the_way(model.tag_path, is_unread) && !is_elsewhere(model)) kept.push_back(i);
  }
  return kept.empty() ? now : keep(*now, before, kept);
}

}  // namespace ollamafs
