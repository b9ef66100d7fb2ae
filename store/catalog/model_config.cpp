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

std::uint64_t number_at(const nlohmann::json& object, const char* key) {
  const auto it = object.find(key);
  return it != object.end() && it->is_number_unsigned() ? it->get<std::uint64_t>() : 0;
}

std::vector<std::string> strings_at(const nlohmann::json& object, const char* key) {
  std::vector<std::string> strings;
  const auto it = object.find(key);
  if (it == object.end() || !it->is_array()) return strings;
  for (const nlohmann::json& element : *it) {
    if (element.is_string()) strings.push_back(element.get<std::string>());
  }
  return strings;
}

}  // namespace

std::optional<ModelConfig> read_config(const StoreDir& store, const Model& model) {
  if (!model.manifest->config) return std::nullopt;
  std::error_code ec;
  const FileContent file = read_blob(store, *model.manifest->config, kMaxConfigBytes, ec);
  return ec ? std::nullopt : parse_config(file.bytes);
}

std::optional<ModelConfig> parse_config(const std::string& bytes) {
  const auto shallow = [](int depth, nlohmann::json::parse_event_t, nlohmann::json&) {
    return depth <= kMaxDepth;
  };
  const auto json = nlohmann::json::parse(bytes, shallow, false);
  if (!json.is_object()) return std::nullopt;
  return ModelConfig{.remote_host = string_at(json, "remote_host"),
                     .remote_model = string_at(json, "remote_model"),
                     .format = string_at(json, "model_format"),
                     .family = string_at(json, "model_family"),
                     .parameters = string_at(json, "model_type"),
                     .quantization = string_at(json, "file_type"),
                     .renderer = string_at(json, "renderer"),
                     .parser = string_at(json, "parser"),
                     .requires_ = string_at(json, "requires"),
                     .capabilities = strings_at(json, "capabilities"),
                     .context_length = number_at(json, "context_length"),
                     .embedding_length = number_at(json, "embedding_length")};
}

}  // namespace ollamafs
