#include <fmt/format.h>
#include <unistd.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "src/commands/commands.h"
#include "src/commands/common_options.h"
#include "src/say/exit_status.h"
#include "src/say/output.h"
#include "src/store/named_models.h"
#include "src/store/store_arguments.h"
#include "store/base/text.h"
#include "store/catalog/catalog.h"
#include "store/describe/description.h"
#include "store/describe/modelfile.h"
#include "store/describe/parameters.h"

namespace ollamafs {
namespace {

// What of a model is printed.
enum class ShownPart { all, modelfile, parameters, template_, license, system, files, manifest };

// ---- files ----

// The config, and each layer in the manifest's order.
struct ListedFile {
  std::string media_type;
  std::int64_t size = 0;
  std::optional<Digest> digest;
  std::string name;  // in safetensors models
};

constexpr const char* kConfigType = "application/vnd.docker.container.image.v1+json";

std::vector<ListedFile> files_of(const Model& model) {
  std::vector<ListedFile> files;
  const StoredManifest& manifest = *model.manifest;
  for (const BlobRef& blob : manifest.blobs) {
    if (blob.digest == manifest.config) {
      files.push_back({kConfigType, static_cast<std::int64_t>(blob.size), blob.digest, {}});
    }
  }
  for (const StoredLayer& layer : manifest.layers) {
    files.push_back(
        {std::string{layer.media_type}, layer.size, layer.digest, std::string{layer.name}});
  }
  return files;
}

// A store, read: blobs may have either of their names in it.
struct ReadStore {
  const StoreDir& dir;
  const Catalog& catalog;
};

std::string path_of(const ReadStore& store, const Digest& digest) {
  const auto index = store.catalog.blob_index(digest);
  return (store.dir.path() / (index ? store.catalog.blobs()[*index].path() : digest.blob_path()))
      .string();
}

void print_files(const ReadStore& store, const Model& model) {
  for (const ListedFile& file : files_of(model)) {
    const std::string where = file.digest ? path_of(store, *file.digest) : "-";
    const std::string digest = file.digest ? file.digest->to_string() : "-";
    const std::string name = file.name.empty() ? "" : "  " + printable(file.name);
    fmt::print("{:<48}  {:>14}  {}  {}{}\n", printable(file.media_type), file.size, digest,
               printable(where), name);
  }
}

// ---- for machines ----

using Json = nlohmann::ordered_json;

void add_number(Json& json, const char* key, const std::optional<std::uint64_t>& number) {
  if (number) json[key] = *number;
}

Json json_of(const WeightsInfo& info) {
  Json json = {{"architecture", info.architecture}, {"parameters", info.parameters}};
  add_number(json, "context_length", info.context_length);
  add_number(json, "embedding_length", info.embedding_length);
  add_number(json, "dimensions", info.projection);
  return json;
}

Json json_of_files(const ReadStore& store, const Model& model) {
  Json files = Json::array();
  for (const ListedFile& file : files_of(model)) {
    Json json = {{"media_type", file.media_type}, {"size", file.size}};
    if (file.digest) {
      json["digest"] = file.digest->to_string();
      json["path"] = path_of(store, *file.digest);
    }
    if (!file.name.empty()) json["name"] = file.name;
    files.push_back(std::move(json));
  }
  return files;
}

Json json_of(const ReadStore& store, const Model& model, const Description& description,
             const std::string& modelfile) {
  const ModelParts& parts = description.parts;
  Json parameters = Json::array();
  for (const Parameter& parameter : parts.parameters) {
    parameters.push_back({{"name", parameter.name}, {"value", parameter.plain}});
  }
  Json messages = Json::array();
  for (const ModelMessage& message : parts.messages) {
    messages.push_back({{"role", message.role}, {"content", message.content}});
  }
  Json faults = Json::array();
  for (const Fault& fault : model.faults) faults.push_back(fault.text);
  Json json = {{"name", model.shown},
               {"id", model.manifest->digest.id()},
               {"digest", model.manifest->digest.to_string()},
               {"state", model.whole() ? "whole" : "broken"},
               {"faults", std::move(faults)},
               {"model", json_of(description.weights)},
               {"quantization", parts.config.quantization},
               {"format", parts.config.format},
               {"capabilities", parts.config.capabilities},
               {"requires", parts.config.requires_},
               {"remote_model", parts.config.remote_model},
               {"remote_host", parts.config.remote_host},
               {"parameters", std::move(parameters)},
               {"template", parts.template_.value_or(kDefaultTemplate)},
               {"system", parts.system},
               {"licenses", parts.licenses},
               {"messages", std::move(messages)},
               {"modelfile", modelfile},
               {"files", json_of_files(store, model)},
               {"left_out", parts.gaps}};
  if (description.projector) json["projector"] = json_of(*description.projector);
  return json;
}

// ---- the command ----

class Show final : public Command {
 public:
  Show() : Command{"show", "Print what a model is, without a server"} {}

