#include "store/describe/description.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string_view>

#include "store/base/text.h"
#include "store/blobs/blob.h"
#include "store/describe/gguf.h"
#include "store/describe/text_table.h"
#include "store/folder/read_file.h"

namespace ollamafs {
namespace {

constexpr std::uint64_t kMaxConfigLayer = 4u << 20;

class Describer {
 public:
  Describer(const StoreDir& store, const Model& model) : store_{store}, model_{model} {}

  Description describe() && {
    out_.parts = read_model_parts(store_, model_);
    if (const auto weights = info_of(LayerKind::model)) {
      out_.weights = *weights;
    } else {
      out_.weights = from_config();
      if (out_.parts.config.format == "safetensors") add_config_json();
    }
    if (!out_.parts.config.parameters.empty()) {
      out_.weights.parameters = out_.parts.config.parameters;
    }
    out_.projector = info_of(LayerKind::projector);
    return std::move(out_);
  }

 private:
  // What the first file of this kind says of itself.
  std::optional<WeightsInfo> info_of(LayerKind kind) {
    for (const StoredLayer& layer : model_.manifest->layers) {
      if (layer.kind == kind && layer.digest) return info_of(*layer.digest);
    }
    return std::nullopt;
  }

  std::optional<WeightsInfo> info_of(const Digest& digest) {
    try {
      std::error_code ec;
      const StoreDir::Opened file = open_blob(store_, digest, ec);
      if (ec) throw GgufError{open_failure(ec)};
      return info_of(read_gguf(store_.calls(), file.fd.get()));
    } catch (const GgufError& error) {
      out_.parts.gaps.push_back(
          fmt::format("what weights say of themselves is left out: blob {} {}", digest.blob_name(),
                      error.what()));
      return std::nullopt;
    }
  }

  // A name; a longer text is none.
  static std::string name_at(const GgufHeader& header, std::string_view key) {
    constexpr std::size_t longest = 256;
    std::string name = header.text(key);
    return name.size() > longest ? std::string{} : name;
  }

  static WeightsInfo info_of(const GgufHeader& header) {
    WeightsInfo info{.architecture = name_at(header, "general.architecture")};
    if (header.parameters > 0) info.parameters = number_in_words(header.parameters);
    const auto number = [&](const char* suffix) {
      return header.number(info.architecture + suffix);
    };
    info.context_length = number(".context_length");
    info.embedding_length = number(".embedding_length");
    for (const char* const modality : {".vision", ".audio"}) {
      const std::string prefix = info.architecture + modality;
      if (!info.embedding_length) {
        info.embedding_length = header.number(prefix + ".embedding_length");
      }
      if (!info.projection) info.projection = header.number(prefix + ".projection_dim");
    }
    return info;
  }

  [[nodiscard]] WeightsInfo from_config() const {
    const ModelConfig& config = out_.parts.config;
    WeightsInfo info{.architecture = config.family};
    if (config.context_length > 0) info.context_length = config.context_length;
    if (config.embedding_length > 0) info.embedding_length = config.embedding_length;
    return info;
  }

  // A model of tensors says what it is in the config.json of its makers.
  void add_config_json() {
    for (const StoredLayer& layer : model_.manifest->layers) {
      if (layer.kind != LayerKind::json || layer.name != "config.json" || !layer.digest) continue;
      std::error_code ec;
      const FileContent file = read_blob(store_, *layer.digest, kMaxConfigLayer, ec);
      if (!ec) add_config_json(file.bytes);
    }
  }

  void add_config_json(const std::string& bytes) {
    constexpr int max_depth = 4;
    const auto shallow = [](int depth, nlohmann::json::parse_event_t, nlohmann::json&) {
      return depth <= max_depth;
    };
    const auto json = nlohmann::json::parse(with_valid_utf8(bytes), shallow, false);
    if (!json.is_object()) return;
    // Of a model that reads images too, the numbers are those of the part that reads text.
    const auto part = json.find("text_config");
    const auto& numbers = part != json.end() && part->is_object() ? *part : json;
    const auto number = [&](const char* key) -> std::optional<std::uint64_t> {
      const auto it = numbers.find(key);
      if (it == numbers.end() || !it->is_number_unsigned()) return std::nullopt;
      return it->get<std::uint64_t>();
    };
    const auto type = json.find("model_type");
    if (out_.weights.architecture.empty() && type != json.end() && type->is_string()) {
      out_.weights.architecture = type->get<std::string>();
    }
    if (!out_.weights.context_length) {
      out_.weights.context_length = number("max_position_embeddings");
    }
    if (!out_.weights.embedding_length) out_.weights.embedding_length = number("hidden_size");
  }

