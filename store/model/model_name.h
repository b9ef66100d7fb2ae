#pragma once

#include <compare>
#include <optional>
#include <string>
#include <string_view>

namespace ollamafs {

// The name of a model: host, namespace, model and tag, each valid by Ollama's grammar
// (docs/store-format.md §2). The spelling is kept; comparison is by bytes. Two spellings of the
// public registry or of the default namespace can still be one model to Ollama: logical_name()
// tells.
class ModelName {
 public:
  static constexpr std::string_view kPublicHost = "registry.ollama.ai";
  static constexpr std::string_view kPublicHostV2 = "ollama.com";  // as manifests-v2/ writes it
  static constexpr std::string_view kDefaultNamespace = "library";
  static constexpr std::string_view kDefaultTag = "latest";

  // A name from its four parts, or nothing if one of them is outside the grammar.
  static std::optional<ModelName> from_parts(std::string_view host, std::string_view name_space,
                                             std::string_view model, std::string_view tag);

  // A name as people type it, [scheme://][host/][namespace/]model[:tag], missing parts taken from
  // the defaults; nothing if a part is outside the grammar or a separator has nothing beside it.
  static std::optional<ModelName> parse(std::string_view text);

  // The name that a path below manifests-v2/ stands for: the public registry's host is
  // `ollama.com` there and ':' is `%3A` (docs/store-format.md §3.2).
  static std::optional<ModelName> from_v2_parts(std::string_view host, std::string_view name_space,
                                                std::string_view model, std::string_view tag);

  [[nodiscard]] const std::string& host() const noexcept { return host_; }
  [[nodiscard]] const std::string& name_space() const noexcept { return namespace_; }
  [[nodiscard]] const std::string& model() const noexcept { return model_; }
  [[nodiscard]] const std::string& tag() const noexcept { return tag_; }

  // As `ollama list` of Ollama >= 0.40 shows it: the public host and the default namespace are left
  // out in whatever case they are spelled, the tag never is.
  [[nodiscard]] std::string display() const;

  // All four parts: host/namespace/model:tag.
  [[nodiscard]] std::string full() const;

  // Where the manifest lives below manifests/: host/namespace/model/tag, a port's colon included.
  [[nodiscard]] std::string v1_path() const;

  // Where Ollama >= 0.40 writes it below manifests-v2/: as v1_path, but the public host is
  // `ollama.com` and ':' is "%3A".
  [[nodiscard]] std::string v2_path() const;

  // What Ollama takes for one and the same model: full(), the public host in its one spelling.
  [[nodiscard]] std::string logical_name() const;

  // True if the host is the public registry, in either of its names and any case.
  [[nodiscard]] bool is_public() const noexcept;

  // True if display() leaves nothing out that is not spelled in the canonical way.
  [[nodiscard]] bool is_canonical() const noexcept;

  auto operator<=>(const ModelName&) const noexcept = default;

 private:
  ModelName() = default;

  std::string host_, namespace_, model_, tag_;
};

// Whether two names, or parts of them, are one to Ollama, which folds the case of ASCII letters
// (docs/store-format.md §2).
[[nodiscard]] bool equal_fold(std::string_view a, std::string_view b) noexcept;

// A displayed name (ModelName::display or full) as a path that every file system and every tool
// takes (docs/view.md §1): ':' before the tag becomes '+', ':' of a port becomes "%3A". Neither '+'
// nor '%' is in Ollama's grammar, so a path component with '+' is a model and nothing else.
[[nodiscard]] std::string view_name(std::string_view displayed);

}  // namespace ollamafs