  void add_options(CLI::App& app) override {
    app.add_option("MODEL", name_, "As `ollamafs list` names it")->required()->type_name("");
    add_store_arguments(app, arguments_);
    const auto add_part = [&](const char* option, ShownPart part, const char* help) {
      app.add_flag_callback(
          option, [this, part] { parts_.push_back(part); }, help);
    };
    add_part("--modelfile", ShownPart::modelfile, "Print its Modelfile");
    add_part("--parameters", ShownPart::parameters, "Its parameters");
    add_part("--template", ShownPart::template_, "Its template");
    add_part("--license", ShownPart::license, "Its license");
    add_part("--system", ShownPart::system, "Its system text");
    add_part("--files", ShownPart::files, "Its files: type, size, digest, path");
    add_part("--manifest", ShownPart::manifest, "Its manifest, byte for byte");
    add_json(app, json_);
  }

  ExitStatus run() override {
    if (parts_.size() + (json_ ? 1 : 0) > 1) {
      throw CommandError{"show prints one part of a model at a time, or all of it with --json",
                         ExitStatus::usage};
    }
    const ShownPart part = parts_.empty() ? ShownPart::all : parts_.front();
    const ChosenStore store = open_store(arguments_, {"show", name_});
    const auto catalog = Catalog::read(store.dir);
    const Model& model = named_model(*catalog, name_);
    const bool is_whole = print({store.dir, *catalog}, model, part);
    end_output();
    return is_whole ? ExitStatus::ok : ExitStatus::broken;
  }

 private:
  // Returns whether all of it is there.
  [[nodiscard]] bool print(const ReadStore& store, const Model& model, ShownPart part) const {
    if (!json_ && (part == ShownPart::files || part == ShownPart::manifest)) {
      if (part == ShownPart::files) {
        print_files(store, model);
      } else {
        print_text(model.manifest->bytes);
      }
      warn(model, {});
      return model.whole();
    }
    if (json_ || part == ShownPart::all) {
      const Description description = describe(store.dir, model);
      const ModelParts& parts = description.parts;
      if (json_) {
        print_json(json_of(store, model, description, modelfile_of(store, model, parts)));
      } else {
        fmt::print("{}", description_text(description));
        warn(model, parts);
      }
      return model.whole() && parts.gaps.empty();
    }
    const ModelParts parts = read_model_parts(store.dir, model);
    // A default in place of what cannot be read would be taken for the model's own.
    if (!has_gap(parts, part)) print_text(text_of(store, model, parts, part));
    warn(model, parts);
    return model.whole() && parts.gaps.empty();
  }

  // A Modelfile says in comments what it lacks.
  [[nodiscard]] static bool has_gap(const ModelParts& parts, ShownPart part) noexcept {
    switch (part) {
      case ShownPart::template_:
        return parts.lacks_template;
      case ShownPart::system:
        return parts.lacks_system;
      case ShownPart::license:
        return parts.lacks_license;
      case ShownPart::parameters:
        return parts.lacks_parameters;
      default:
        return false;
    }
  }

  // With or without a line end behind it as Ollama prints it.
  [[nodiscard]] static std::string text_of(const ReadStore& store, const Model& model,
                                           const ModelParts& parts, ShownPart part) {
    switch (part) {
      case ShownPart::modelfile:
        return modelfile_of(store, model, parts) + "\n";
      case ShownPart::parameters:
        return parts.parameters.empty() ? "\n" : parameter_lines(parts.parameters);
      case ShownPart::template_:
        return parts.template_.value_or(kDefaultTemplate);
      case ShownPart::system:
        return parts.system;
      default:
        return fmt::format("{}\n", fmt::join(parts.licenses, "\n"));
    }
  }

  [[nodiscard]] static std::string modelfile_of(const ReadStore& store, const Model& model,
                                                const ModelParts& parts) {
    return modelfile(model, parts, [&](const StoredLayer& layer, std::size_t) {
      return path_of(store, *layer.digest);
    });
  }

  // As it is, any bytes; but a terminal gets no orders.
  static void print_text(const std::string& text) {
    const std::string shown = ::isatty(STDOUT_FILENO) == 1 ? without_controls(text) : text;
    std::fwrite(shown.data(), 1, shown.size(), stdout);
  }

  static void warn(const Model& model, const ModelParts& parts) {
    if (!model.whole()) {
      fmt::print(stderr, "ollamafs: {} is broken: {}\n", model.shown, model.faults.front().text);
    }
    for (const std::string& gap : parts.gaps) fmt::print(stderr, "ollamafs: {}\n", gap);
  }

  StoreArguments arguments_;
  std::string name_;
  std::vector<ShownPart> parts_;  // those that were asked for: one at most
  bool json_ = false;
};

}  // namespace

std::unique_ptr<Command> make_show() {
  return std::make_unique<Show>();
}

}  // namespace ollamafs