  const StoreDir& store_;
  const Model& model_;
  Description out_;
};

// ---- the text ----

constexpr std::size_t kWide = 1000;        // rows of names and numbers are not wrapped
constexpr std::size_t kTextColumns = 100;  // texts are

void add(std::vector<TextRow>& rows, const char* name, const std::string& value) {
  if (!value.empty()) rows.push_back({name, value});
}

void add(std::vector<TextRow>& rows, const char* name, const std::optional<std::uint64_t>& value) {
  if (value) rows.push_back({name, std::to_string(*value)});
}

std::string model_section(const Description& description) {
  const ModelConfig& config = description.parts.config;
  const WeightsInfo& weights = description.weights;
  std::vector<TextRow> rows;
  if (!config.remote_host.empty()) {
    rows.push_back({"Remote model", config.remote_model});
    rows.push_back({"Remote URL", config.remote_host});
  }
  add(rows, "architecture", weights.architecture);
  add(rows, "parameters", weights.parameters);
  add(rows, "context length", weights.context_length);
  add(rows, "embedding length", weights.embedding_length);
  rows.push_back({"quantization", config.quantization});
  add(rows, "requires", config.requires_);
  return text_section("Model", rows, kWide);
}

std::string projector_section(const WeightsInfo& projector) {
  std::vector<TextRow> rows;
  add(rows, "architecture", projector.architecture);
  add(rows, "parameters", projector.parameters);
  add(rows, "embedding length", projector.embedding_length);
  add(rows, "dimensions", projector.projection);
  return text_section("Projector", rows, kWide);
}

std::vector<std::string> pieces(std::string_view text, std::string_view separators) {
  std::vector<std::string> out;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find_first_of(separators), text.size());
    if (end > 0) out.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

// Ollama cuts each line at its blanks, also within quotes.
std::string parameters_section(const std::vector<Parameter>& parameters) {
  std::vector<TextRow> rows;
  rows.reserve(parameters.size());
  for (const Parameter& parameter : parameters) {
    rows.push_back(pieces(parameter.name + " " + parameter.shown, " \t"));
  }
  return text_section("Parameters", rows, kWide);
}

// The first two lines that are not empty. A line too long for Go's bufio.Scanner ends it, as it
// ends Ollama's.
std::vector<TextRow> head_of(std::string_view text) {
  constexpr std::size_t most = 2, longest = 64u << 10;
  std::vector<TextRow> rows;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    if (end >= longest) break;
    const std::string line{text.substr(0, end)};
    text.remove_prefix(std::min(end + 1, text.size()));
    const std::size_t first = line.find_first_not_of(" \t\r\v\f");
    if (first == line.npos) continue;
    if (rows.size() == most) {
      rows.push_back({"..."});
      break;
    }
    rows.push_back({line.substr(first, line.find_last_not_of(" \t\r\v\f") + 1 - first)});
  }
  return rows;
}

}  // namespace

Description describe(const StoreDir& store, const Model& model) {
  return Describer{store, model}.describe();
}

std::string description_text(const Description& description) {
  const ModelParts& parts = description.parts;
  std::string text = model_section(description);
  if (!parts.config.capabilities.empty()) {
    std::vector<TextRow> rows;
    rows.reserve(parts.config.capabilities.size());
    for (const std::string& name : parts.config.capabilities) rows.push_back({name});
    text += text_section("Capabilities", rows, kWide);
  }
  if (description.projector) text += projector_section(*description.projector);
  if (!parts.parameters.empty()) text += parameters_section(parts.parameters);
  if (!parts.system.empty()) text += text_section("System", head_of(parts.system), kTextColumns);
  const std::string licenses = fmt::format("{}", fmt::join(parts.licenses, "\n"));
  if (!licenses.empty()) text += text_section("License", head_of(licenses), kTextColumns);
  return text;
}

std::string number_in_words(std::uint64_t number) {
  constexpr std::uint64_t thousand = 1000, million = 1'000'000, billion = 1'000'000'000;
  const auto in = [&](std::uint64_t unit) {
    return static_cast<double>(number) / static_cast<double>(unit);
  };
  if (number >= billion) {
    return number % billion == 0 ? fmt::format("{}B", number / billion)
                                 : fmt::format("{:.1f}B", in(billion));
  }
  if (number >= million) {
    return number % million == 0 ? fmt::format("{}M", number / million)
                                 : fmt::format("{:.2f}M", in(million));
  }
  if (number >= thousand) return fmt::format("{:.0f}K", in(thousand));
  return std::to_string(number);
}

}  // namespace ollamafs
