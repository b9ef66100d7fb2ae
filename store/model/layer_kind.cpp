#include "store/model/layer_kind.h"

#include <algorithm>
#include <array>
#include <cstddef>

namespace ollamafs {
namespace {

// By kind.
constexpr std::array<std::string_view, 14> kMediaTypes = {
    "",
    "application/vnd.ollama.image.model",
    "application/vnd.ollama.image.adapter",
    "application/vnd.ollama.image.projector",
    "application/vnd.ollama.image.draft",
    "application/vnd.ollama.image.tensor",
    "application/vnd.ollama.image.json",
    "application/vnd.ollama.image.template",
    "application/vnd.ollama.image.prompt",
    "application/vnd.ollama.image.system",
    "application/vnd.ollama.image.params",
    "application/vnd.ollama.image.messages",
    "application/vnd.ollama.image.license",
    "application/vnd.ollama.image.embed",
};
static_assert(kMediaTypes.size() == static_cast<std::size_t>(LayerKind::embed) + 1);

}  // namespace

LayerKind layer_kind(std::string_view media_type) noexcept {
  const auto it = std::ranges::find(kMediaTypes, media_type);
  return it == kMediaTypes.end() ? LayerKind::unknown
                                 : static_cast<LayerKind>(it - kMediaTypes.begin());
}

std::string_view media_type(LayerKind kind) noexcept {
  return kMediaTypes[static_cast<std::size_t>(kind)];
}

}  // namespace ollamafs
