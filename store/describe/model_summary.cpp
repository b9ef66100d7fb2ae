#include "store/describe/model_summary.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "store/blobs/blob.h"
#include "store/catalog/model_config.h"
#include "store/describe/description.h"
#include "store/describe/gguf.h"
#include "store/folder/read_file.h"

namespace ollamafs {
namespace {

// Real configs have less than 1 KiB. Of weights, what is looked for stands in the first.
constexpr std::uint64_t kMostOfConfig = 64u << 10;
constexpr std::uint64_t kMostOfWeights = 16u << 10;
constexpr std::size_t kMostOfLicense = 512;
constexpr std::size_t kLongestText = 128;

constexpr std::string_view kLicenseBlanks = " \t\r\n\v\f";

std::string first_line(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(kLicenseBlanks), text.size()));
  text = text.substr(0, text.find('\n'));
  return std::string{text.substr(0, text.find_last_not_of(kLicenseBlanks) + 1)};
}

class Summarizer {
 public:
  Summarizer(const StoreDir& store, const Model& model) : store_{store}, model_{model} {}

  ModelSummary summarize() && {
    add_config();
    if (const auto weights = first(LayerKind::model)) add_weights(*weights);
    if (const auto license = first(LayerKind::license)) add_license(*license);
    for (std::string* const text :
         {&out_.family, &out_.parameters, &out_.quantization, &out_.license}) {
      if (text->size() > kLongestText) text->resize(kLongestText);
    }
    return std::move(out_);
  }

 private:
  [[nodiscard]] std::optional<Digest> first(LayerKind kind) const {
    const auto& layers = model_.manifest->layers;
    const auto it = std::ranges::find_if(
        layers, [&](const StoredLayer& layer) { return layer.kind == kind && layer.digest; });
    return it == layers.end() ? std::nullopt : it->digest;
  }

  // Whether a file could not be had, which is a gap.
  bool failed(const Digest& digest, const std::error_code& ec) {
    refuse_shortage(store_, digest.blob_path(), ec);
    if (ec) out_.has_gaps = true;
    return static_cast<bool>(ec);
  }

  void add_config() {
    if (!model_.manifest->config) return;
    const Digest& digest = *model_.manifest->config;
    std::error_code ec;
    const FileContent file = read_blob(store_, digest, kMostOfConfig, ec);
    if (failed(digest, ec)) return;
    auto config = parse_config(file.bytes);
    out_.has_gaps |= !config;
    if (!config) return;
    out_.family = std::move(config->family);
    out_.parameters = std::move(config->parameters);
    out_.quantization = std::move(config->quantization);
    if (config->context_length > 0) out_.context_length = config->context_length;
  }

  // What the weights say of the context counts; of the rest, what the config does not say.
  void add_weights(const Digest& digest) {
    std::error_code ec;
    const StoreDir::Opened file = open_blob(store_, digest, ec);
    if (failed(digest, ec)) return;
    try {
      const GgufHeader head = read_gguf_head(store_.calls(), file.fd.get(), kMostOfWeights);
      const std::string architecture = head.text("general.architecture");
      if (const auto length = head.number(architecture + ".context_length"))
        out_.context_length = length;
      if (out_.family.empty()) out_.family = architecture;
      if (!out_.parameters.empty()) return;
      const auto count = head.number("general.parameter_count");
      out_.parameters = count ? number_in_words(*count) : head.text("general.size_label");
    } catch (const GgufError&) {
      out_.has_gaps = true;
    }
  }

  void add_license(const Digest& digest) {
    std::error_code ec;
    const StoreDir::Opened file = open_blob(store_, digest, ec);
    if (failed(digest, ec)) return;
    std::string text(kMostOfLicense, '\0');
    text.resize(read_fully(store_.calls(), file.fd.get(), text.data(), text.size(), 0, ec));
    if (!failed(digest, ec)) out_.license = first_line(text);
  }

  const StoreDir& store_;
  const Model& model_;
  ModelSummary out_;
};

}  // namespace

ModelSummary summarize(const StoreDir& store, const Model& model) {
  return Summarizer{store, model}.summarize();
}

}  // namespace ollamafs
