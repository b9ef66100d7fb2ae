#pragma once

// Room store/describe: A model in words: its Modelfile, its parameters, and what its weights
// say of themselves.

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "store/describe/model_parts.h"

namespace ollamafs {

// A file of weights in words: what its own header says, or for a model that has no such file its
// config. Empty and 0: nothing says it.
struct WeightsInfo {
  std::string architecture{};
  std::string parameters{};  // their number in words: "2.56M"
  std::optional<std::uint64_t> context_length{};
  std::optional<std::uint64_t> embedding_length{};
  std::optional<std::uint64_t> projection{};  // dimensions, of a projector
};

// A model in words, all of it from the store.
struct Description {
  ModelParts parts;
  WeightsInfo weights;
  std::optional<WeightsInfo> projector;  // the first of them
};

// Describes a model, a broken one as far as it is there: ModelParts::gaps says what is not. Reads
// headers of weights, never weights.
[[nodiscard]] Description describe(const StoreDir& store, const Model& model);

// The sections that `ollama show` prints: Model, Capabilities, Projector, Parameters, System,
// License. Two differences: parameters are sorted, and capabilities are only those that the config
// states.
[[nodiscard]] std::string description_text(const Description& description);

// A number in words: "3.2B", "2.56M", "66K".
[[nodiscard]] std::string number_in_words(std::uint64_t number);

}  // namespace ollamafs
