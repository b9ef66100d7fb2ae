#include "store/transfer/target_names.h"

#include <fmt/format.h>

#include <algorithm>

#include "store/base/text.h"
#include "store/folder/read_file.h"
#include "store/transfer/transfer_error.h"

namespace ollamafs {
namespace {

std::string v1_entry(const ModelName& name) {
  return fmt::format("{}/{}", tree_folder(TreeKind::v1), name.v1_path());
}

std::string v2_entry(const ModelName& name) {
  return fmt::format("{}/{}", tree_folder(TreeKind::v2), name.v2_path());
}

bool is_v2(const std::string& path) {
  return path.starts_with(fmt::format("{}/", tree_folder(TreeKind::v2)));
}

// Whether a tag of the v2 tree leads to no manifest, for a reason such as this.
bool leads_to_none(const Model& model, ProblemKind why) {
  return model.manifest->bytes.empty() && is_v2(model.tag_path) &&
         std::ranges::any_of(model.faults, [why](const Fault& fault) { return fault.kind == why; });
}

[[noreturn]] void refuse_taken(const ModelName& name, const std::string& by,
                               const TakenName& taken) {
  throw TransferError{
      TransferError::Kind::refused,
      fmt::format("{} is not {}: {}\n{}", name.display(), taken.not_done, by, taken.way_out)};
}

// What stands at a tag's path and is no model.
const Problem* obstacle_at(const Catalog& catalog, const std::string& path) {
  for (const Problem& problem : catalog.problems()) {
    if (problem.path == path && problem.kind != ProblemKind::passed_over &&
        problem.kind != ProblemKind::hidden && problem.kind != ProblemKind::renamed) {
      return &problem;
    }
  }
  return nullptr;
}

}  // namespace

Placement place_model(const Catalog& catalog, const ModelName& name, const Digest& digest,
                      const TakenName& taken) {
  Placement place{.name = name};
  const std::string logical = name.logical_name();
  for (const Model& model : catalog.models()) {
    if (!equal_fold(model.name.logical_name(), logical)) continue;
    place.name = model.name;
    // A symlink that leads nowhere: Ollama then asks the v1 tree (docs/store-format.md §3.2).
    if (leads_to_none(model, ProblemKind::missing)) {
      place.note = fmt::format("its entry in manifests-v2 led to nothing, and is passed over");
      continue;
    }
    if (model.manifest->digest == digest && !model.manifest->bytes.empty()) {
      place.state = ImportedModel::State::there;
      place.v1.clear();
      place.v2.clear();
      return place;
    }
    // Only a symlink that leads nowhere lets Ollama ask the v1 tree, not a list.
    if (!taken.replace && leads_to_none(model, ProblemKind::no_child)) {
      refuse_taken(
          model.name,
          fmt::format("{} is a list of manifests, none of which is in the store, and would "
                      "hide it from Ollama 0.40 and newer",
                      printable(model.tag_path)),
          taken);
    }
    if (!taken.replace) {
      refuse_taken(model.name,
                   fmt::format("the store has a model of that name with the ID {}",
                               model.manifest->digest.id()),
                   taken);
    }
    place.state = ImportedModel::State::replaced;
    (is_v2(model.tag_path) ? place.v2 : place.v1).push_back(model.tag_path);
  }
  const std::string own = v1_entry(place.name);
  if (std::ranges::find(place.v1, own) == place.v1.end() && place.v1.empty()) {
    place.v1.push_back(own);
  }
  for (const std::string& path : {own, v2_entry(place.name)}) {
    const Problem* const obstacle = obstacle_at(catalog, path);
    if (!obstacle) continue;
    if (!taken.replace || obstacle->kind == ProblemKind::directory) {
      refuse_taken(place.name, fmt::format("{} {}", printable(path), obstacle->text), taken);
    }
    place.state = ImportedModel::State::replaced;
    if (is_v2(path)) place.v2.push_back(path);
  }
  if (!place.v2.empty()) {
    place.note = "its entry in manifests-v2, which would have hidden it, leads to it now";
  }
  return place;
}

void put_manifest(StoreWriter& writer, const StoreDir& reader, const Placement& place,
                  std::string_view bytes, const TakenName& taken) {
  for (const std::string& path : place.v1) {
    if (writer.put(path, bytes, place.state == ImportedModel::State::replaced)) continue;
    // Somebody was quicker. The same is right, as of a second transfer of the model.
    std::error_code ec;
    if (read_file(reader, path, kMaxManifestBytes, ec).bytes == bytes && !ec) continue;
    refuse_taken(
        place.name,
        fmt::format("{} came into the store meanwhile, and holds another", printable(path)), taken);
  }
  for (const std::string& path : place.v2) (void)writer.put(path, bytes, true);
}

}  // namespace ollamafs
