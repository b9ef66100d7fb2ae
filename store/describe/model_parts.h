#pragma once

#include <optional>
#include <string>
#include <vector>

#include "store/catalog/catalog.h"
#include "store/catalog/model_config.h"
#include "store/describe/parameters.h"
#include "store/folder/store_dir.h"

namespace ollamafs {

// A message of a conversation with which a model begins.
struct ModelMessage {
  std::string role;       // "user", "assistant", ...
  std::string content;    // UTF-8
  bool has_more = false;  // images, calls of tools, ...: what is more than a text
};

// The small parts of a model, read: what `ollama show` prints comes from them, and not from
// weights.
struct ModelParts {
  ModelConfig config;                      // empty if it has none
  std::optional<std::string> template_{};  // nothing: it has none, and Ollama's default one counts
  std::string system;
  std::vector<std::string> licenses;
  std::vector<Parameter> parameters;
  std::vector<ModelMessage> messages;

  // Whether something of these could not be read.
  bool lacks_template = false;
  bool lacks_system = false;
  bool lacks_license = false;
  bool lacks_parameters = false;

  // What is missing in the above because it could not be read: printable lines that name the blob,
  // the reason and what is left out.
  std::vector<std::string> gaps;
};

// What Ollama uses for a model that has no template.
inline constexpr const char* kDefaultTemplate = "{{ .Prompt }}";

// Reads them. Of layers that count once the last one does (docs/store-format.md §4). Does not throw
// for what the store holds: see ModelParts::gaps.
[[nodiscard]] ModelParts read_model_parts(const StoreDir& store, const Model& model);

}  // namespace ollamafs
