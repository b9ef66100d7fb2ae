#pragma once

#include <cstdint>
#include <string_view>

namespace ollamafs {

// What a layer of a manifest is, by Ollama's media types, which are all
// "application/vnd.ollama.image." and the name of a kind (docs/store-format.md §4).
enum class LayerKind : std::uint8_t {
  unknown,    // any other media type: such a blob belongs to its model as every other one does
  model,      // GGUF weights; several are the shards of one file, in order
  adapter,    // a GGUF LoRA
  projector,  // a GGUF projector of images or sound
  draft,      // a GGUF draft model for speculative decoding
  tensor,     // a safetensors file with a tensor or a group of them
  json,       // config.json, tokenizer.json and the like
  template_,  // a Go template, text
  prompt,     // the old name of `template`
  system,     // text
  params,     // a JSON object
  messages,   // a JSON array
  license,    // text
  embed,      // obsolete: Ollama ignores it
};

// The kind of a media type. As Ollama compares them: byte by byte.
[[nodiscard]] LayerKind layer_kind(std::string_view media_type) noexcept;

// The media type of a kind, which lives as long as the program; empty for LayerKind::unknown.
[[nodiscard]] std::string_view media_type(LayerKind kind) noexcept;

}  // namespace ollamafs
