#include "tests/fuzz/store_oracle.h"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <string>
#include <variant>

#include "store/catalog/model_query.h"
#include "store/layout/archive.h"
#include "store/model/manifest.h"
#include "tests/fuzz/check.h"
#include "tests/support/store_builder.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;

bool is_beneath_plainly(const fs::path& path, const fs::path& directory) {
  return path.string().starts_with(directory.string() + "/");
}

// A file that a whole model may take bytes from.
void check_source(const fs::path& path, const ScriptedStore& store) {
  const fs::path real = fs::canonical(path);
  OLLAMAFS_CHECK_FOR(fs::is_regular_file(real), path.string());
  const bool inside = is_beneath_plainly(real, fs::canonical(store.root()));
  OLLAMAFS_CHECK_FOR(
      inside || store.outside_links() == OutsideLinks::follow || !store.follow().empty(),
      path.string());
}

// The blobs of a whole model are files of the sizes that its manifest says.
void check_blobs(const Catalog& catalog, const Model& model, const ScriptedStore& store) {
  const auto& wanted = model.manifest->blobs;
  OLLAMAFS_CHECK_FOR(model.blobs.size() == wanted.size(), model.tag_path);
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    OLLAMAFS_CHECK(model.blobs[i] < catalog.blobs().size());
    const Blob& blob = catalog.blobs()[model.blobs[i]];
    OLLAMAFS_CHECK_FOR(blob.digest == wanted[i].digest, model.tag_path);
    if (!model.whole()) continue;
    const fs::path path = store.root() / "blobs" / ("sha256-" + blob.digest.hex());
    check_source(path, store);
    OLLAMAFS_CHECK_FOR(blob.good() && blob.identity.size == wanted[i].size, path.string());
    OLLAMAFS_CHECK_FOR(fs::file_size(path) == wanted[i].size, path.string());
  }
}

// The manifest of a whole model is what its tag leads to, or one of the list there.
void check_manifest(const Model& model, const ScriptedStore& store) {
  const fs::path tag = store.root() / model.tag_path;
  check_source(tag, store);
  const std::string bytes = read_file(tag);
  const AnyManifest found = parse_manifest(bytes);
  const StoredManifest& manifest = *model.manifest;
  OLLAMAFS_CHECK_FOR(manifest.digest == Digest::of(manifest.bytes), model.tag_path);
  OLLAMAFS_CHECK_FOR(manifest.faults.empty(), model.tag_path);
  if (const auto* list = std::get_if<ManifestList>(&found)) {
    OLLAMAFS_CHECK_FOR(std::ranges::any_of(list->entries,
                                           [&](const ListEntry& entry) {
                                             return entry.inline_json == manifest.bytes ||
                                                    Digest::parse(entry.digest) == manifest.digest;
                                           }),
                       model.tag_path);
  } else {
    OLLAMAFS_CHECK_FOR(bytes == manifest.bytes, model.tag_path);
  }
  if (!fs::is_symlink(tag) || !model.tag_path.starts_with("manifests-v2/")) return;
  const fs::path own = store.root() / Digest::of(bytes).blob_path();
  OLLAMAFS_CHECK_FOR(fs::exists(own) && fs::equivalent(own, tag), model.tag_path);
}

// A name that can be a path in the view and the name of an archive.
void check_view_name(const std::string& name) {
  OLLAMAFS_CHECK_FOR(std::ranges::count(name, '+') == 1, name);
  std::size_t depth = 0;
  for (const fs::path& component : fs::path{name}) {
    ++depth;
    const std::string text = component.string();
    OLLAMAFS_CHECK_FOR(!text.empty() && text[0] != '.' && text[0] != '-' && text.size() <= 255,
                       name);
  }
  OLLAMAFS_CHECK_FOR(depth <= 3 && fs::path{name + ".tar"}.filename().string().size() <= 255, name);
  OLLAMAFS_CHECK_FOR(name.find('+') > name.rfind('/') || depth == 1, name);
}

void check_models(const Catalog& catalog, const ScriptedStore& store) {
  std::set<std::string> shown;
  std::set<std::string> tags;
  const Model* previous = nullptr;
  for (const Model& model : catalog.models()) {
    OLLAMAFS_CHECK_FOR(!previous || previous->view_name < model.view_name, model.view_name);
    OLLAMAFS_CHECK_FOR(shown.insert(model.shown).second, model.shown);
    OLLAMAFS_CHECK_FOR(tags.insert(model.tag_path).second, model.tag_path);
    OLLAMAFS_CHECK_FOR(find_model(catalog, model.shown) == &model, model.shown);
    check_view_name(model.view_name);
    OLLAMAFS_CHECK(model.manifest);
    for (const Fault& fault : model.faults) {
      OLLAMAFS_CHECK_FOR(!fault.text.empty() && is_one_printable_line(fault.text), fault.text);
    }
    check_blobs(catalog, model, store);
    OLLAMAFS_CHECK(archive_size(model) <= INT64_MAX);
    if (model.whole()) {
      check_manifest(model, store);
      OLLAMAFS_CHECK(archive_layout(model).size() == archive_size(model));
    }
    previous = &model;
  }
}

