#include "tests/mounted/expected_archive.h"

#include <filesystem>
#include <set>
#include <vector>

#include "store/digest.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {

namespace fs = std::filesystem;

ExpectedArchive::ExpectedArchive(const StoreBuilder& store, std::string_view name,
                                 const ManifestSpec& model) {
  const TempDir tree;
  std::vector<std::string> command = {
      "tar",      "--format=ustar", "--owner=ollama:0", "--group=ollama:0",  "--mode=0644",
      "--file=-", "--create",       "--directory",      (tree / "").string()};
  std::uint64_t at = 0;
  const auto add = [&](const std::string& member, const std::string& hex) {
    const fs::path file = tree / member;
    fs::create_directories(file.parent_path());
    fs::copy_file(store.root() / member, file);
    const long date = 1'688'169'600 + 2 * std::stol(hex.substr(0, 6), nullptr, 16);
    must({"touch", "-d", "@" + std::to_string(date), file.string()});
    command.push_back(member);
    starts[member] = at + 512;
    at += 512 + (fs::file_size(file) + 511) / 512 * 512;
  };
  std::set<Digest> blobs;
  for (const LayerSpec& layer : model.layers) blobs.insert(*Digest::parse(layer.digest));
  if (model.config) blobs.insert(*Digest::parse(model.config->digest));
  for (const Digest& blob : blobs) add(blob.blob_path(), blob.hex());
  std::string tag{name};
  tag.replace(tag.find(':'), 1, "/");
  add("manifests/registry.ollama.ai/library/" + tag, Digest::of(model.json()).hex());
  bytes = must(command);
}

}  // namespace ollamafs::test
