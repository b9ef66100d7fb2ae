#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "store/catalog/catalog.h"
#include "store/folder/store_dir.h"

namespace ollamafs {

// What a model's config blob says (docs/store-format.md §4), as far as it is needed.
struct ModelConfig {
  std::string remote_host;   // of a cloud model
  std::string remote_model;  // likewise; not empty: the model runs elsewhere
  std::string format;        // "gguf", "safetensors", or empty
  std::string family;
  std::string parameters;    // their number in words: "3.2B"
  std::string quantization;  // "Q4_K_M"
  std::string renderer;
  std::string parser;
  std::string requires_;                  // the oldest Ollama that can run it
  std::vector<std::string> capabilities;  // often empty: then Ollama finds them out by itself
  std::uint64_t context_length = 0;       // of a cloud model; 0: it does not say
  std::uint64_t embedding_length = 0;     // likewise
};

// Reads the config of a model; nothing if it has none, or none that can be read.
[[nodiscard]] std::optional<ModelConfig> read_config(const StoreDir& store, const Model& model);

// The same of a config's bytes; nothing if they are no config.
[[nodiscard]] std::optional<ModelConfig> parse_config(const std::string& bytes);

}  // namespace ollamafs
