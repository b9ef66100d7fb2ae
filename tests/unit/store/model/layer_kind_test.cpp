#include "store/model/layer_kind.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <utility>

namespace ollamafs {
namespace {

// docs/store-format.md §4.
constexpr std::pair<std::string_view, LayerKind> kKinds[] = {
    {"model", LayerKind::model},         {"adapter", LayerKind::adapter},
    {"projector", LayerKind::projector}, {"draft", LayerKind::draft},
    {"tensor", LayerKind::tensor},       {"json", LayerKind::json},
    {"template", LayerKind::template_},  {"prompt", LayerKind::prompt},
    {"system", LayerKind::system},       {"params", LayerKind::params},
    {"messages", LayerKind::messages},   {"license", LayerKind::license},
    {"embed", LayerKind::embed}};

TEST(LayerKind, IsThatOfItsMediaType) {
  for (const auto& [name, kind] : kKinds) {
    const std::string type = "application/vnd.ollama.image." + std::string{name};
    EXPECT_EQ(layer_kind(type), kind) << name;
    EXPECT_EQ(media_type(kind), type);
  }
}

TEST(LayerKind, IsUnknownForEveryOtherType) {
  for (const char* const type :
       {"", "model", "application/vnd.ollama.image.", "application/vnd.ollama.image.models",
        "application/vnd.ollama.image.Model", "application/vnd.ollama.image.model ",
        "application/vnd.docker.distribution.manifest.v2+json"}) {
    EXPECT_EQ(layer_kind(type), LayerKind::unknown) << type;
  }
  EXPECT_EQ(media_type(LayerKind::unknown), "");
}

}  // namespace
}  // namespace ollamafs
