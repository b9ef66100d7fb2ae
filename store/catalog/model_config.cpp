#include "store/catalog/model_config.h"

#include <cstdint>
#include <nlohmann/json.hpp>

#include "store/folder/read_file.h"

namespace ollamafs {
namespace {

constexpr std::uint64_t kMaxConfigBytes = 16u << 20;

// What is needed stands at the top; what is nested deeper is not kept.
constexpr int kMaxDepth = 2;

std::string string_at(const nlohmann::json& object, const char* key) {
  const auto it = object.find(key);
  return it != object.end() && it->is_string() ? it->get<std::string>() : std::string{};
}

}  // namespace

std::optional<ModelConfig> read_config(const StoreDir& store, const Model& model) {
  if (!model.manifest->config) return std::nullopt;
  std::error_code ec;
  const FileContent file = read_blob(store, *model.manifest->config, kMaxConfigBytes, ec);
  if (ec) return std::nullopt;
  const auto shallow = [](int depth, nlohmann::json::parse_event_t, nlohmann::json&) {
    return depth <= kMaxDepth;
  };
  const auto json = nlohmann::json::parse(file.bytes, shallow, false);
  if (!json.is_object()) return std::nullopt;
  return ModelConfig{string_at(json, "remote_host"), string_at(json, "remote_model")};
}

}  // namespace ollamafs