void check_users(const Catalog& catalog) {
  for (std::uint32_t blob = 0; blob < catalog.blobs().size(); ++blob) {
    const Digest& digest = catalog.blobs()[blob].digest;
    OLLAMAFS_CHECK(blob == 0 || catalog.blobs()[blob - 1].digest < digest);
    std::vector<std::uint32_t> users;
    for (std::uint32_t i = 0; i < catalog.models().size(); ++i) {
      const auto& blobs = catalog.models()[i].blobs;
      if (std::ranges::find(blobs, blob) != blobs.end()) users.push_back(i);
    }
    OLLAMAFS_CHECK_FOR(!users.empty(), digest.hex());
    OLLAMAFS_CHECK_FOR(std::ranges::equal(catalog.users(blob), users), digest.hex());
  }
}

// What Ollama leaves out of its own listing.
bool is_hidden(const Catalog& catalog, const ModelName& name, bool is_v1) {
  if (!is_v1) return false;
  if (name.is_public() && name.name_space() == "library" && name.model() == "llamacpp" &&
      Digest::parse_hex(name.tag())) {
    return true;
  }
  // By a v2 tag of the same name, which is a model or a problem.
  const std::string v2 = "manifests-v2/" + name.v2_path();
  const auto is_twin = [&](const std::string& path) {
    if (!path.starts_with("manifests-v2/")) return false;
    const fs::path p{path};
    std::vector<std::string> c{p.begin(), p.end()};
    if (c.size() != 5) return false;
    const auto other = ModelName::from_v2_parts(c[1], c[2], c[3], c[4]);
    return other && other->logical_name() == name.logical_name();
  };
  return std::ranges::any_of(catalog.models(), is_twin, &Model::tag_path) ||
         std::ranges::any_of(catalog.problems(), is_twin, &Problem::path);
}

}  // namespace

void check_catalog(const Catalog& catalog, const ScriptedStore& store) {
  check_models(catalog, store);
  check_users(catalog);
  OLLAMAFS_CHECK(find_model(catalog, "no such name") == nullptr);
  OLLAMAFS_CHECK(std::ranges::is_sorted(catalog.problems(), {}, &Problem::path));
  for (const Problem& problem : catalog.problems()) {
    OLLAMAFS_CHECK_FOR(!problem.text.empty() && is_one_printable_line(problem.text), problem.text);
    struct stat st {};
    OLLAMAFS_CHECK_FOR(::lstat((store.root() / problem.path).c_str(), &st) == 0, problem.path);
  }
}

void check_complete(const Catalog& catalog, const ScriptedStore& store) {
  const auto is_told = [&](const std::string& path) {
    return std::ranges::find(catalog.problems(), path, &Problem::path) !=
               catalog.problems().end() ||
           std::ranges::find(catalog.models(), path, &Model::tag_path) != catalog.models().end();
  };
  for (const std::string tree : {"manifests", "manifests-v2"}) {
    if (!fs::is_directory(fs::symlink_status(store.root() / tree))) continue;
    for (fs::recursive_directory_iterator it{store.root() / tree}, end; it != end; ++it) {
      std::error_code leads_nowhere;
      const bool leads_to_directory = it->is_directory(leads_nowhere);
      const bool is_directory = leads_to_directory && !it->is_symlink();
      if (it->path().filename().string().starts_with(".manifest-")) {
        it.disable_recursion_pending();
        continue;
      }
      const std::string path = it->path().lexically_relative(store.root()).string();
      const fs::path below = it->path().lexically_relative(store.root() / tree);
      const std::vector<std::string> parts{below.begin(), below.end()};
      if (parts.size() < 4) {
        // A link to a directory is walked, one that leads elsewhere or nowhere is told.
        if (!leads_to_directory) OLLAMAFS_CHECK_FOR(is_told(path), path);
        continue;
      }
      it.disable_recursion_pending();
      const bool is_v1 = tree == "manifests";
      const auto name = is_v1 ? ModelName::from_parts(parts[0], parts[1], parts[2], parts[3])
                              : ModelName::from_v2_parts(parts[0], parts[1], parts[2], parts[3]);
      if (name && !is_directory && is_hidden(catalog, *name, is_v1)) continue;
      OLLAMAFS_CHECK_FOR(is_told(path), path);
    }
  }
}

void check_same(const Catalog& a, const Catalog& b) {
  OLLAMAFS_CHECK(std::ranges::equal(a.problems(), b.problems()));
  OLLAMAFS_CHECK(std::ranges::equal(a.models(), b.models(), [](const Model& x, const Model& y) {
    return x.shown == y.shown && x.view_name == y.view_name && x.tag_path == y.tag_path &&
           x.manifest->bytes == y.manifest->bytes && x.blobs == y.blobs && x.faults == y.faults;
  }));
  OLLAMAFS_CHECK(std::ranges::equal(a.blobs(), b.blobs(), [](const Blob& x, const Blob& y) {
    return x.digest == y.digest && x.error == y.error && x.identity == y.identity;
  }));
}

}  // namespace ollamafs::test
