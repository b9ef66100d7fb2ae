#include "tests/support/store_builder.h"

#include <endian.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <utility>

#include "store/base/unique_fd.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

ordered_json json_of(const LayerSpec& layer) {
  ordered_json json = {
      {"mediaType", layer.media_type}, {"digest", layer.digest}, {"size", layer.size}};
  if (!layer.from.empty()) json["from"] = layer.from;
  if (!layer.name.empty()) json["name"] = layer.name;
  return json;
}

ModelName parsed(std::string_view name) {
  auto parsed = ModelName::parse(name);
  if (!parsed) throw std::invalid_argument{"not a model name: " + std::string{name}};
  return *parsed;
}

}  // namespace

std::string ManifestSpec::json() const {
  ordered_json json = {{"schemaVersion", 2}, {"mediaType", kManifestType}};
  if (config) json["config"] = json_of(*config);
  json["layers"] = null_layers ? ordered_json{} : ordered_json::array();
  for (const LayerSpec& layer : layers) json["layers"].push_back(json_of(layer));
  if (!runner.empty()) json["runner"] = runner;
  if (!format.empty()) json["format"] = format;
  return json.dump() + end;
}

// xorshift64*: small, and the same on every machine. Eight bytes at a time, the lowest first: tests
// want many of them, from programs that are not optimised.
std::string random_bytes(std::uint64_t seed, std::size_t size) {
  std::uint64_t state = seed * 0x9E3779B97F4A7C15 + 0x1234567;
  std::string bytes(size, '\0');
  for (std::size_t at = 0; at < size; at += sizeof state) {
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    const std::uint64_t next = htole64(state * 0x2545F4914F6CDD1D);
    std::memcpy(bytes.data() + at, &next, std::min(sizeof next, size - at));
  }
  return bytes;
}

void write_file(const fs::path& path, std::string_view bytes) {
  fs::create_directories(path.parent_path());
  std::ofstream file{path, std::ios::binary | std::ios::trunc};
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  if (!file.flush()) throw std::runtime_error{"cannot write " + path.string()};
}

std::string read_file(const fs::path& path) {
  const UniqueFd fd{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  std::string bytes;
  for (std::size_t done = 0;;) {
    bytes.resize(std::max(done * 2, std::size_t{64} << 10));
    const ssize_t n = fd ? ::read(fd.get(), bytes.data() + done, bytes.size() - done) : -1;
    if (n < 0) throw std::runtime_error{"cannot read " + path.string()};
    done += static_cast<std::size_t>(n);
    if (n == 0) {
      bytes.resize(done);
      return bytes;
    }
  }
}

StoreBuilder::StoreBuilder(fs::path root) : root_{std::move(root)} {
  fs::create_directories(root_ / "blobs");
}

fs::path StoreBuilder::blob_path(const Digest& digest) const {
  return root_ / "blobs" / digest.blob_name();
}

fs::path StoreBuilder::v1_path(const ModelName& name) const {
  return root_ / "manifests" / name.v1_path();
}

fs::path StoreBuilder::v2_path(const ModelName& name) const {
  return root_ / "manifests-v2" / name.v2_path();
}

LayerSpec StoreBuilder::layer(const std::string& media_type, std::string_view content) const {
  const Digest digest = Digest::of(content);
  write_file(blob_path(digest), content);
  return {media_type, digest.to_string(), static_cast<std::int64_t>(content.size())};
}

LayerSpec StoreBuilder::sparse_layer(const std::string& media_type, std::uint64_t size,
                                     std::uint64_t seed) const {
  const Digest digest = Digest::of("sparse " + std::to_string(seed));
  const UniqueFd fd{
      ::open(blob_path(digest).c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644)};
  if (!fd || ::ftruncate(fd.get(), static_cast<off_t>(size)) != 0) {
    throw std::runtime_error{"cannot make a sparse blob"};
  }
  const std::string mark = random_bytes(seed, 4096);
  for (const std::uint64_t at :
       {std::uint64_t{0}, size / 2, size - std::min<std::uint64_t>(size, mark.size())}) {
    const std::size_t count = std::min<std::uint64_t>(mark.size(), size - at);
    if (::pwrite(fd.get(), mark.data(), count, static_cast<off_t>(at)) < 0) {
      throw std::runtime_error{"cannot write a sparse blob"};
    }
  }
  return {media_type, digest.to_string(), static_cast<std::int64_t>(size)};
}

Digest StoreBuilder::v1_bytes(std::string_view name, std::string_view bytes) const {
  write_file(v1_path(parsed(name)), bytes);
  return Digest::of(bytes);
}

Digest StoreBuilder::v1(std::string_view name, const ManifestSpec& manifest) const {
  return v1_bytes(name, manifest.json());
}

Digest StoreBuilder::v2_bytes(std::string_view name, std::string_view bytes, bool copy) const {
  const Digest digest = Digest::of(bytes);
  write_file(blob_path(digest), bytes);
  const fs::path tag = v2_path(parsed(name));
  fs::create_directories(tag.parent_path());
  fs::remove(tag);
  if (copy) {
    write_file(tag, bytes);
  } else {
    fs::create_symlink("../../../../blobs/" + digest.blob_name(), tag);
  }
  return digest;
}

Digest StoreBuilder::v2(std::string_view name, const ManifestSpec& manifest, bool copy) const {
  return v2_bytes(name, manifest.json(), copy);
}

ManifestSpec StoreBuilder::text_model(std::uint64_t seed, std::size_t weights) const {
  ManifestSpec manifest;
  manifest.config =
      layer(kConfigType,
            R"({"model_format":"gguf","model_family":"llama","model_families":["llama"],)"
            R"("model_type":"3.2B","file_type":"Q4_K_M","architecture":"amd64","os":"linux"})");
  manifest.layers = {
      layer(kModelType, "GGUF" + random_bytes(seed, weights)),
      layer(kTemplateType,
            "{{- if .System }}<|sys|>{{ .System }}<|end|>{{ end }}<|user|>{{ .Prompt }}<|end|>"
            "<|bot|>{{ .Response }}<|end|>"),
      layer(kParamsType, R"({"stop":["\u003c|end|\u003e","\u003c|user|\u003e"],"temperature":0.6})"
                         "\n"),
  };
  return manifest;
}

std::string StoreBuilder::list_json(const std::vector<Child>& children) {
  ordered_json json = {{"schemaVersion", 2}, {"mediaType", kListType}};
  json["manifests"] = ordered_json::array();
  for (const Child& child : children) {
    json["manifests"].push_back({{"mediaType", kManifestType},
                                 {"digest", child.digest.to_string()},
                                 {"runner", child.runner},
                                 {"format", child.format}});
  }
  return json.dump();
}

}  // namespace ollamafs::test
