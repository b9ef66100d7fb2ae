#include "tests/mounted/expected_archive.h"

#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <set>
#include <vector>

#include "store/model/digest.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t kHeader = 512;

// Files have no device's numbers: GNU tar writes zeros for them, from 1.35 on nothing.
void fill_device_numbers(std::string& tar, std::size_t header) {
  constexpr std::size_t checksum = 148, digits = 8, numbers = 329;
  for (std::size_t i = 0; i < 2 * digits; ++i) {
    tar[header + numbers + i] = i % digits == digits - 1 ? '\0' : '0';
  }
  tar.replace(header + checksum, digits, digits, ' ');
  unsigned sum = 0;
  for (std::size_t i = 0; i < kHeader; ++i) sum += static_cast<unsigned char>(tar[header + i]);
  char text[digits];
  std::snprintf(text, sizeof text, "%06o", sum);
  tar.replace(header + checksum, digits - 1, text, digits - 1);
}

}  // namespace

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
    starts[member] = at + kHeader;
    at += kHeader + (fs::file_size(file) + 511) / 512 * 512;
  };
  std::set<Digest> blobs;
  for (const LayerSpec& layer : model.layers) blobs.insert(*Digest::parse(layer.digest));
  if (model.config) blobs.insert(*Digest::parse(model.config->digest));
  for (const Digest& blob : blobs) add(blob.blob_path(), blob.hex());
  std::string tag{name};
  tag.replace(tag.find(':'), 1, "/");
  add("manifests/registry.ollama.ai/library/" + tag, Digest::of(model.json()).hex());
  bytes = must(command);
  for (const auto& [member, start] : starts) fill_device_numbers(bytes, start - kHeader);
}

}  // namespace ollamafs::test
