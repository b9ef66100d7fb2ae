#include "store/layout/oci_manifest.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>

namespace ollamafs {
namespace {

using OciJson = nlohmann::json;  // sorts its keys, so that the same is always written alike

constexpr const char* kOciManifest = "application/vnd.oci.image.manifest.v1+json";
constexpr const char* kOciIndex = "application/vnd.oci.image.index.v1+json";
constexpr const char* kDockerManifest = "application/vnd.docker.distribution.manifest.v2+json";
constexpr const char* kPackManifest = "application/vnd.cncf.model.manifest.v1+json";
constexpr const char* kPackConfig = "application/vnd.cncf.model.config.v1+json";
constexpr const char* kWeight = "application/vnd.cncf.model.weight.v1.raw";
constexpr const char* kWeightConfig = "application/vnd.cncf.model.weight.config.v1.raw";
constexpr const char* kDoc = "application/vnd.cncf.model.doc.v1.raw";
constexpr const char* kBytes = "application/octet-stream";
constexpr const char* kRefName = "org.opencontainers.image.ref.name";

// Of what the specification has no type for, nothing is claimed: not even its own type, which may
// be that of a manifest and would be followed.
const char* pack_type(LayerKind kind) noexcept {
  switch (kind) {
    case LayerKind::model:
    case LayerKind::adapter:
    case LayerKind::projector:
    case LayerKind::draft:
    case LayerKind::tensor:
      return kWeight;
    case LayerKind::json:
    case LayerKind::template_:
    case LayerKind::prompt:
    case LayerKind::system:
    case LayerKind::params:
    case LayerKind::messages:
      return kWeightConfig;
    case LayerKind::license:
      return kDoc;
    case LayerKind::embed:
    case LayerKind::unknown:
      break;
  }
  return kBytes;
}

OciJson oci_descriptor(std::string_view type, const Digest& digest, std::uint64_t size) {
  return {{"mediaType", type}, {"digest", digest.to_string()}, {"size", size}};
}

OciJson descriptor_of(std::string_view type, std::string_view text) {
  return oci_descriptor(type, Digest::of(text), text.size());
}

OciJson named_layer(std::string_view type, const BlobRef& blob, const std::string& name) {
  OciJson layer = oci_descriptor(type, blob.digest, blob.size);
  layer["annotations"] = {{"org.cncf.model.filepath", name},
                          {"org.opencontainers.image.title", name}};
  return layer;
}

// Every file once, in the manifest's order; the config is the last.
OciJson pack_layers(const StoredManifest& manifest, const FileNames& names) {
  OciJson layers = OciJson::array();
  std::set<std::string_view> seen;
  const auto add = [&](const char* type, const Digest& digest, const std::string& name) {
    if (!seen.insert(name).second) return;
    layers.push_back(named_layer(
        type, *std::ranges::lower_bound(manifest.blobs, digest, {}, &BlobRef::digest), name));
  };
  for (std::size_t i = 0; i < names.layers.size(); ++i) {
    const StoredLayer& layer = manifest.layers[i];
    if (layer.digest) add(pack_type(layer.kind), *layer.digest, names.layers[i]);
  }
  if (manifest.config) add(kWeightConfig, *manifest.config, names.config);
  return layers;
}

bool has_layer(const StoredManifest& manifest, LayerKind kind) {
  return std::ranges::find(manifest.layers, kind, &StoredLayer::kind) != manifest.layers.end();
}

OciJson pack_config(const Model& model, const OciJson& layers) {
  OciJson config = OciJson::object();
  if (has_layer(*model.manifest, LayerKind::model)) config["format"] = "gguf";
  if (has_layer(*model.manifest, LayerKind::tensor)) config["format"] = "safetensors";
  OciJson digests = OciJson::array();
  for (const OciJson& layer : layers) digests.push_back(layer["digest"]);
  return {{"descriptor", {{"name", model.name.model()}, {"version", model.name.tag()}}},
          {"config", config},
          {"modelfs", {{"type", "layers"}, {"diffIds", digests}}}};
}

// The media type of a manifest may be any text.
std::string written(const OciJson& value) {
  return value.dump(-1, ' ', false, OciJson::error_handler_t::replace);
}

}  // namespace

ModelPack model_pack(const Model& model, const FileNames& names) {
  const OciJson layers = pack_layers(*model.manifest, names);
  ModelPack pack;
  pack.config = written(pack_config(model, layers));
  pack.manifest = written({{"schemaVersion", 2},
                           {"mediaType", kOciManifest},
                           {"artifactType", kPackManifest},
                           {"config", descriptor_of(kPackConfig, pack.config)},
                           {"layers", layers}});
  return pack;
}

std::string oci_index(const Model& model, const ModelPack& pack) {
  const StoredManifest& manifest = *model.manifest;
  const std::string type = manifest.media_type.empty() ? kDockerManifest : manifest.media_type;
  OciJson own = oci_descriptor(type, manifest.digest, manifest.bytes.size());
  own["annotations"] = {{kRefName, model.name.tag()}};
  OciJson other = descriptor_of(kOciManifest, pack.manifest);
  other["artifactType"] = kPackManifest;
  other["annotations"] = {{kRefName, model.name.tag() + "-modelpack"}};
  return written({{"schemaVersion", 2},
                  {"mediaType", kOciIndex},
                  {"manifests", OciJson::array({own, other})}});
}

std::string oci_layout_version() {
  return written({{"imageLayoutVersion", "1.0.0"}});
}

}  // namespace ollamafs
