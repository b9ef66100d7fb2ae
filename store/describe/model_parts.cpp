#include "store/describe/model_parts.h"

#include <fmt/format.h>

#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "store/base/text.h"
#include "store/blobs/blob.h"
#include "store/folder/read_file.h"

namespace ollamafs {
namespace {

using nlohmann::json;

// No text that belongs to a model comes near this, nor all of them near that.
constexpr std::uint64_t kMaxTextBytes = 16u << 20;
constexpr std::uint64_t kMaxAllTexts = 64u << 20;

// A list of objects with texts, and what they may hold beside.
constexpr int kMaxMessageDepth = 32;

ModelMessage message_of(const json& object) {
  ModelMessage message;
  for (const auto& [key, value] : object.items()) {
    if (key == "role" && value.is_string()) {
      message.role = value.get<std::string>();
    } else if (key == "content" && value.is_string()) {
      message.content = value.get<std::string>();
    } else {
      message.has_more |= !value.is_null() && !value.empty();
    }
  }
  return message;
}

class PartsReader {
 public:
  PartsReader(const StoreDir& store, const Model& model) : store_{store}, model_{model} {}

  ModelParts read() && {
    read_config_blob();
    for (const StoredLayer& layer : model_.manifest->layers) read_layer(layer);
    parse_params();
    return std::move(parts_);
  }

 private:
  void read_config_blob() {
    if (!model_.manifest->config) return;
    if (auto config = read_config(store_, model_)) {
      parts_.config = *std::move(config);
    } else {
      gap(*model_.manifest->config, "cannot be read as a config", "what it says of the model");
    }
  }

  void read_layer(const StoredLayer& layer) {
    switch (layer.kind) {
      case LayerKind::template_:
      case LayerKind::prompt:
        // Of those that count once, the last one does: if it is not there, none is.
        parts_.template_ = text_of(layer, "the template");
        parts_.lacks_template = !parts_.template_;
        break;
      case LayerKind::system:
        if (auto text = text_of(layer, "the system text")) {
          parts_.system = *std::move(text);
          parts_.lacks_system = false;
        } else {
          parts_.system.clear();
          parts_.lacks_system = true;
        }
        break;
      case LayerKind::license:
        if (auto text = text_of(layer, "a license"))
          parts_.licenses.push_back(*std::move(text));
        else
          parts_.lacks_license = true;
        break;
      case LayerKind::params:
        if (auto text = text_of(layer, "parameters"))
          params_.emplace_back(*layer.digest, *std::move(text));
        else
          parts_.lacks_parameters = true;
        break;
      case LayerKind::messages:
        if (auto text = text_of(layer, "messages")) parse_messages(layer, *text);
        break;
      default:
        break;
    }
  }

  std::optional<std::string> text_of(const StoredLayer& layer, const char* what) {
    if (!layer.digest) return std::nullopt;  // a fault of the manifest, which says itself
    const auto [it, is_first] = texts_.try_emplace(*layer.digest);
    if (is_first) it->second = read_text(*layer.digest, what);
    if (!it->second) return std::nullopt;
    // What is there twice is kept twice.
    if (!is_first && !is_within_budget(it->second->size())) {
      gap(*layer.digest, too_much(), what);
      return std::nullopt;
    }
    return it->second;
  }

  std::optional<std::string> read_text(const Digest& digest, const char* what) {
    std::error_code ec;
    FileContent file = read_blob(store_, digest, kMaxTextBytes, ec);
    if (!ec && is_within_budget(file.bytes.size())) return std::move(file.bytes);
    if (!ec) {
      gap(digest, too_much(), what);
    } else if (ec == std::errc::file_too_large) {
      gap(digest, fmt::format("has more than {} bytes", kMaxTextBytes), what);
    } else {
      gap(digest, open_failure(ec), what);
    }
    return std::nullopt;
  }

  bool is_within_budget(std::uint64_t more) {
    if (more > kMaxAllTexts - used_) return false;
    used_ += more;
    return true;
  }

  static std::string too_much() {
    return fmt::format("is beyond the {} bytes that are read of all texts together", kMaxAllTexts);
  }

  void gap(const Digest& digest, const std::string& reason, const char* what) {
    parts_.gaps.push_back(
        fmt::format("{} is left out: blob {} {}", what, digest.blob_name(), reason));
  }

  void parse_params() {
    ParameterMerger merger;
    for (const auto& [digest, text] : params_) {
      try {
        merger.add(text);
      } catch (const ParametersError& error) {
        gap(digest, error.what(), "parameters");
        parts_.lacks_parameters = true;
      }
    }
    parts_.parameters = merger.parameters();
  }

  void parse_messages(const StoredLayer& layer, const std::string& text) {
    bool is_too_deep = false;
    const auto watch = [&](int depth, json::parse_event_t, json&) {
      is_too_deep |= depth > kMaxMessageDepth;
      return depth <= kMaxMessageDepth;
    };
    const json list = json::parse(with_valid_utf8(text), watch, false);
    if (!list.is_array() || is_too_deep) {
      gap(*layer.digest, "is not a JSON list of messages", "messages");
      return;
    }
    for (const json& object : list) {
      if (object.is_object()) parts_.messages.push_back(message_of(object));
    }
  }

  const StoreDir& store_;
  const Model& model_;
  std::map<Digest, std::optional<std::string>> texts_;  // that were read; nothing: could not be
  std::uint64_t used_ = 0;                              // bytes of texts
  std::vector<std::pair<Digest, std::string>> params_;
  ModelParts parts_;
};

}  // namespace

ModelParts read_model_parts(const StoreDir& store, const Model& model) {
  return PartsReader{store, model}.read();
}

}  // namespace ollamafs
