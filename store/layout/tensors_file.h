#pragma once

#include <cstdint>
#include <stdexcept>

#include "store/catalog/catalog.h"
#include "store/folder/store_dir.h"
#include "store/layout/layout.h"

namespace ollamafs {

// Why the tensors of a model cannot be one file. what() is a printable sentence that names the
// blob.
class TensorsError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// What is read of headers at most, bytes. Real ones are far below it; readers of safetensors take
// 100,000,000 for one file.
struct TensorsLimits {
  std::uint64_t header = 1u << 20;       // of one blob
  std::uint64_t all_headers = 8u << 20;  // of all together, and of the file that is made
};

// All tensor layers of a whole model as one safetensors file (docs/view.md §9), as programs want it
// that know nothing of Ollama. Each layer's blob is such a file itself: eight bytes of length,
// little endian, a JSON header of that length, and the data. The file that is made has one header
// of all tensors, with their types and shapes as the blobs say them, and behind it the blobs' data.
// Names are the blobs' as well; where the layer's name has a component before it, "vae/", so has
// the tensor's, and a blob's only tensor "data" is called as its layer.
//
// Data whose length is divisible by more comes first, so that no tensor is aligned worse than in
// its blob. `__metadata__` is what all blobs say alike; what some say otherwise stands there with
// the name of the layer before it: "LAYER.quant_type".
//
// Reads the header of each blob, and nothing else. Throws TensorsError if one of them is no
// safetensors file with data to its end, or if two have a tensor of one name; std::system_error if
// this process lacks what it takes to read them, or the disk fails.
[[nodiscard]] Layout tensors_file(const StoreDir& store, const Model& model,
                                  const TensorsLimits& limits = {});

}  // namespace ollamafs
