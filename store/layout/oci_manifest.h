#pragma once

#include <string>

#include "store/catalog/catalog.h"
#include "store/layout/file_names.h"

namespace ollamafs {

// What an OCI image layout of one whole model has beside the model's blobs. It holds two manifests
// of the same blobs: Ollama's own, byte for byte, and one as the model specification of the CNCF
// (ModelPack) has it, for programs that refuse the other. Each text is a function of the model's
// name, its manifest and `names`, which are its files' (file_names()).

// A manifest and the config that it names, which is no blob of the store.
struct ModelPack {
  std::string config;
  std::string manifest;
};

// It says of the model what the manifest tells: no blob is read for it. Ollama's config is one of
// its layers.
[[nodiscard]] ModelPack model_pack(const Model& model, const FileNames& names);

// index.json. Ollama's manifest has the model's tag for its name, the other "TAG-modelpack".
[[nodiscard]] std::string oci_index(const Model& model, const ModelPack& pack);

// The file oci-layout.
[[nodiscard]] std::string oci_layout_version();

}  // namespace ollamafs
