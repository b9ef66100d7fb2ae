#pragma once

#include <string>
#include <vector>

#include "store/model/stored_manifest.h"

namespace ollamafs {

// By which names a person or another program finds the files of a model.
struct FileNames {
  // Of each layer of the manifest, in its order: a path of one or two components, "model.gguf" or
  // "extra/adapter.gguf". What is named twice, as the same, has its one name twice; what has no
  // digest has none.
  std::vector<std::string> layers;
  std::string config;  // of the config; empty if there is none
};

// The rules (docs/view.md §9): the names are told by what the layers are, and by the manifest only
// where it has names of its own, of tensors and of JSON files. Whatever stands there, the result is
// a name that Linux, macOS and Windows take, differs from every other in more than the case of its
// letters and from all of `taken`, and leads to no other folder.
[[nodiscard]] FileNames file_names(const StoredManifest& manifest,
                                   const std::vector<std::string>& taken = {});

}  // namespace ollamafs
