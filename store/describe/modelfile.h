#pragma once

#include <functional>
#include <string>

#include "store/describe/model_parts.h"

namespace ollamafs {

// How a Modelfile calls the file of a layer: for `show` the path of its blob, for a folder that
// holds the files beside the Modelfile their names there ("./model.gguf"). Asked for the layers of
// kind model, adapter, draft and projector, in the manifest's order; `index` is that of the layer
// in the manifest.
using LayerFileName = std::function<std::string(const StoredLayer& layer, std::size_t index)>;

// The Modelfile of a model, as `ollama show --modelfile` prints it, but that parameters are sorted,
// whole numbers are written out, and values are quoted so that Ollama reads them back
// (docs/store-format.md §7). What no Modelfile can say is said in a comment. Ends with a line end.
[[nodiscard]] std::string modelfile(const Model& model, const ModelParts& parts,
                                    const LayerFileName& name_of);

}  // namespace ollamafs
